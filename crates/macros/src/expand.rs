use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::contract::Contract;
use crate::transaction::Transaction;

/// The block as it was, and the implementation of `Contract` beside it.
pub(crate) fn expand(contract: &Contract) -> TokenStream {
    let Contract { item, name, default, transactions } = contract;
    let of = &item.self_ty;
    let conditions = item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let descriptions = transactions.iter().map(description);
    let calls = transactions.iter().map(call);
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
            ) -> ::std::option::Option<::selvedge::contract::Call<'a>> {
                match function {
                    #(#calls)*
                    _ => ::std::option::Option::None,
                }
            }
        }
    }
}

fn description(transaction: &Transaction) -> TokenStream {
    let Transaction { name, writes, parameters, returns, conditions, .. } = transaction;
    let names = parameters.iter().map(|parameter| &parameter.name);
    let schemas = parameters.iter().map(|parameter| schema(&parameter.of));
    let returns = schema(returns);
    quote! {
        #(#conditions)*
        transactions.push(::selvedge::contract::TransactionDescription {
            name: #name,
            writes: #writes,
            parameters: ::std::vec![#((#names, #schemas)),*],
            returns: #returns,
        });
    }
}

/// Whether a type tells its schema is found where the type is known: the method of the more special trait is taken.
fn schema(of: &syn::Type) -> TokenStream {
    quote_spanned!(of.span()=> (&::selvedge::contract::SchemaOf::<#of>::new()).schema(schemas))
}

fn call(transaction: &Transaction) -> TokenStream {
    let Transaction { ident, name, parameters, conditions, .. } = transaction;
    let count = parameters.len();
    let arguments = parameters.iter().enumerate().map(|(index, parameter)| {
        let (name, of) = (&parameter.name, &parameter.of);
        quote_spanned!(of.span()=> arguments.take::<#of>(#index, #name)?)
    });
    quote! {
        #(#conditions)*
        #name => ::std::option::Option::Some(::std::boxed::Box::pin(async move {
            let arguments = ::selvedge::contract::Arguments::new(parameters, #count)?;
            let result = self.#ident(ctx #(, #arguments)*).await;
            ::std::result::Result::Ok(::selvedge::contract::respond(result))
        })),
    }
}
