use syn::ext::IdentExt;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItemFn, LitStr, Meta, Pat, PathArguments, Receiver,
    Result, ReturnType, Signature, Type,
};

use crate::rename::Rename;

const RECEIVER: &str = "a transaction takes `&self`: calls of one contract run at the same time";
const CONTEXT: &str =
    "a transaction takes `&Context`, if it writes, or `&Query`, if it only reads, behind `&self`";

/// A function that clients can call.
pub(crate) struct Transaction {
    pub(crate) ident: Ident,
    /// As clients call it.
    pub(crate) name: String,
    pub(crate) writes: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// What it returns if all goes well.
    pub(crate) returns: Type,
    /// `#[cfg(…)]`, which whatever is generated for it has too.
    pub(crate) conditions: Vec<Attribute>,
}

pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) of: Type,
}

/// What stands behind `#[transaction`.
pub(crate) struct Options {
    name: Option<LitStr>,
}

/// Takes `#[transaction]` away from a function's attributes; what is left is for the compiler.
pub(crate) fn take_attribute(attributes: &mut Vec<Attribute>) -> Result<Option<Options>> {
    let is_ours = |attribute: &Attribute| {
        attribute.path().segments.last().is_some_and(|last| last.ident == "transaction")
    };
    let mut options = None;
    while let Some(position) = attributes.iter().position(is_ours) {
        let attribute = attributes.remove(position);
        if options.is_some() {
            return Err(Error::new_spanned(attribute, "one #[transaction] is enough"));
        }
        options = Some(parse_options(&attribute)?);
    }
    Ok(options)
}

fn parse_options(attribute: &Attribute) -> Result<Options> {
    let mut options = Options { name: None };
    if matches!(attribute.meta, Meta::Path(_)) {
        return Ok(options);
    }
    attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("unknown option; a transaction has only `name`"));
        }
        let name: LitStr = meta.value()?.parse()?;
        if name.value().is_empty() || name.value().contains(':') {
            let message = "a transaction's name is not empty and has no colon, which ends a contract's name";
            return Err(Error::new(name.span(), message));
        }
        match options.name.replace(name) {
            Some(_) => Err(meta.error("`name` is given twice")),
            None => Ok(()),
        }
    })?;
    Ok(options)
}

impl Transaction {
    pub(crate) fn parse(options: &Options, function: &ImplItemFn, rename: Option<Rename>) -> Result<Self> {
        let signature = &function.sig;
        if signature.asyncness.is_none() {
            return Err(Error::new_spanned(signature.fn_token, "a transaction is an `async fn`"));
        }
        if !signature.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &signature.generics,
                "a transaction has no parameters of types or lifetimes: clients send bytes of one form",
            ));
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver)) if is_shared(receiver) => {}
            Some(FnArg::Receiver(receiver)) => return Err(Error::new_spanned(receiver, RECEIVER)),
            _ => return Err(Error::new(signature.ident.span(), RECEIVER)),
        }
        let writes = writes(inputs.next(), signature)?;
        let parameters = inputs.map(parameter).collect::<Result<_>>()?;
        let ident = signature.ident.clone();
        let rust_name = ident.unraw().to_string();
        let name = match (&options.name, rename) {
            (Some(name), _) => name.value(),
            (None, Some(rename)) => rename.apply(&rust_name),
            (None, None) => rust_name,
        };
        let returns = success(&signature.output, signature)?;
        let conditions =
            function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
        Ok(Self { ident, name, writes, parameters, returns, conditions })
    }
}

fn is_shared(receiver: &Receiver) -> bool {
    let text = quote::ToTokens::to_token_stream(receiver).to_string();
    text == "& self"
}

fn writes(input: Option<&FnArg>, signature: &Signature) -> Result<bool> {
    let Some(input) = input else { return Err(Error::new(signature.ident.span(), CONTEXT)) };
    if let FnArg::Typed(typed) = input
        && let Type::Reference(reference) = &*typed.ty
        && reference.mutability.is_none()
        && let Type::Path(path) = &*reference.elem
        && let Some(last) = path.path.segments.last()
    {
        match last.ident.to_string().as_str() {
            "Context" => return Ok(true),
            "Query" => return Ok(false),
            _ => {}
        }
    }
    Err(Error::new_spanned(input, CONTEXT))
}

fn parameter(input: &FnArg) -> Result<Parameter> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new_spanned(input, RECEIVER));
    };
    let Pat::Ident(pattern) = &*typed.pat else {
        return Err(Error::new_spanned(
            &typed.pat,
            "a parameter is a plain name, which clients see in the metadata",
        ));
    };
    match &*typed.ty {
        Type::Reference(reference) => Err(Error::new_spanned(
            reference,
            "a parameter is owned: take `String` for `&str` and `Vec<u8>` or `Bytes` for `&[u8]`",
        )),
        Type::ImplTrait(of) => {
            Err(Error::new_spanned(of, "a parameter has a concrete type: clients send bytes of one form"))
        }
        of => Ok(Parameter { name: pattern.ident.unraw().to_string(), of: of.clone() }),
    }
}

/// `T` of `Result<T, E>`.
fn success(output: &ReturnType, signature: &Signature) -> Result<Type> {
    const RESULT: &str = "a transaction returns `Result<T, E>`; the error's text goes to the client";
    let ReturnType::Type(_, of) = output else {
        return Err(Error::new(signature.ident.span(), RESULT));
    };
    if let Type::Path(path) = &**of
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(success)) = arguments.args.first()
    {
        return Ok(success.clone());
    }
    Err(Error::new_spanned(of, RESULT))
}
