//! The attributes and derives of contracts. They are used through `selvedge`, which documents them.

mod contract;
mod error_code;
mod expand;
mod hook;
mod rename;
mod state;
mod transaction;

use proc_macro::TokenStream;
use quote::quote;
use syn::parse_macro_input;

/// Makes a contract of an `impl` block: each function marked with `#[transaction]` can be called by clients.
///
/// `name = "…"` names the contract, which is called like its type otherwise. `rename_all` is `"PascalCase"`,
/// `"camelCase"` or `"snake_case"` and rewrites the functions' names for clients. `default` marks the contract that
/// answers to functions without a contract's name, if a chaincode holds several.
///
/// ```text
/// #[contract(name = "assets", rename_all = "PascalCase", default)]
/// impl Assets {
///     #[transaction]
///     async fn read_asset(&self, ctx: &Query, id: String) -> Result<Asset, AssetError> { … }
/// }
/// ```
///
/// A contract may have one function each with `#[before_transaction]`, which runs before any function is looked for and
/// keeps it from running when it fails; `#[after_transaction]`, which sees the `&Response` of every function that
/// succeeded and can still fail it; and `#[unknown_transaction]`, which is called with the name that no function has. They
/// take `&self` and `&Context` or `&Query` like transactions, and return a `Result`.
#[proc_macro_attribute]
pub fn contract(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as contract::Options);
    let item = parse_macro_input!(item as syn::ItemImpl);
    contract::Contract::parse(options, item)
        .map_or_else(syn::Error::into_compile_error, |contract| expand::expand(&contract))
        .into()
}

/// Marks a function of a contract that clients can call. `name = "…"` gives it another name.
///
/// It takes `&self`, then `&Context` if it writes or `&Query` if it only reads, then its parameters, and returns a
/// `Result`.
///
/// A parameter with `#[transient]` comes from the proposal's transient map, under its own name or that of
/// `#[transient("…")]`, and is read as an argument is. One with `#[private("…")]` is the private data collection of that
/// name: a `Collection`, or a `CollectionContext` where `&Context` is taken.
#[proc_macro_attribute]
pub fn transaction(_: TokenStream, item: TokenStream) -> TokenStream {
    // Inside of a contract the outer attribute takes this one away before it is ever expanded.
    let message = "#[transaction] marks functions of an `impl` block that has #[contract]";
    let error = syn::Error::new(proc_macro2::Span::call_site(), message).into_compile_error();
    let item = proc_macro2::TokenStream::from(item);
    quote!(#error #item).into()
}

/// Gives the variants of an error enum stable codes, which stand before the text in the response:
/// `#[code("ASSET_MISSING")]`, or `#[code("ASSET_MISSING", status = 404)]` for another status than 500.
#[proc_macro_derive(ErrorCode, attributes(code))]
pub fn error_code(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    error_code::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct something that the ledger keeps as JSON: `#[key]` marks the field that is its key. With
/// `#[state(object_type = "…")]` all fields with `#[key]` make a composite key.
#[proc_macro_derive(State, attributes(key, state))]
pub fn state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    state::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
