use syn::{Attribute, Error, FnArg, Ident, ImplItemFn, Meta, Result};

use crate::transaction::{RECEIVER, is_shared, success, writes};

/// What runs beside the transactions of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Before,
    After,
    Unknown,
}

/// A function that runs before, after or instead of a transaction.
pub(crate) struct Hook {
    pub(crate) kind: Kind,
    pub(crate) ident: Ident,
}

impl Kind {
    const ALL: [(&'static str, Self); 3] = [
        ("before_transaction", Self::Before),
        ("after_transaction", Self::After),
        ("unknown_transaction", Self::Unknown),
    ];

    /// What it takes behind the context.
    fn further(self) -> Option<&'static str> {
        match self {
            Self::Before => None,
            Self::After => Some("`&Response`"),
            Self::Unknown => Some("`&str`, the name that was called"),
        }
    }
}

/// Takes a hook's attribute away from a function's attributes.
pub(crate) fn take_attribute(attributes: &mut Vec<Attribute>) -> Result<Option<Kind>> {
    let kind = |attribute: &Attribute| {
        let last = attribute.path().segments.last()?;
        Kind::ALL.iter().find(|(name, _)| last.ident == name).map(|(_, kind)| *kind)
    };
    let Some((position, kind)) =
        attributes.iter().enumerate().find_map(|(position, attribute)| Some((position, kind(attribute)?)))
    else {
        return Ok(None);
    };
    let attribute = attributes.remove(position);
    match attribute.meta {
        Meta::Path(_) => Ok(Some(kind)),
        _ => Err(Error::new_spanned(attribute, "a hook has no options")),
    }
}

impl Hook {
    pub(crate) fn parse(kind: Kind, function: &ImplItemFn) -> Result<Self> {
        let signature = &function.sig;
        if signature.asyncness.is_none() {
            return Err(Error::new_spanned(
                signature.fn_token,
                "a hook is an `async fn`, as transactions are",
            ));
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver)) if is_shared(receiver) => {}
            _ => return Err(Error::new(signature.ident.span(), RECEIVER)),
        }
        writes(inputs.next(), signature)?;
        let further = inputs.count();
        match kind.further() {
            None if further > 0 => {
                return Err(Error::new(
                    signature.ident.span(),
                    "a hook that runs before takes the context and nothing else",
                ));
            }
            Some(what) if further != 1 => {
                let message = format!("behind the context this hook takes {what}");
                return Err(Error::new(signature.ident.span(), message));
            }
            _ => {}
        }
        success(&signature.output, signature)?;
        Ok(Self { kind, ident: signature.ident.clone() })
    }
}
