//! Where amounts lie on the ledger, in decimal digits, and how they are reckoned with.

use selvedge::{ArgumentError, CompositeKey, Context, Query};

use crate::TokenError;

pub(crate) const NAME: &str = "name";
pub(crate) const SYMBOL: &str = "symbol";
pub(crate) const DECIMALS: &str = "decimals";
pub(crate) const TOTAL_SUPPLY: &str = "totalSupply";

/// Where an account lies. A composite key, since an account may have any name, also that of a key above.
pub(crate) fn balance_key(account: &str) -> Result<CompositeKey, ArgumentError> {
    CompositeKey::new("balance", [account])
}

pub(crate) fn allowance_key(owner: &str, spender: &str) -> Result<CompositeKey, ArgumentError> {
    CompositeKey::new("allowance", [owner, spender])
}

pub(crate) async fn amount(ctx: &Query, key: &str) -> Result<Option<i64>, TokenError> {
    Ok(ctx.get(key).await?.map(|digits| serde_json::from_slice(&digits)).transpose()?)
}

pub(crate) async fn put(ctx: &Context, key: &str, amount: i64) -> Result<(), TokenError> {
    Ok(ctx.put(key, amount.to_string()).await?)
}

/// Empty if there is none.
pub(crate) async fn text(ctx: &Query, key: &str) -> Result<String, TokenError> {
    Ok(String::from_utf8_lossy(&ctx.get(key).await?.unwrap_or_default()).into_owned())
}

pub(crate) fn add(amount: i64, more: i64) -> Result<i64, TokenError> {
    amount.checked_add(more).ok_or(TokenError::Overflow(amount, more))
}

/// No account is ever in debt.
pub(crate) fn subtract(amount: i64, less: i64) -> Result<i64, TokenError> {
    amount.checked_sub(less).filter(|rest| *rest >= 0).ok_or(TokenError::NotEnough(amount, less))
}
