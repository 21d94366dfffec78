use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitStr, Result, Type};

/// Implements `State` for a struct by its fields with `#[key]`: one makes a simple key; with
/// `#[state(object_type = "…")]` all of them make a composite key.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    const STRUCT: &str = "a state is a struct with named fields, which are its JSON on the ledger";
    let Data::Struct(of) = &input.data else { return Err(Error::new_spanned(&input.ident, STRUCT)) };
    let Fields::Named(fields) = &of.fields else { return Err(Error::new_spanned(&input.ident, STRUCT)) };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a state is a concrete type, without parameters"));
    }
    let keys: Vec<&Field> = fields
        .named
        .iter()
        .filter(|field| field.attrs.iter().any(|one| one.path().is_ident("key")))
        .collect();
    let Some(first) = keys.first() else {
        return Err(Error::new_spanned(&input.ident, "mark the field that is its key with #[key]"));
    };
    let object_type = object_type(&input.attrs)?;
    if object_type.is_none() && keys.len() > 1 {
        let message = "a key of several fields is a composite one: add #[state(object_type = \"…\")]";
        return Err(Error::new_spanned(keys.get(1).unwrap_or(first), message));
    }
    let names: Vec<_> = keys.iter().filter_map(|field| field.ident.as_ref()).collect();
    let borrowed: Vec<_> = keys.iter().map(|field| borrowed(&field.ty)).collect();
    let own: Vec<_> = names.iter().map(|name| quote!(&self.#name)).collect();
    let (key_type, pattern, own) = match keys.len() {
        1 => (quote!(#(#borrowed)*), quote!(#(#names)*), quote!(#(#own)*)),
        _ => (quote!((#(#borrowed),*)), quote!((#(#names),*)), quote!((#(#own),*))),
    };
    let (constant, key) = match &object_type {
        Some(object_type) => (
            quote!(::std::option::Option::Some(#object_type)),
            quote! {
                let parts = [#(::std::string::ToString::to_string(#names)),*];
                ::std::result::Result::Ok(::selvedge::CompositeKey::new(#object_type, parts)?.to_string())
            },
        ),
        None => (
            quote!(::std::option::Option::None),
            quote!(::std::result::Result::Ok(#(::std::string::ToString::to_string(#names))*)),
        ),
    };
    let ident = &input.ident;
    Ok(quote! {
        impl ::selvedge::State for #ident {
            type Key<'k> = #key_type;

            const OBJECT_TYPE: ::std::option::Option<&'static str> = #constant;

            fn key_of(key: Self::Key<'_>) -> ::std::result::Result<::std::string::String, ::selvedge::ArgumentError> {
                let #pattern = key;
                #key
            }

            fn key(&self) -> ::std::result::Result<::std::string::String, ::selvedge::ArgumentError> {
                Self::key_of(#own)
            }
        }
    })
}

/// Text is borrowed as text, so that callers need no owned one.
fn borrowed(of: &Type) -> TokenStream {
    match of {
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "String") => {
            quote!(&'k str)
        }
        of => quote!(&'k #of),
    }
}

fn object_type(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("state")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("object_type") {
                return Err(meta.error("unknown option; there is only `object_type`"));
            }
            let value: LitStr = meta.value()?.parse()?;
            match found.replace(value) {
                Some(_) => Err(meta.error("`object_type` is given twice")),
                None => Ok(()),
            }
        })?;
    }
    Ok(found)
}
