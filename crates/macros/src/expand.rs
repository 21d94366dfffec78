use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{ReturnType, Type};

use crate::contract::Contract;
use crate::hook::{Hook, Kind};
use crate::transaction::{Parameter, Source, Transaction};

/// The block as it was, the implementation of `Contract` beside it, and the calls that clients make.
pub(crate) fn expand(contract: &Contract) -> TokenStream {
    let Contract { item, name, default, transactions, hooks } = contract;
    let of = &item.self_ty;
    let conditions: Vec<_> = item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();
    let clients = transactions.iter().map(|transaction| client(name, transaction));
    let descriptions = transactions.iter().map(description);
    let calls = transactions.iter().map(call);
    let hooks = hooks.iter().map(hook);
    quote! {
        #item

        #(#conditions)*
        impl ::selvedge::contract::Contract for #of {
            fn name(&self) -> &str {
                #name
            }

            fn is_default(&self) -> bool {
                #default
            }

            fn describe(
                &self,
                schemas: &mut ::selvedge::contract::Schemas,
            ) -> ::std::vec::Vec<::selvedge::contract::TransactionDescription> {
                #[allow(unused_imports)]
                use ::selvedge::contract::{AnySchema as _, DerivedSchema as _};
                let mut transactions = ::std::vec::Vec::new();
                #(#descriptions)*
                transactions
            }

            fn call<'a>(
                &'a self,
                function: &str,
                ctx: &'a ::selvedge::Context,
                parameters: &'a [::selvedge::Bytes],
            ) -> ::std::option::Option<::selvedge::contract::Pending<'a>> {
                match function {
                    #(#calls)*
                    _ => ::std::option::Option::None,
                }
            }

            #(#hooks)*
        }

        #(#conditions)*
        #[allow(dead_code, private_bounds, private_interfaces, clippy::too_many_arguments)]
        impl #of {
            #(#clients)*
        }
    }
}

/// The function that makes a call of a transaction. Whether it can be used depends on the types of its parameters, which
/// need no `Serialize` for the contract's sake, so that only its use asks for it.
fn client(contract: &str, transaction: &Transaction) -> TokenStream {
    let Transaction { ident, name, parameters, output, returns, conditions, .. } = transaction;
    let make = format_ident!("{}_call", ident.unraw(), span = ident.span());
    let function = format!("{contract}:{name}");
    let output = match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, of) => quote!(#of),
    };
    let sent = || parameters.iter().filter(|parameter| !matches!(parameter.source, Source::Collection(_)));
    let inputs = sent().map(|Parameter { name, of, .. }| {
        let name = format_ident!("r#{name}");
        quote!(#name: impl ::selvedge::contract::IntoArgument<#of>)
    });
    let arguments = sent().map(|Parameter { name, of, source }| {
        let value = format_ident!("r#{name}");
        match source {
            Source::Transient(entry) => quote!(.transient_argument::<#of>(#entry, #value)),
            _ => quote!(.argument::<#of>(#name, #value)),
        }
    });
    let documentation = format!("A call of `{name}` as its client makes it.");
    quote! {
        #(#conditions)*
        #[doc = #documentation]
        pub fn #make(#(#inputs),*) -> ::selvedge::Call<#returns> {
            #[allow(unused_imports)]
            use ::selvedge::contract::{CodedResult as _, PlainResult as _};
            let coded = (&::selvedge::contract::ResultOf::<#output>::new()).is_coded();
            ::selvedge::Call::<#returns>::new(#function.to_owned(), coded)#(#arguments)*
        }
    }
}

fn hook(Hook { kind, ident }: &Hook) -> TokenStream {
    let (name, further, argument) = match kind {
        Kind::Before => (quote!(before), quote!(), quote!()),
        Kind::After => (quote!(after), quote!(, response: &'a ::selvedge::Response), quote!(, response)),
        Kind::Unknown => (quote!(unknown), quote!(, function: &'a str), quote!(, function)),
    };
    let respond = respond(&quote!(self.#ident(ctx #argument).await));
    quote! {
        fn #name<'a>(
            &'a self,
            ctx: &'a ::selvedge::Context #further
        ) -> ::std::option::Option<::selvedge::contract::Pending<'a>> {
            ::std::option::Option::Some(::std::boxed::Box::pin(async move {
                ::std::result::Result::Ok(#respond)
            }))
        }
    }
}

/// Whether an error has a code is found where the type is known, as with [`schema`].
fn respond(result: &TokenStream) -> TokenStream {
    quote! {{
        #[allow(unused_imports)]
        use ::selvedge::contract::{CodedFailure as _, PlainFailure as _};
        match #result {
            ::std::result::Result::Ok(value) => ::selvedge::contract::succeed(value),
            ::std::result::Result::Err(error) => (&::selvedge::contract::Failure(error)).response(),
        }
    }}
}

fn description(transaction: &Transaction) -> TokenStream {
    let Transaction { name, writes, parameters, returns, description, conditions, .. } = transaction;
    let arguments = || parameters.iter().filter(|parameter| matches!(parameter.source, Source::Argument));
    let names = arguments().map(|parameter| &parameter.name);
    let schemas = arguments().map(|parameter| schema(&parameter.of));
    let returns = schema(returns);
    quote! {
        #(#conditions)*
        transactions.push(::selvedge::contract::TransactionDescription {
            name: #name,
            description: #description,
            writes: #writes,
            parameters: ::std::vec![#((#names, #schemas)),*],
            returns: #returns,
        });
    }
}

/// Whether a type tells its schema is found where the type is known: the method of the more special trait is taken.
fn schema(of: &Type) -> TokenStream {
    quote_spanned!(of.span()=> (&::selvedge::contract::SchemaOf::<#of>::new()).schema(schemas))
}

fn call(transaction: &Transaction) -> TokenStream {
    let Transaction { ident, name, parameters, conditions, .. } = transaction;
    let mut count: usize = 0;
    let arguments: Vec<_> = parameters
        .iter()
        .map(|Parameter { name, of, source }| match source {
            Source::Argument => {
                let index = count;
                count += 1;
                quote_spanned!(of.span()=> arguments.take::<#of>(#index, #name)?)
            }
            Source::Transient(entry) => {
                quote_spanned!(of.span()=> ::selvedge::contract::transient::<#of>(ctx, #entry)?)
            }
            Source::Collection(collection) => {
                quote_spanned!(of.span()=> ::selvedge::contract::collection::<#of>(ctx, #collection)?)
            }
        })
        .collect();
    let respond = respond(&quote!(self.#ident(ctx #(, #arguments)*).await));
    quote! {
        #(#conditions)*
        #name => ::std::option::Option::Some(::std::boxed::Box::pin(async move {
            #[allow(unused_variables)]
            let arguments = ::selvedge::contract::Arguments::new(parameters, #count)?;
            ::std::result::Result::Ok(#respond)
        })),
    }
}
