use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitInt, LitStr, Result, Token, Variant};

/// From here on a status is an error, and up to here it is one of the client's or the contract's.
const STATUSES: std::ops::RangeInclusive<i32> = 400..=599;

struct Code {
    name: LitStr,
    status: i32,
}

/// Implements `ErrorCode` for an enum each of whose variants has `#[code("…")]` or `#[code("…", status = 404)]`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(of) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "an enum has codes, one for each variant"));
    };
    let mut errors: Option<Error> = None;
    let (mut codes, mut statuses) = (Vec::new(), Vec::new());
    for variant in &of.variants {
        match code(variant) {
            Ok(Code { name, status }) => {
                let pattern = pattern(variant);
                codes.push(quote!(#pattern => #name));
                statuses.push(quote!(#pattern => #status));
            }
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let ident = &input.ident;
    let (generics, types, conditions) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::selvedge::ErrorCode for #ident #types #conditions {
            fn code(&self) -> &str {
                match self { #(#codes),* }
            }

            fn status(&self) -> i32 {
                match self { #(#statuses),* }
            }
        }
    })
}

fn pattern(variant: &Variant) -> TokenStream {
    let ident = &variant.ident;
    match variant.fields {
        Fields::Named(_) => quote!(Self::#ident { .. }),
        Fields::Unnamed(_) => quote!(Self::#ident(..)),
        Fields::Unit => quote!(Self::#ident),
    }
}

fn code(variant: &Variant) -> Result<Code> {
    let is_ours = |attribute: &&Attribute| attribute.path().is_ident("code");
    let Some(attribute) = variant.attrs.iter().find(is_ours) else {
        let message =
            "a code is missing: #[code(\"ASSET_MISSING\")] or #[code(\"ASSET_MISSING\", status = 404)]";
        return Err(Error::new_spanned(&variant.ident, message));
    };
    attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
        let name: LitStr = input.parse()?;
        if name.value().is_empty() || name.value().contains([':', ' ']) {
            let message = "a code is one word without a colon, which ends it in the response";
            return Err(Error::new(name.span(), message));
        }
        if input.is_empty() {
            return Ok(Code { name, status: 500 });
        }
        input.parse::<Token![,]>()?;
        let key: syn::Ident = input.parse()?;
        if key != "status" {
            return Err(Error::new(key.span(), "unknown option; there is only `status`"));
        }
        input.parse::<Token![=]>()?;
        let status: LitInt = input.parse()?;
        match status.base10_parse()? {
            value if STATUSES.contains(&value) => Ok(Code { name, status: value }),
            _ => Err(Error::new(status.span(), "the status of an error is from 400 to 599")),
        }
    })
}
