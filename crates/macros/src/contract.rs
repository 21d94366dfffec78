use std::collections::BTreeMap;

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, Token, Type};

use crate::hook::{self, Hook};
use crate::rename::Rename;
use crate::transaction::{Transaction, take_attribute};

/// The contract of every chaincode that tells its metadata.
const SYSTEM_CONTRACT: &str = "org.hyperledger.fabric";

/// What stands in the attribute's parentheses.
#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
    rename: Option<Rename>,
    default: bool,
}

/// A contract that is known to be in order.
pub(crate) struct Contract {
    pub(crate) item: ItemImpl,
    pub(crate) name: String,
    pub(crate) default: bool,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) hooks: Vec<Hook>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let again = match key.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    options.name.replace(contract_name(input.parse()?)?).is_some()
                }
                "rename_all" => {
                    input.parse::<Token![=]>()?;
                    options.rename.replace(Rename::parse(&input.parse()?)?).is_some()
                }
                "default" => std::mem::replace(&mut options.default, true),
                _ => {
                    return Err(Error::new(
                        key.span(),
                        format!("unknown option `{key}`; there are `name`, `rename_all` and `default`"),
                    ));
                }
            };
            if again {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn contract_name(literal: LitStr) -> Result<LitStr> {
    let name = literal.value();
    if name.is_empty() {
        return Err(Error::new(literal.span(), "a contract's name is not empty"));
    }
    if name == SYSTEM_CONTRACT {
        return Err(Error::new(literal.span(), format!("`{SYSTEM_CONTRACT}` is in every chaincode already")));
    }
    Ok(literal)
}

impl Contract {
    pub(crate) fn parse(options: Options, mut item: ItemImpl) -> Result<Self> {
        check_impl(&item)?;
        let name = match options.name {
            Some(name) => name.value(),
            None => type_name(&item.self_ty)?,
        };
        let (transactions, hooks) = members(&mut item, options.rename)?;
        if transactions.is_empty() {
            let message = "a contract has at least one function with #[transaction]";
            return Err(Error::new_spanned(&item.self_ty, message));
        }
        Ok(Self { item, name, default: options.default, transactions, hooks })
    }
}

fn check_impl(item: &ItemImpl) -> Result<()> {
    if let Some((path, _)) = &item.trait_ {
        return Err(Error::new_spanned(path, "a contract is the `impl` block of a type, not of a trait"));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "a contract is a concrete type, without parameters"));
    }
    Ok(())
}

fn type_name(of: &Type) -> Result<String> {
    match of {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
    .map(|segment| segment.ident.to_string())
    .ok_or_else(|| Error::new_spanned(of, "a contract is the `impl` block of a named type"))
}

/// All that is wrong with them is reported at once.
fn members(item: &mut ItemImpl, rename: Option<Rename>) -> Result<(Vec<Transaction>, Vec<Hook>)> {
    let mut found = Vec::new();
    let mut hooks: Vec<Hook> = Vec::new();
    let mut names = BTreeMap::new();
    let mut errors: Option<Error> = None;
    let mut wrong = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    for member in &mut item.items {
        let ImplItem::Fn(function) = member else { continue };
        match hook(function, &hooks) {
            Ok(hook) => hooks.extend(hook),
            Err(error) => wrong(error),
        }
        let attribute = match take_attribute(&mut function.attrs) {
            Ok(Some(attribute)) => attribute,
            Ok(None) => continue,
            Err(error) => {
                wrong(error);
                continue;
            }
        };
        match Transaction::parse(&attribute, function, rename) {
            Ok(transaction) => {
                // Functions of one name may stand under conditions that exclude each other.
                if transaction.conditions.is_empty()
                    && let Some(first) = names.insert(transaction.name.clone(), transaction.ident.clone())
                {
                    let message = format!("`{}` is the name of `{first}` already", transaction.name);
                    wrong(Error::new(transaction.ident.span(), message));
                }
                found.push(transaction);
            }
            Err(error) => wrong(error),
        }
    }
    errors.map_or(Ok((found, hooks)), Err)
}

fn hook(function: &mut ImplItemFn, others: &[Hook]) -> Result<Option<Hook>> {
    let Some(kind) = hook::take_attribute(&mut function.attrs)? else { return Ok(None) };
    let hook = Hook::parse(kind, function)?;
    match others.iter().find(|other| other.kind == kind) {
        Some(other) => {
            let message = format!("`{}` does this already; a contract has one", other.ident);
            Err(Error::new(hook.ident.span(), message))
        }
        None => Ok(Some(hook)),
    }
}
