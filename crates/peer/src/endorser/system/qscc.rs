//! qscc: the blocks and transactions of a channel.

use std::num::IntErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::{Ledger, block};
use selvedge_proto::common::BlockchainInfo;
use selvedge_proto::protos::{ProcessedTransaction, Response};

use super::{SystemCall, error, message, text};

/// Stands for the newest block.
const NEWEST: u64 = u64::MAX;

pub(super) async fn invoke(call: &SystemCall<'_>) -> Result<Response, String> {
    let [function, channel_id, arguments @ ..] = call.args else {
        return Ok(error(format!("Incorrect number of arguments, {}", call.args.len())));
    };
    match call.original() {
        Ok("qscc") => {}
        Ok(other) => {
            return Ok(error(format!(
                "Rejecting invoke of QSCC from another chaincode because of potential for deadlocks, original \
                 invocation for '{other}'"
            )));
        }
        Err(refused) => return Ok(refused),
    }
    let function = text(function)?;
    let argument = arguments.first();
    if function != "GetChainInfo" && argument.is_none() {
        return Ok(error(format!("missing 3rd argument for {function}")));
    }
    let channel_id = text(channel_id)?;
    let Some(channel) = call.channels.get(channel_id) else {
        return Ok(error(format!("Invalid chain ID, {channel_id}")));
    };
    if let Err(denied) = call.check_channel(&channel, &format!("qscc/{function}")) {
        return Ok(error(format!("access denied for [{function}][{channel_id}]: [{denied}]")));
    }
    let (ledger, function) = (Arc::clone(channel.ledger()), function.to_owned());
    let argument = argument.cloned().unwrap_or_default();
    // Blocks are read from the disk.
    let answer = tokio::task::spawn_blocking(move || answer(&ledger, &function, &argument));
    answer.await.map_err(|broken_off| broken_off.to_string())?
}

fn answer(ledger: &Ledger, function: &str, argument: &Bytes) -> Result<Response, String> {
    match function {
        "GetChainInfo" => Ok(chain_info(ledger)),
        "GetBlockByNumber" => block_by_number(ledger, argument),
        "GetBlockByHash" => {
            let missing = || Ok(format!("no such block hash [{}] in index", hex::encode(argument)));
            let failed = |reason| Ok(format!("Failed to get block hash {}, error {reason}", text(argument)?));
            found(ledger.block_by_hash(argument), message, missing, failed)
        }
        "GetBlockByTxID" => {
            let failed =
                |reason| Ok(format!("Failed to get block for txID {}, error {reason}", text(argument)?));
            let id = String::from_utf8_lossy(argument);
            found(ledger.block_by_transaction(&id), message, || no_transaction(argument), failed)
        }
        "GetTransactionByID" => {
            let failed =
                |reason| Ok(format!("Failed to get transaction with id {}, error {reason}", text(argument)?));
            let id = String::from_utf8_lossy(argument);
            let processed = |transaction: &selvedge_ledger::LedgerTransaction| {
                message(&ProcessedTransaction {
                    transaction_envelope: Some(transaction.envelope.clone()),
                    validation_code: transaction.place.code as i32,
                })
            };
            found(ledger.transaction(&id), processed, || no_transaction(argument), failed)
        }
        // A channel may give any name a rule, but that makes no function of it.
        other => Ok(error(format!("Requested function {other} not found."))),
    }
}

/// The answer to a question that the ledger answers with something, with nothing, or not at all.
fn found<T, E: std::fmt::Display>(
    answer: Result<Option<T>, E>,
    encode: impl FnOnce(&T) -> Response,
    missing: impl FnOnce() -> Result<String, String>,
    failed: impl FnOnce(String) -> Result<String, String>,
) -> Result<Response, String> {
    let reason = match answer {
        Ok(Some(found)) => return Ok(encode(&found)),
        Ok(None) => missing()?,
        Err(error) => error.to_string(),
    };
    failed(reason).map(error)
}

fn no_transaction(id: &[u8]) -> Result<String, String> {
    Ok(format!("no such transaction ID [{}] in index", text(id)?))
}

fn chain_info(ledger: &Ledger) -> Response {
    let height = ledger.height();
    let last = height.checked_sub(1).map_or(Ok(None), |number| ledger.block(number));
    match last.map(|last| last.and_then(|block| block.header).unwrap_or_default()) {
        Ok(last) => message(&BlockchainInfo {
            height,
            current_block_hash: Bytes::copy_from_slice(&block::header_hash(&last)),
            previous_block_hash: last.previous_hash,
            bootstrapping_snapshot_info: None,
        }),
        Err(reason) => error(format!("Failed to get block info with error {reason}")),
    }
}

fn block_by_number(ledger: &Ledger, argument: &[u8]) -> Result<Response, String> {
    let number = match parse_unsigned(argument) {
        Ok(number) => number,
        Err(reason) => return Ok(error(format!("Failed to parse block number with error {reason}"))),
    };
    let wanted = if number == NEWEST { ledger.height().saturating_sub(1) } else { number };
    let missing = || Ok(format!("no such block number [{number}] in index"));
    let failed = |reason| Ok(format!("Failed to get block number {number}, error {reason}"));
    found(ledger.block(wanted), message, missing, failed)
}

/// Reads a number as Go's `strconv.ParseUint` does, whose errors clients see.
fn parse_unsigned(argument: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(argument);
    let failed = |reason| format!("strconv.ParseUint: parsing {}: {reason}", quoted(argument));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed("invalid syntax"));
    }
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => failed("value out of range"),
        _ => failed("invalid syntax"),
    })
}

/// Text in quotes, as Go writes it: what is not printable or no UTF-8 is escaped.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                control if control.is_ascii_control() => text.push_str(&format!("\\x{:02x}", control as u32)),
                control if control.is_control() => text.push_str(&format!("\\u{:04x}", control as u32)),
                character => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::parse_unsigned;

    #[test]
    fn numbers_are_read_as_in_go() {
        let refused = |text: &[u8], quoted: &str, reason: &str| {
            let expected = format!("strconv.ParseUint: parsing {quoted}: {reason}");
            assert_eq!(parse_unsigned(text), Err(expected));
        };
        assert_eq!(parse_unsigned(b"0017"), Ok(17));
        assert_eq!(parse_unsigned(b"18446744073709551615"), Ok(u64::MAX));
        refused(b"18446744073709551616", r#""18446744073709551616""#, "value out of range");
        refused(b"", r#""""#, "invalid syntax");
        refused(b"+1", r#""+1""#, "invalid syntax");
        refused(b"1\n\"\xff\x01", r#""1\n\"\xff\x01""#, "invalid syntax");
    }
}
