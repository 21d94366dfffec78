//! Fabric's sample token-erc-20, as chaincode in Rust: accounts with balances and allowances.
//!
//! Functions, arguments, results and events are those of the official sample in Go, so that the commands of its tutorial
//! work unchanged.

mod ledger;

use selvedge::schemars::JsonSchema;
use selvedge::{ArgumentError, ClientIdentityError, Context, ErrorCode, LedgerError, Query, contract};
use serde::{Deserialize, Serialize};

use self::ledger::{
    DECIMALS, NAME, SYMBOL, TOTAL_SUPPLY, add, allowance_key, amount, balance_key, put, subtract, text,
};

/// The organisation that makes and destroys tokens.
const CENTRAL_BANK: &str = "Org1MSP";

/// Where tokens come from that are made, and where those go that are destroyed.
const NOBODY: &str = "0x0";

/// The payload of the events `Transfer` and `Approval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct Movement {
    /// Whose account, by their client id.
    pub from: String,
    /// The account that receives, or may spend.
    pub to: String,
    /// How much.
    pub value: i64,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum TokenError {
    /// The token has no name yet.
    #[error(
        "Contract options need to be set before calling any function, call Initialize() to initialize contract"
    )]
    #[code("NOT_INITIALIZED")]
    NotInitialized,
    /// The token has a name.
    #[error("contract options are already set, client is not authorized to change them")]
    #[code("INITIALIZED")]
    Initialized,
    /// Only the central bank may do this.
    #[error("client is not authorized to {0}")]
    #[code("NOT_AUTHORIZED")]
    NotAuthorized(&'static str),
    /// Nothing or less cannot be made or destroyed.
    #[error("{0} amount must be a positive integer")]
    #[code("NOT_POSITIVE")]
    NotPositive(&'static str),
    /// Less than nothing cannot be sent or allowed.
    #[error("{0} amount cannot be negative")]
    #[code("NEGATIVE")]
    Negative(&'static str),
    /// An account cannot pay itself.
    #[error("failed to transfer: cannot transfer to and from same client account")]
    #[code("SAME_ACCOUNT")]
    SameAccount,
    /// Nobody has ever sent tokens to the account.
    #[error("the account {0} does not exist")]
    #[code("ACCOUNT_MISSING")]
    NoAccount(String),
    /// The sender has never had tokens that could be destroyed.
    #[error("The balance does not exist")]
    #[code("ACCOUNT_MISSING")]
    NothingToBurn,
    /// Nobody has ever sent tokens to the account that is to pay.
    #[error("failed to transfer: client account {0} has no balance")]
    #[code("ACCOUNT_MISSING")]
    NoBalance(String),
    /// The account cannot pay so much.
    #[error("failed to transfer: client account {0} has insufficient funds")]
    #[code("INSUFFICIENT_FUNDS")]
    InsufficientFunds(String),
    /// The account's owner has not allowed so much.
    #[error("spender does not have enough allowance for transfer")]
    #[code("INSUFFICIENT_ALLOWANCE")]
    InsufficientAllowance,
    /// The sum is larger than the ledger's numbers.
    #[error("Math: addition overflow occurred {0} + {1}")]
    #[code("OVERFLOW")]
    Overflow(i64, i64),
    /// There is less than what is to be taken away.
    #[error("Error: the number {0} is not enough to be subtracted by {1}")]
    #[code("INSUFFICIENT_FUNDS")]
    NotEnough(i64, i64),
    /// What is on the ledger is no amount, or an event cannot be written.
    #[error("failed to read or write JSON: {0}")]
    #[code("JSON")]
    Json(#[from] serde_json::Error),
    /// The sender is nobody with a certificate.
    #[error(transparent)]
    #[code("IDENTITY")]
    Identity(#[from] ClientIdentityError),
    /// A key cannot be used on the ledger.
    #[error(transparent)]
    #[code("ARGUMENT")]
    Argument(#[from] ArgumentError),
    /// The ledger could not be read or written.
    #[error(transparent)]
    #[code("LEDGER")]
    Ledger(#[from] LedgerError),
}

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenErc20;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl TokenErc20 {
    /// Names the token, once. Only the central bank may.
    #[transaction]
    async fn initialize(
        &self,
        ctx: &Context,
        name: String,
        symbol: String,
        decimals: String,
    ) -> Result<bool, TokenError> {
        central_bank(ctx, "initialize contract")?;
        if ctx.get(NAME).await?.is_some() {
            return Err(TokenError::Initialized);
        }
        ctx.put(NAME, name).await?;
        ctx.put(SYMBOL, symbol).await?;
        ctx.put(DECIMALS, decimals).await?;
        Ok(true)
    }

    /// Makes tokens and puts them into the sender's account. Only the central bank may.
    #[transaction]
    async fn mint(&self, ctx: &Context, amount: i64) -> Result<(), TokenError> {
        initialized(ctx).await?;
        central_bank(ctx, "mint new tokens")?;
        positive("mint", amount)?;
        let minter = ctx.client_identity()?.id();
        let (account, supply) = (balance_key(&minter)?, ledger::amount(ctx, TOTAL_SUPPLY).await?);
        let balance = ledger::amount(ctx, &account).await?;
        put(ctx, &account, add(balance.unwrap_or(0), amount)?).await?;
        put(ctx, TOTAL_SUPPLY, add(supply.unwrap_or(0), amount)?).await?;
        event(ctx, "Transfer", NOBODY.to_owned(), minter, amount)
    }

    /// Takes tokens out of the sender's account and destroys them. Only the central bank may.
    #[transaction]
    async fn burn(&self, ctx: &Context, amount: i64) -> Result<(), TokenError> {
        initialized(ctx).await?;
        central_bank(ctx, "mint new tokens")?;
        positive("burn", amount)?;
        let minter = ctx.client_identity()?.id();
        let (account, supply) = (balance_key(&minter)?, ledger::amount(ctx, TOTAL_SUPPLY).await?);
        let balance = ledger::amount(ctx, &account).await?.ok_or(TokenError::NothingToBurn)?;
        put(ctx, &account, subtract(balance, amount)?).await?;
        put(ctx, TOTAL_SUPPLY, subtract(supply.unwrap_or(0), amount)?).await?;
        event(ctx, "Transfer", minter, NOBODY.to_owned(), amount)
    }

    /// Sends tokens from the sender's account to another one.
    #[transaction]
    async fn transfer(&self, ctx: &Context, recipient: String, amount: i64) -> Result<(), TokenError> {
        initialized(ctx).await?;
        let sender = ctx.client_identity()?.id();
        send(ctx, &sender, &recipient, amount).await?;
        event(ctx, "Transfer", sender, recipient, amount)
    }

    /// Sends tokens from an account to another one, as its owner has allowed the sender.
    #[transaction]
    async fn transfer_from(
        &self,
        ctx: &Context,
        from: String,
        to: String,
        value: i64,
    ) -> Result<(), TokenError> {
        initialized(ctx).await?;
        let allowance_key = allowance_key(&from, &ctx.client_identity()?.id())?;
        let allowed = amount(ctx, &allowance_key).await?.unwrap_or(0);
        if allowed < value {
            return Err(TokenError::InsufficientAllowance);
        }
        send(ctx, &from, &to, value).await?;
        put(ctx, &allowance_key, subtract(allowed, value)?).await?;
        event(ctx, "Transfer", from, to, value)
    }

    /// Allows somebody to spend so much of the sender's tokens, whatever was allowed before.
    #[transaction]
    async fn approve(&self, ctx: &Context, spender: String, value: i64) -> Result<(), TokenError> {
        initialized(ctx).await?;
        if value < 0 {
            return Err(TokenError::Negative("approval"));
        }
        let owner = ctx.client_identity()?.id();
        put(ctx, &allowance_key(&owner, &spender)?, value).await?;
        event(ctx, "Approval", owner, spender, value)
    }

    /// Gives how much somebody may still spend of an owner's tokens.
    #[transaction]
    async fn allowance(&self, ctx: &Query, owner: String, spender: String) -> Result<i64, TokenError> {
        initialized(ctx).await?;
        Ok(amount(ctx, &allowance_key(&owner, &spender)?).await?.unwrap_or(0))
    }

    /// Gives what is in an account.
    #[transaction]
    async fn balance_of(&self, ctx: &Query, account: String) -> Result<i64, TokenError> {
        balance(ctx, account).await
    }

    /// Gives what is in the sender's account.
    #[transaction]
    async fn client_account_balance(&self, ctx: &Query) -> Result<i64, TokenError> {
        balance(ctx, ctx.client_identity()?.id()).await
    }

    /// Gives the name of the sender's account, to be told to those who pay.
    #[transaction(name = "ClientAccountID")]
    async fn client_account_id(&self, ctx: &Query) -> Result<String, TokenError> {
        initialized(ctx).await?;
        Ok(ctx.client_identity()?.id())
    }

    /// Gives how many tokens there are.
    #[transaction]
    async fn total_supply(&self, ctx: &Query) -> Result<i64, TokenError> {
        initialized(ctx).await?;
        Ok(amount(ctx, TOTAL_SUPPLY).await?.unwrap_or(0))
    }

    /// Gives the token's name.
    #[transaction]
    async fn name(&self, ctx: &Query) -> Result<String, TokenError> {
        initialized(ctx).await
    }

    /// Gives the token's symbol.
    #[transaction]
    async fn symbol(&self, ctx: &Query) -> Result<String, TokenError> {
        initialized(ctx).await?;
        text(ctx, SYMBOL).await
    }

    /// Gives how many digits of an amount stand behind the point.
    #[transaction]
    async fn decimals(&self, ctx: &Query) -> Result<String, TokenError> {
        initialized(ctx).await?;
        text(ctx, DECIMALS).await
    }
}

/// The token's name, which it has once it is initialised.
async fn initialized(ctx: &Query) -> Result<String, TokenError> {
    match text(ctx, NAME).await? {
        name if name.is_empty() => Err(TokenError::NotInitialized),
        name => Ok(name),
    }
}

fn central_bank(ctx: &Query, what: &'static str) -> Result<(), TokenError> {
    match ctx.client_identity()?.msp_id() {
        CENTRAL_BANK => Ok(()),
        _ => Err(TokenError::NotAuthorized(what)),
    }
}

fn positive(what: &'static str, amount: i64) -> Result<(), TokenError> {
    if amount < 1 { Err(TokenError::NotPositive(what)) } else { Ok(()) }
}

async fn balance(ctx: &Query, account: String) -> Result<i64, TokenError> {
    initialized(ctx).await?;
    amount(ctx, &balance_key(&account)?).await?.ok_or(TokenError::NoAccount(account))
}

async fn send(ctx: &Context, from: &str, to: &str, value: i64) -> Result<(), TokenError> {
    if from == to {
        return Err(TokenError::SameAccount);
    }
    if value < 0 {
        return Err(TokenError::Negative("failed to transfer: transfer"));
    }
    let (payer, payee) = (balance_key(from)?, balance_key(to)?);
    let available = amount(ctx, &payer).await?.ok_or_else(|| TokenError::NoBalance(from.to_owned()))?;
    if available < value {
        return Err(TokenError::InsufficientFunds(from.to_owned()));
    }
    let received = add(amount(ctx, &payee).await?.unwrap_or(0), value)?;
    put(ctx, &payer, subtract(available, value)?).await?;
    put(ctx, &payee, received).await
}

fn event(ctx: &Context, name: &str, from: String, to: String, value: i64) -> Result<(), TokenError> {
    Ok(ctx.set_event(name, serde_json::to_vec(&Movement { from, to, value })?)?)
}
