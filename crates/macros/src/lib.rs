//! The attributes `#[contract]` and `#[transaction]`. They are used through `selvedge`, which documents them.

mod contract;
mod expand;
mod rename;
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
#[proc_macro_attribute]
pub fn transaction(_: TokenStream, item: TokenStream) -> TokenStream {
    // Inside of a contract the outer attribute takes this one away before it is ever expanded.
    let message = "#[transaction] marks functions of an `impl` block that has #[contract]";
    let error = syn::Error::new(proc_macro2::Span::call_site(), message).into_compile_error();
    let item = proc_macro2::TokenStream::from(item);
    quote!(#error #item).into()
}
