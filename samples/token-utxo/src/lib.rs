//! Fabric's sample token-utxo, as chaincode in Rust: tokens are unspent outputs of transactions, each spent once and whole.
//!
//! Functions, arguments, results and the keys on the ledger are those of the official sample in Go, so that the commands of
//! its tutorial work unchanged.

use std::collections::BTreeSet;

use selvedge::schemars::JsonSchema;
use selvedge::{
    ArgumentError, ClientIdentityError, CompositeKey, Context, ErrorCode, LedgerError, Query, contract,
};
use serde::{Deserialize, Serialize};

/// The organisation that makes tokens.
const CENTRAL_BANK: &str = "Org1MSP";

/// The object type of outputs on the ledger; behind it stand the owner and the output's key.
const OUTPUT: &str = "utxo";

const NAME: &str = "name";
const SYMBOL: &str = "symbol";

/// An unspent transaction output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct Utxo {
    /// The transaction that made it, and its place among that transaction's outputs. Clients may leave it out.
    #[serde(rename = "utxo_key", default)]
    pub key: String,
    /// Who can spend it, by their client id.
    pub owner: String,
    /// How many tokens it is.
    pub amount: i64,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum TokenError {
    /// The token has no name yet.
    #[error(
        "contract options need to be set before calling any function, call Initialize() to initialize contract"
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
    /// Nothing or less cannot be made or sent.
    #[error("{0} amount must be a positive integer")]
    #[code("NOT_POSITIVE")]
    NotPositive(&'static str),
    /// An output is spent once.
    #[error("the same utxo input can not be spend twice")]
    #[code("SPENT_TWICE")]
    SpentTwice,
    /// The sender has no such output.
    #[error("utxoInput {key} not found for client {client}")]
    #[code("OUTPUT_MISSING")]
    NotFound {
        /// The output.
        key: String,
        /// The sender.
        client: String,
    },
    /// Outputs are spent whole.
    #[error("total utxoInput amount {spent} does not equal total utxoOutput amount {made}")]
    #[code("AMOUNTS_DIFFER")]
    AmountsDiffer {
        /// Of the outputs that would be spent.
        spent: i64,
        /// Of those that would be made.
        made: i64,
    },
    /// The sum is larger than the ledger's numbers.
    #[error("math: addition overflow occurred {0} + {1}")]
    #[code("OVERFLOW")]
    Overflow(i64, i64),
    /// What is on the ledger is no amount.
    #[error("utxo {key} has no amount")]
    #[code("STORED")]
    Stored {
        /// The output.
        key: String,
    },
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
pub struct TokenUtxo;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl TokenUtxo {
    /// Names the token, once. Only the central bank may.
    #[transaction]
    async fn initialize(&self, ctx: &Context, name: String, symbol: String) -> Result<bool, TokenError> {
        central_bank(ctx, "initialize contract")?;
        if ctx.get(NAME).await?.is_some() {
            return Err(TokenError::Initialized);
        }
        ctx.put(NAME, name).await?;
        ctx.put(SYMBOL, symbol).await?;
        Ok(true)
    }

    /// Makes an output of the sender. Only the central bank may.
    #[transaction]
    async fn mint(&self, ctx: &Context, amount: i64) -> Result<Utxo, TokenError> {
        initialized(ctx).await?;
        central_bank(ctx, "mint new tokens")?;
        positive("mint", amount)?;
        let minted = Utxo { key: output_key(ctx, 0), owner: ctx.client_identity()?.id(), amount };
        put(ctx, &minted).await?;
        Ok(minted)
    }

    /// Spends outputs of the sender, named by their keys, and makes others of the same amount in all.
    #[transaction]
    async fn transfer(
        &self,
        ctx: &Context,
        utxo_input_keys: Vec<String>,
        utxo_outputs: Vec<Utxo>,
    ) -> Result<Vec<Utxo>, TokenError> {
        initialized(ctx).await?;
        let client = ctx.client_identity()?.id();
        let (mut spent, mut inputs) = (0, BTreeSet::new());
        for key in utxo_input_keys {
            let input = ledger_key(&client, &key)?;
            let Some(amount) = ctx.get(&input).await? else {
                return Err(TokenError::NotFound { key, client });
            };
            spent = add(spent, read_amount(&key, &amount)?)?;
            if !inputs.insert(input) {
                return Err(TokenError::SpentTwice);
            }
        }
        let (mut made, mut outputs) = (0, Vec::with_capacity(utxo_outputs.len()));
        for (index, output) in utxo_outputs.into_iter().enumerate() {
            positive("utxo output", output.amount)?;
            made = add(made, output.amount)?;
            outputs.push(Utxo { key: output_key(ctx, index), ..output });
        }
        if spent != made {
            return Err(TokenError::AmountsDiffer { spent, made });
        }
        for input in inputs {
            ctx.delete(&input).await?;
        }
        for output in &outputs {
            put(ctx, output).await?;
        }
        Ok(outputs)
    }

    /// Gives the outputs that the sender can spend.
    #[transaction(name = "ClientUTXOs")]
    async fn client_utxos(&self, ctx: &Query) -> Result<Vec<Utxo>, TokenError> {
        initialized(ctx).await?;
        let owner = ctx.client_identity()?.id();
        let (mut outputs, mut entries) = (Vec::new(), ctx.composite_range(OUTPUT, [&owner]).await?);
        while let Some(entry) = entries.next().await? {
            let ledger_key = CompositeKey::parse(&entry.key)?;
            let key = ledger_key.attributes().nth(1).unwrap_or_default().to_owned();
            let amount = read_amount(&key, &entry.value)?;
            outputs.push(Utxo { key, owner: owner.clone(), amount });
        }
        Ok(outputs)
    }

    /// Gives the sender's client id, to be told to those who pay.
    #[transaction(name = "ClientID")]
    async fn client_id(&self, ctx: &Query) -> Result<String, TokenError> {
        initialized(ctx).await?;
        Ok(ctx.client_identity()?.id())
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
}

/// The token's name, which it has once it is initialised.
async fn initialized(ctx: &Query) -> Result<String, TokenError> {
    match text(ctx, NAME).await? {
        name if name.is_empty() => Err(TokenError::NotInitialized),
        name => Ok(name),
    }
}

async fn text(ctx: &Query, key: &str) -> Result<String, TokenError> {
    Ok(String::from_utf8_lossy(&ctx.get(key).await?.unwrap_or_default()).into_owned())
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

fn add(amount: i64, more: i64) -> Result<i64, TokenError> {
    amount.checked_add(more).ok_or(TokenError::Overflow(amount, more))
}

/// Of the output at this place in the transaction.
fn output_key(ctx: &Query, index: usize) -> String {
    format!("{}.{index}", ctx.tx_id())
}

fn ledger_key(owner: &str, key: &str) -> Result<CompositeKey, ArgumentError> {
    CompositeKey::new(OUTPUT, [owner, key])
}

/// The ledger keeps amounts in decimal digits.
fn read_amount(key: &str, digits: &[u8]) -> Result<i64, TokenError> {
    let amount = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    amount.ok_or_else(|| TokenError::Stored { key: key.to_owned() })
}

async fn put(ctx: &Context, output: &Utxo) -> Result<(), TokenError> {
    Ok(ctx.put(&ledger_key(&output.owner, &output.key)?, output.amount.to_string()).await?)
}
