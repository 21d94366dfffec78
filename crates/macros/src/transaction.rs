use syn::ext::IdentExt;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItemFn, LitStr, Meta, Pat, PathArguments, Receiver,
    Result, ReturnType, Signature, Type,
};

use crate::rename::Rename;

pub(crate) const RECEIVER: &str = "a transaction takes `&self`: calls of one contract run at the same time";
const CONTEXT: &str =
    "a transaction takes `&Context`, if it writes, or `&Query`, if it only reads, behind `&self`";

/// A function that clients can call.
pub(crate) struct Transaction {
    pub(crate) ident: Ident,
    /// As clients call it.
    pub(crate) name: String,
    pub(crate) writes: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// What it returns: a `Result`.
    pub(crate) output: ReturnType,
    /// What it returns if all goes well.
    pub(crate) returns: Type,
    /// Its documentation, for the metadata.
    pub(crate) description: String,
    /// `#[cfg(…)]`, which whatever is generated for it has too.
    pub(crate) conditions: Vec<Attribute>,
}

pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) of: Type,
    pub(crate) source: Source,
}

/// Where a parameter's value comes from.
pub(crate) enum Source {
    /// The next of the client's arguments.
    Argument,
    /// The proposal's transient map, under this name.
    Transient(String),
    /// The private data collection of this name itself.
    Collection(String),
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
    /// Takes the parameters' attributes away, too.
    pub(crate) fn parse(
        options: &Options,
        function: &mut ImplItemFn,
        rename: Option<Rename>,
    ) -> Result<Self> {
        let sources = sources(&mut function.sig)?;
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
        let parameters = inputs
            .zip(sources.into_iter().skip(2))
            .map(|(input, source)| parameter(input, source, writes))
            .collect::<Result<_>>()?;
        let ident = signature.ident.clone();
        let rust_name = ident.unraw().to_string();
        let name = match (&options.name, rename) {
            (Some(name), _) => name.value(),
            (None, Some(rename)) => rename.apply(&rust_name),
            (None, None) => rust_name,
        };
        let output = signature.output.clone();
        let returns = success(&output, signature)?;
        let conditions =
            function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
        let description = description(&function.attrs);
        Ok(Self { ident, name, writes, parameters, output, returns, description, conditions })
    }
}

pub(crate) fn is_shared(receiver: &Receiver) -> bool {
    let text = quote::ToTokens::to_token_stream(receiver).to_string();
    text == "& self"
}

pub(crate) fn writes(input: Option<&FnArg>, signature: &Signature) -> Result<bool> {
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

/// Takes `#[transient]` and `#[private]` away from the function's inputs.
fn sources(signature: &mut Signature) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for input in &mut signature.inputs {
        let FnArg::Typed(typed) = input else {
            sources.push(Source::Argument);
            continue;
        };
        let mut source = Source::Argument;
        let is_ours = |attribute: &Attribute| {
            attribute.path().is_ident("transient") || attribute.path().is_ident("private")
        };
        while let Some(position) = typed.attrs.iter().position(is_ours) {
            let attribute = typed.attrs.remove(position);
            if !matches!(source, Source::Argument) {
                return Err(Error::new_spanned(attribute, "a parameter comes from one place"));
            }
            source = parse_source(&attribute, &typed.pat)?;
        }
        sources.push(source);
    }
    Ok(sources)
}

fn parse_source(attribute: &Attribute, pattern: &Pat) -> Result<Source> {
    if attribute.path().is_ident("private") {
        let name: LitStr = attribute.parse_args().map_err(|_| {
            Error::new_spanned(attribute, "#[private(\"…\")] names the private data collection")
        })?;
        return Ok(Source::Collection(not_empty(&name)?));
    }
    if let Meta::Path(_) = attribute.meta {
        let name = match pattern {
            Pat::Ident(pattern) => pattern.ident.unraw().to_string(),
            _ => String::new(),
        };
        return Ok(Source::Transient(name));
    }
    let name: LitStr = attribute.parse_args().map_err(|_| {
        Error::new_spanned(
            attribute,
            "#[transient] or #[transient(\"…\")], with the name in the transient map",
        )
    })?;
    Ok(Source::Transient(not_empty(&name)?))
}

fn not_empty(name: &LitStr) -> Result<String> {
    match name.value() {
        value if value.is_empty() => Err(Error::new(name.span(), "a name is not empty")),
        value => Ok(value),
    }
}

/// What the documentation says, in one line for each paragraph.
fn description(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
            let Meta::NameValue(pair) = &attribute.meta else { return None };
            let syn::Expr::Lit(literal) = &pair.value else { return None };
            let syn::Lit::Str(text) = &literal.lit else { return None };
            Some(text.value().trim().to_owned())
        });
    let mut description = String::new();
    for line in lines {
        match line.as_str() {
            "" => description.push('\n'),
            line => {
                if !description.is_empty() && !description.ends_with('\n') {
                    description.push(' ');
                }
                description.push_str(line);
            }
        }
    }
    description.trim().to_owned()
}

fn parameter(input: &FnArg, source: Source, writes: bool) -> Result<Parameter> {
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
        of => {
            if let Source::Collection(_) = source {
                check_collection(of, writes)?;
            }
            Ok(Parameter { name: pattern.ident.unraw().to_string(), of: of.clone(), source })
        }
    }
}

/// A function that only reads gets a collection that can only be read.
fn check_collection(of: &Type, writes: bool) -> Result<()> {
    const COLLECTION: &str =
        "a private data collection is a `Collection`, or a `CollectionContext` where `&Context` is taken";
    let last = match of {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    match last.as_deref() {
        Some("Collection") => Ok(()),
        Some("CollectionContext") if writes => Ok(()),
        _ => Err(Error::new_spanned(of, COLLECTION)),
    }
}

/// `T` of `Result<T, E>`.
pub(crate) fn success(output: &ReturnType, signature: &Signature) -> Result<Type> {
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
