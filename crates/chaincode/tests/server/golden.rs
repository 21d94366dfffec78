//! The recorded peer's messages reach the real server; what it answers is what the official Go shim sent, byte for byte.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge::{
    CompositeKey, Context, KeyPolicy, KeyRole, LedgerError, Query, Response, StateEntry, StateIterator,
    StatePage,
};
use selvedge_golden::Corpus;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeId, ChaincodeInput, ChaincodeMessage};

use crate::support::{Running, Stream, contract};

/// The folders of what the official Go shim was recorded with.
const GROUPS: [&str; 4] =
    ["streams/go/", "streams/mtls/", "streams/go-params-off/", "streams/go-params-small/"];

/// Go's batch of writes is opened by the contract and takes private writes and metadata along, in the order of a map; this
/// library's opens by itself and keeps the order. What comes of it is compared by read/write sets elsewhere.
const BATCHED_WRITES: [&str; 2] = ["sb", "fb"];

/// Operations that read many keys, which go out together where the peer has offered it.
const BATCHED_READS: [&str; 3] = ["mget", "mgetn", "pmget"];

/// Operations that read pages. The recorded contract closes each, though a peer keeps nothing of a page.
const PAGED: [&str; 3] = ["rangep", "compp", "allcomp"];

/// Rows up to which the recorded chaincode returns them all; of more it returns the number.
const LISTED: usize = 120;

#[tokio::test]
async fn golden_streams_of_the_go_shim() {
    let handshakes = handshakes();
    let mut servers = BTreeMap::new();
    let mut compared = 0;
    for (file, connection, lines) in legs() {
        let input = ChaincodeInput::decode(lines[0].message.payload.clone()).expect("a ChaincodeInput");
        let operations = operations(&input.args);
        let any_of = |names: &[&str]| operations.iter().any(|operation| names.contains(&operation.as_str()));
        if any_of(&BATCHED_WRITES) {
            continue;
        }
        let handshake = &handshakes[&connection];
        let id = ChaincodeId::decode(handshake[0].message.payload.clone()).expect("a ChaincodeID");
        let key = (id.name.clone(), any_of(&BATCHED_READS));
        if !servers.contains_key(&key) {
            let server =
                Running::start_as(&id.name, contract(recorded), |server| server.batching(key.1)).await;
            servers.insert(key.clone(), server);
        }
        let lines = if any_of(&PAGED) { without_closes(lines) } else { lines };
        let mut stream = servers[&key].connect().await;
        for line in handshake.iter().chain(&lines) {
            play(&mut stream, line, &file).await;
        }
        compared += 1;
    }
    assert!(compared > 0, "nothing was compared");
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

/// Leaves out QUERY_STATE_CLOSE and what answers it.
fn without_closes(lines: Vec<Line>) -> Vec<Line> {
    let mut closing = false;
    let stays = move |line: &Line| {
        let answers = std::mem::take(&mut closing);
        closing = line.message.r#type() == Type::QueryStateClose;
        !closing && !answers
    };
    lines.into_iter().filter(stays).collect()
}

/// The operations in the arguments.
fn operations(args: &[Bytes]) -> Vec<String> {
    let Some(name) = args.first() else { return Vec::new() };
    if name == "multi" {
        return args.iter().skip(1).flat_map(|step| operations(&operation(step))).collect();
    }
    if name == "try" {
        return operations(&args[1..]);
    }
    vec![String::from_utf8_lossy(name).into_owned()]
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
    let text = |error: LedgerError| error.to_string();
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
            let key = CompositeKey::new(object_type, attributes.iter()).expect("a key");
            ctx.put(&key, value.to_string()).await.map_err(text)?;
        }
        ("get", [key]) => return Ok(ctx.get(key).await.map_err(text)?.unwrap_or_default()),
        ("del", [key]) => ctx.delete(key).await.map_err(text)?,
        ("event", [name, payload]) => {
            ctx.set_event(name, payload.to_string()).map_err(|error| error.to_string())?;
        }
        ("sep", [key, organizations @ ..]) => {
            let policy = KeyPolicy::all_of(KeyRole::Peer, organizations.iter().copied());
            ctx.set_endorsement_policy(key, &policy).await.map_err(text)?;
        }
        ("cc", [chaincode, channel, args @ ..]) => return Ok(call(ctx, chaincode, channel, args).await),
        ("binding", []) => return Ok(hex::encode(ctx.binding().expect("a proposal")).into()),
        (function, [collection, operands @ ..]) if PRIVATE.contains(&function) => {
            return private(ctx, function, collection, operands).await.map_err(text);
        }
        _ => match lists(ctx, function, operands).await.map_err(text)? {
            Some(listed) => return Ok(listed),
            None => return about(ctx, function, operands),
        },
    }
    Ok(Bytes::new())
}

const PRIVATE: [&str; 11] =
    ["pput", "pget", "pdel", "ppurge", "phash", "prange", "pcomp", "pquery", "pmget", "psep", "pgep"];

async fn private(
    ctx: &Context,
    function: &str,
    collection: &str,
    operands: &[&str],
) -> Result<Bytes, LedgerError> {
    if collection.is_empty() {
        // Go's shim has a text of its own.
        return Err(LedgerError::Peer("collection must not be an empty string".into()));
    }
    let private = ctx.collection(collection)?;
    match (function, operands) {
        ("pput", [key, value]) => private.put(key, value.to_string()).await?,
        ("pdel", [key]) => private.delete(key).await?,
        ("ppurge", [key]) => private.purge(key).await?,
        ("psep", [key, organizations @ ..]) => {
            let policy = KeyPolicy::all_of(KeyRole::Peer, organizations.iter().copied());
            private.set_endorsement_policy(key, &policy).await?;
        }
        ("pget", [key]) => return Ok(private.get(key).await?.unwrap_or_default()),
        ("phash", [key]) => return Ok(hex::encode(private.hash(key).await?.unwrap_or_default()).into()),
        ("pgep", [key]) => return Ok(shown(private.endorsement_policy(key).await?)),
        ("pmget", keys) => return Ok(joined(private.get_many(keys.iter().copied()).await?)),
        ("prange", [start, end]) => return rows(private.range(start, end).await?, usize::MAX, true).await,
        ("pcomp", [object_type, attributes @ ..]) => {
            let found = private.composite_range(object_type, attributes.iter()).await?;
            return rows(found, usize::MAX, true).await;
        }
        ("pquery", [selector]) => return rows(private.rich_query(selector).await?, usize::MAX, true).await,
        _ => panic!("{function} {operands:?}"),
    }
    Ok(Bytes::new())
}

async fn lists(ctx: &Query, function: &str, operands: &[&str]) -> Result<Option<Bytes>, LedgerError> {
    let number = |text: &str| text.parse().expect("a number");
    Ok(Some(match (function, operands) {
        ("range", [start, end]) => rows(ctx.range(start, end).await?, usize::MAX, true).await?,
        ("rangek", [start, end, count]) => rows(ctx.range(start, end).await?, number(count), true).await?,
        ("rangenoclose", [start, end, count]) => {
            rows(ctx.range(start, end).await?, number(count), false).await?
        }
        ("rangep", [start, end, size, bookmark]) => {
            let size = size.parse().expect("a number");
            // Without a size and a bookmark the peer pages nothing, and says nothing of pages.
            let paged = size != 0 || !bookmark.is_empty();
            page(ctx.range_page(start, end, size, bookmark).await?, paged)
        }
        ("comp", [object_type, attributes @ ..]) => {
            rows(ctx.composite_range(object_type, attributes.iter()).await?, usize::MAX, true).await?
        }
        ("compp", [size, bookmark, object_type, attributes @ ..]) => {
            let size = size.parse().expect("a number");
            page(ctx.composite_range_page(object_type, attributes.iter(), size, bookmark).await?, true)
        }
        ("allcomp", [size, bookmark]) => {
            page(ctx.composite_keys_page(size.parse().expect("a number"), bookmark).await?, true)
        }
        ("query", [selector]) => rows(ctx.rich_query(selector).await?, usize::MAX, true).await?,
        ("hist", [key]) => history(ctx, key).await?,
        ("gep", [key]) => shown(ctx.endorsement_policy(key).await?),
        ("mget", keys) => joined(ctx.get_many(keys.iter().copied()).await?),
        ("mgetn", [prefix, count]) => {
            let keys = (0..number(count)).map(|n| format!("{prefix}{n:05}"));
            ctx.get_many(keys).await?.len().to_string().into()
        }
        _ => return Ok(None),
    }))
}

async fn call(ctx: &Context, chaincode: &str, channel: &str, args: &[&str]) -> Bytes {
    let called = match channel {
        "" => ctx.call(chaincode, args).await,
        _ => ctx.call_on_channel(channel, chaincode, args).await,
    };
    let response = called.unwrap_or_else(|error| Response {
        status: Response::ERROR,
        message: String::new(),
        payload: error.to_string().into(),
    });
    let head = format!("{} {} ", response.status, response.message);
    [head.as_bytes(), &response.payload].concat().into()
}

async fn history(ctx: &Query, key: &str) -> Result<Bytes, LedgerError> {
    let mut found = String::new();
    let mut history = ctx.history(key).await?;
    while let Some(change) = history.next().await? {
        let value = String::from_utf8_lossy(&change.value);
        found += &format!("{} {} {value:?};", change.tx_id, change.is_delete);
    }
    history.close().await?;
    Ok(found.into())
}

fn joined(values: Vec<Option<Bytes>>) -> Bytes {
    let values: Vec<Bytes> = values.into_iter().map(Option::unwrap_or_default).collect();
    values.join(&b","[..]).into()
}

fn shown(policy: Option<KeyPolicy>) -> Bytes {
    policy.map(|policy| hex::encode(policy.encode())).unwrap_or_default().into()
}

fn page(page: StatePage, paged: bool) -> Bytes {
    let count = if paged { page.entries.len() } else { 0 };
    let listed = listed(&page.entries);
    format!("{listed}|{count}|{}", page.bookmark).into()
}

fn listed(entries: &[StateEntry]) -> String {
    let row = |entry: &StateEntry| format!("{}={};", entry.key, String::from_utf8_lossy(&entry.value));
    match entries.len() {
        count if count > LISTED => format!("{count} results"),
        _ => entries.iter().map(row).collect(),
    }
}

async fn rows(mut entries: StateIterator, most: usize, close: bool) -> Result<Bytes, LedgerError> {
    let mut rows = Vec::new();
    while rows.len() < most
        && let Some(entry) = entries.next().await?
    {
        rows.push(entry);
    }
    if close {
        entries.close().await?;
    } else {
        // Go's iterator says nothing when it is forgotten.
        Box::leak(Box::new(entries));
    }
    Ok(listed(&rows).into())
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
