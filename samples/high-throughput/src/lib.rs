//! Fabric's sample high-throughput, as chaincode in Rust: a variable that many change at once is kept as a row for each
//! change, so that no transaction makes another one invalid.
//!
//! Functions, arguments, results and the keys on the ledger are those of the official sample in Go, so that its client
//! application works unchanged.

use std::fmt;

use selvedge::{
    ArgumentError, CompositeKey, Context, ErrorCode, LedgerError, Query, StateIterator, contract,
};

/// The object type of changes on the ledger: behind it stand the variable, the operation, the value and the transaction.
const CHANGE: &str = "varName~op~value~txID";

/// What a row has as its value, since the ledger keeps no empty ones.
const NO_VALUE: &[u8] = &[0];

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum VariableError {
    /// The change is no number.
    #[error("provided value was not a number: {0}")]
    #[code("NOT_A_NUMBER")]
    NotANumber(String),
    /// Changes are added or subtracted.
    #[error("operator {0} is unrecognized")]
    #[code("UNKNOWN_OPERATION")]
    Operation(String),
    /// Nobody has changed the variable yet.
    #[error("no variable by the name {0} exists")]
    #[code("VARIABLE_MISSING")]
    Missing(String),
    /// What is on the ledger is no change of a variable.
    #[error("the ledger holds what is no change of a variable: {0:?}")]
    #[code("STORED")]
    Stored(String),
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
pub struct HighThroughput;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl HighThroughput {
    /// Changes a variable by a row of its own, whatever others do at the same time.
    #[transaction]
    async fn update(
        &self,
        ctx: &Context,
        name: String,
        delta: String,
        op: String,
    ) -> Result<String, VariableError> {
        number(&delta)?;
        let operation = Operation::parse(op)?;
        add_row(ctx, &name, operation, &delta).await?;
        Ok(format!("Successfully added {operation}{delta} to {name}"))
    }

    /// Gives the sum of a variable's changes.
    #[transaction]
    async fn get(&self, ctx: &Query, name: String) -> Result<String, VariableError> {
        let (mut rows, mut sum) = (Rows::open(ctx, name).await?, 0.0);
        while let Some(row) = rows.next().await? {
            sum = row.operation.apply(sum, row.value)?;
        }
        Ok(sum.to_string())
    }

    /// Puts one row in the place of all rows of a variable. Changes that others make meanwhile make it invalid.
    #[transaction]
    async fn prune(&self, ctx: &Context, name: String) -> Result<String, VariableError> {
        let (mut rows, mut sum, mut count) = (Rows::open(ctx, name.clone()).await?, 0.0, 0);
        while let Some(row) = rows.next().await? {
            ctx.delete(&row.key).await?;
            sum = row.operation.apply(sum, row.value)?;
            count += 1;
        }
        add_row(ctx, &name, Operation::Add, &sum.to_string()).await?;
        Ok(format!("Successfully pruned variable {name}, final value is {sum:.6}, {count} rows pruned"))
    }

    /// Deletes all rows of a variable.
    #[transaction]
    async fn delete(&self, ctx: &Context, name: String) -> Result<String, VariableError> {
        let (mut rows, mut count) = (Rows::open(ctx, name.clone()).await?, 0);
        while let Some(row) = rows.next().await? {
            ctx.delete(&row.key).await?;
            count += 1;
        }
        Ok(format!("Deleted {name}, {count} rows removed"))
    }

    /// Changes a variable in a single row, for comparison: of those who do so at the same time one succeeds.
    #[transaction]
    async fn update_standard(
        &self,
        ctx: &Context,
        name: String,
        delta: String,
        operation: String,
    ) -> Result<f64, VariableError> {
        let delta = number(&delta)?;
        let value = match ctx.get(&name).await? {
            Some(value) => stored(&value)?,
            None => 0.0,
        };
        let value = Operation::parse(operation)?.apply(value, delta)?;
        ctx.put(&name, value.to_string()).await?;
        Ok(value)
    }

    /// Gives a variable in a single row.
    #[transaction]
    async fn get_standard(&self, ctx: &Query, name: String) -> Result<String, VariableError> {
        let value = ctx.get(&name).await?.ok_or(VariableError::Missing(name))?;
        Ok(stored(&value)?.to_string())
    }

    /// Deletes a variable in a single row.
    #[transaction]
    async fn del_standard(&self, ctx: &Context, name: String) -> Result<(), VariableError> {
        Ok(ctx.delete(&name).await?)
    }
}

/// What is done with a change's value.
#[derive(Clone, Copy)]
enum Operation {
    Add,
    Subtract,
}

impl Operation {
    fn parse(text: String) -> Result<Self, VariableError> {
        match text.as_str() {
            "+" => Ok(Self::Add),
            "-" => Ok(Self::Subtract),
            _ => Err(VariableError::Operation(text)),
        }
    }

    /// A sum beyond the largest number is refused, as a change is: on the ledger it could not be read any more.
    fn apply(self, sum: f64, value: f64) -> Result<f64, VariableError> {
        let sum = match self {
            Self::Add => sum + value,
            Self::Subtract => sum - value,
        };
        if sum.is_finite() { Ok(sum) } else { Err(VariableError::NotANumber(sum.to_string())) }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
        })
    }
}

/// One change of a variable.
struct Row {
    key: String,
    operation: Operation,
    value: f64,
}

/// The changes of a variable, of which there is at least one.
struct Rows {
    entries: StateIterator,
    /// Until the first change has come.
    unknown: Option<String>,
}

impl Rows {
    async fn open(ctx: &Query, name: String) -> Result<Self, VariableError> {
        let entries = ctx.composite_range(CHANGE, [&name]).await?;
        Ok(Self { entries, unknown: Some(name) })
    }

    async fn next(&mut self) -> Result<Option<Row>, VariableError> {
        let unknown = self.unknown.take();
        match (self.entries.next().await?, unknown) {
            (Some(entry), _) => row(entry.key).map(Some),
            (None, Some(name)) => Err(VariableError::Missing(name)),
            (None, None) => Ok(None),
        }
    }
}

fn row(key: String) -> Result<Row, VariableError> {
    let composite = CompositeKey::parse(&key)?;
    let parts: Vec<&str> = composite.attributes().collect();
    match parts[..] {
        [_, operation, value, _] => {
            let (operation, value) = (Operation::parse(operation.to_owned())?, number(value)?);
            Ok(Row { key, operation, value })
        }
        _ => Err(VariableError::Stored(key)),
    }
}

/// The value is kept as the client wrote it; the transaction's id makes every row another key.
async fn add_row(ctx: &Context, name: &str, operation: Operation, value: &str) -> Result<(), VariableError> {
    let key = CompositeKey::new(CHANGE, [name, &operation.to_string(), value, ctx.tx_id()])?;
    Ok(ctx.put(&key, NO_VALUE).await?)
}

/// A sum with infinity or with what is no number would never be another value again.
fn number(text: &str) -> Result<f64, VariableError> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| VariableError::NotANumber(text.to_owned()))
}

fn stored(value: &[u8]) -> Result<f64, VariableError> {
    let text = String::from_utf8_lossy(value);
    number(&text).map_err(|_| VariableError::Stored(text.into_owned()))
}
