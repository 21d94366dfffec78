//! The recorded peer's messages reach the real server; what it answers is what the official Go shim sent, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge::{Context, Query, Response};
use selvedge_golden::Corpus;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeId, ChaincodeInput, ChaincodeMessage};

use crate::support::{Running, Stream, contract};

/// The folders of what the official Go shim was recorded with.
const GROUPS: [&str; 4] =
    ["streams/go/", "streams/mtls/", "streams/go-params-off/", "streams/go-params-small/"];

/// Operations of the recorded chaincode that this library has no call for yet, with what they need.
const NOT_YET: [(&str, &str); 25] = [
    ("rangep", "paged ranges"),
    ("comp", "ranges of composite keys"),
    ("compp", "ranges of composite keys"),
    ("allcomp", "ranges of composite keys"),
    ("hist", "GET_HISTORY_FOR_KEY"),
    ("query", "GET_QUERY_RESULT"),
    ("sep", "PUT_STATE_METADATA"),
    ("gep", "GET_STATE_METADATA"),
    ("binding", "the proposal's binding"),
    ("mget", "GET_STATE_MULTIPLE"),
    ("mgetn", "GET_STATE_MULTIPLE"),
    ("sb", "WRITE_BATCH_STATE"),
    ("fb", "WRITE_BATCH_STATE"),
    ("pput", "private data"),
    ("pget", "private data"),
    ("pdel", "private data"),
    ("ppurge", "private data"),
    ("phash", "private data"),
    ("prange", "private data"),
    ("pcomp", "private data"),
    ("pquery", "private data"),
    ("pmget", "private data"),
    ("psep", "private data"),
    ("pgep", "private data"),
    ("cc", "INVOKE_CHAINCODE"),
];

/// Rows up to which the recorded chaincode returns them all; of more it returns the number.
const LISTED: usize = 120;

#[tokio::test]
async fn golden_streams_of_the_go_shim() {
    let handshakes = handshakes();
    let mut servers = BTreeMap::new();
    let (mut compared, mut not_yet) = (0, BTreeSet::new());
    for (file, connection, lines) in legs() {
        let input = ChaincodeInput::decode(lines[0].message.payload.clone()).expect("a ChaincodeInput");
        if let Some(operation) = missing(&input.args) {
            not_yet.insert(operation);
            continue;
        }
        let handshake = &handshakes[&connection];
        let id = ChaincodeId::decode(handshake[0].message.payload.clone()).expect("a ChaincodeID");
        if !servers.contains_key(&id.name) {
            let server = Running::start_as(&id.name, contract(recorded), |server| server).await;
            servers.insert(id.name.clone(), server);
        }
        let mut stream = servers[&id.name].connect().await;
        for line in handshake.iter().chain(&lines) {
            play(&mut stream, line, &file).await;
        }
        compared += 1;
    }
    assert!(compared > 0, "nothing was compared");
    println!("{compared} dialogues compared; not yet: {not_yet:?}");
    for (_, server) in servers {
        server.stop().await;
    }
}

async fn play(stream: &mut Stream, line: &Line, file: &str) {
    if line.from_peer {
        return stream.send(line.message.clone()).await;
    }
    let ours =
        stream.next().await.expect("a stream in order").unwrap_or_else(|| panic!("{file}: no message"));
    let (ours, recorded) = (hex::encode(ours.encode_to_vec()), hex::encode(&line.bytes));
    assert!(ours == recorded, "{file}: {ours:.2000} is not {recorded:.2000}");
}

/// The first operation in the arguments that is not there yet.
fn missing(args: &[Bytes]) -> Option<&'static str> {
    let name = args.first()?;
    if name == "multi" {
        return args.iter().skip(1).find_map(|step| missing(&operation(step)));
    }
    if name == "try" {
        return missing(&args[1..]);
    }
    NOT_YET.iter().map(|(name, _)| *name).find(|missing| name == missing)
}

fn operation(step: &Bytes) -> Vec<Bytes> {
    let parts: Vec<String> = serde_json::from_slice(step).expect("an array of texts");
    parts.into_iter().map(Bytes::from).collect()
}

/// What the recorded chaincode does.
async fn recorded(ctx: Context) -> Response {
    if ctx.args().is_empty() {
        return Response::success("no args");
    }
    run(&ctx, ctx.args().to_vec()).await
}

fn run(ctx: &Context, args: Vec<Bytes>) -> BoxFuture<'_, Response> {
    async move {
        let texts: Vec<&str> = args.iter().map(|arg| std::str::from_utf8(arg).expect("text")).collect();
        let result = match texts.as_slice() {
            ["status", status, message, payload @ ..] => {
                // A callee's status has a payload of its own.
                let payload = payload.first().copied().unwrap_or("pp").to_owned();
                let status = status.parse().expect("a number");
                return Response { status, message: message.to_string(), payload: payload.into() };
            }
            ["err", message] => return Response::error(*message),
            ["multi", ..] => return multi(ctx, &args[1..]).await,
            [function, operands @ ..] => ledger(ctx, function, operands).await,
            [] => unreachable!("an operation has a name"),
        };
        result.map_or_else(Response::error, Response::success)
    }
    .boxed()
}

/// Several operations. The first that fails, or has a status of its own, ends them.
async fn multi(ctx: &Context, steps: &[Bytes]) -> Response {
    let mut results = Vec::new();
    for step in steps {
        let mut args = operation(step);
        let tolerant = args[0] == "try";
        if tolerant {
            args.remove(0);
        }
        let status = args[0] == "status";
        let response = run(ctx, args).await;
        match response.status {
            _ if status => return response,
            200 => results.push(String::from_utf8(response.payload.to_vec()).expect("text")),
            _ if tolerant => results.push(format!("ERR {}", response.message)),
            _ => return response,
        }
    }
    Response::success(serde_json::to_vec(&results).expect("JSON"))
}

async fn ledger(ctx: &Context, function: &str, operands: &[&str]) -> Result<Bytes, String> {
    let text = |error: selvedge::LedgerError| error.to_string();
    match (function, operands) {
        ("noop", []) => {}
        ("put", [key, value]) => ctx.put(key, value.to_string()).await.map_err(text)?,
        ("big", [key, size]) => {
            let size: usize = size.parse().expect("a number");
            let value: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
            ctx.put(key, value).await.map_err(text)?;
        }
        ("mput", [prefix, from, to, value]) => {
            for n in from.parse::<usize>().expect("a number")..to.parse().expect("a number") {
                ctx.put(&format!("{prefix}{n:05}"), format!("{value}{n}")).await.map_err(text)?;
            }
        }
        ("add", [key, more]) => {
            let value = ctx.get(key).await.map_err(text)?.unwrap_or_default();
            ctx.put(key, [&value, more.as_bytes()].concat()).await.map_err(text)?;
        }
        ("compput", [object_type, value, attributes @ ..]) => {
            let key = format!("\0{object_type}\0{}\0", attributes.join("\0"));
            ctx.put(&key, value.to_string()).await.map_err(text)?;
        }
        ("get", [key]) => return Ok(ctx.get(key).await.map_err(text)?.unwrap_or_default()),
        ("del", [key]) => ctx.delete(key).await.map_err(text)?,
        ("range", [start, end]) => return range(ctx, start, end, usize::MAX, true).await.map_err(text),
        ("rangek", [start, end, count]) => {
            return range(ctx, start, end, count.parse().expect("a number"), true).await.map_err(text);
        }
        ("rangenoclose", [start, end, count]) => {
            return range(ctx, start, end, count.parse().expect("a number"), false).await.map_err(text);
        }
        ("event", [name, payload]) => {
            ctx.set_event(name, payload.to_string()).map_err(|error| error.to_string())?;
        }
        _ => return about(ctx, function, operands),
    }
    Ok(Bytes::new())
}

async fn range(
    ctx: &Query,
    start: &str,
    end: &str,
    most: usize,
    close: bool,
) -> Result<Bytes, selvedge::LedgerError> {
    let mut rows = Vec::new();
    let mut entries = ctx.range(start, end).await?;
    while rows.len() < most
        && let Some(entry) = entries.next().await?
    {
        rows.push(format!("{}={};", entry.key, String::from_utf8_lossy(&entry.value)));
    }
    if close {
        entries.close().await?;
    }
    Ok(if rows.len() > LISTED { format!("{} results", rows.len()) } else { rows.concat() }.into())
}

/// What the context says of the transaction.
fn about(ctx: &Query, function: &str, operands: &[&str]) -> Result<Bytes, String> {
    match function {
        "ids" => {
            let args = operands.join(",");
            Ok(format!("{}|{}|{function}|{args}", ctx.tx_id(), ctx.channel_id()).into())
        }
        "ts" => {
            let timestamp = ctx.timestamp().expect("a timestamp");
            Ok(format!("{}.{}", timestamp.seconds, timestamp.nanos).into())
        }
        "attrs" => {
            let creator = ctx.creator().map_err(|error| error.to_string())?;
            let id = String::from_utf8(STANDARD.decode(creator.id()).expect("base64")).expect("text");
            let mut parts = id.split("::").skip(1);
            let (subject, issuer) = (parts.next().expect("a subject"), parts.next().expect("an issuer"));
            Ok(format!("{}|{subject}|{issuer}|", creator.msp_id()).into())
        }
        // Go writes a map that was never made as null.
        "decor" if ctx.decorations().is_empty() => Ok("null".into()),
        "transient" => {
            let encoded: BTreeMap<&String, String> =
                ctx.transient().iter().map(|(name, value)| (name, STANDARD.encode(value))).collect();
            Ok(serde_json::to_vec(&encoded).expect("JSON").into())
        }
        unknown => Err(format!("unknown function {unknown:?}")),
    }
}

struct Line {
    from_peer: bool,
    bytes: Bytes,
    message: ChaincodeMessage,
}

/// REGISTER, REGISTERED and READY of every connection.
fn handshakes() -> BTreeMap<u64, Vec<Line>> {
    Corpus::get()
        .paths("streams/handshake/")
        .map(|path| {
            let mut lines = lines(path);
            let connection = lines.first().unwrap_or_else(|| panic!("{path} is empty")).0;
            lines.truncate(3);
            (connection, lines.into_iter().map(|(_, line)| line).collect())
        })
        .collect()
}

/// Each transaction on each connection, by the file and the connection.
fn legs() -> Vec<(String, u64, Vec<Line>)> {
    let corpus = Corpus::get();
    let mut legs = Vec::new();
    for path in GROUPS.iter().flat_map(|group| corpus.paths(group)) {
        let mut connections: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
        for (connection, line) in lines(path) {
            connections.entry(connection).or_default().push(line);
        }
        for (connection, lines) in connections {
            assert!(matches!(lines[0].message.r#type(), Type::Transaction | Type::Init), "{path}");
            legs.push((path.to_owned(), connection, lines));
        }
    }
    legs
}

fn lines(path: &str) -> Vec<(u64, Line)> {
    Corpus::get()
        .json_lines(path)
        .iter()
        .filter_map(|line| {
            // The lines which say that a connection opened or closed carry no message.
            let bytes: Bytes = hex::decode(line["hex"].as_str()?).expect("hex").into();
            let message = ChaincodeMessage::decode(bytes.clone()).expect("a ChaincodeMessage");
            let from_peer = line["dir"] == "peer->cc";
            Some((line["conn"].as_u64().expect("a connection"), Line { from_peer, bytes, message }))
        })
        .collect()
}
