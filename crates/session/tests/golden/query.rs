use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use bytes::Bytes;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{QueryMetadata, QueryResponse, QueryResponseMetadata};
use selvedge_session::query::{Iterators, Limits, is_paged, page};
use selvedge_session::request::AnyRequest;

use crate::recording::{self, Leg};

type Results = std::vec::IntoIter<Result<Bytes, Infallible>>;

/// The recorded results as the ledger: batches, flags, ids and pages are what was recorded.
pub(crate) fn iterators() {
    let (mut batches, mut pages) = (0, 0);
    for leg in recording::legs() {
        let mut results = results_by_iterator(&leg);
        let mut iterators: Iterators<Results> = Iterators::new(Limits::default());
        for (request, recorded) in queries(&leg) {
            let file = &leg.file;
            let ours = match request {
                AnyRequest::GetStateByRange(request)
                    if is_paged(request.paging.as_ref()) && request.collection.is_empty() =>
                {
                    pages += 1;
                    paged(&recorded, request.paging.as_ref().expect("is paged"))
                }
                AnyRequest::GetStateByRange(request) => {
                    let all = results.remove(&recorded.id).expect("recorded");
                    iterators.open(recorded.id.clone(), all, request.paging.as_ref()).expect("no limit")
                }
                AnyRequest::GetHistoryForKey(_) => {
                    let all = results.remove(&recorded.id).expect("recorded");
                    iterators.open(recorded.id.clone(), all, None).expect("no limit")
                }
                AnyRequest::QueryStateNext(request) => {
                    iterators.next(&request.id).unwrap_or_else(|error| panic!("{file}: {error}"))
                }
                AnyRequest::QueryStateClose(request) => iterators.close(&request.id),
                _ => continue,
            };
            batches += 1;
            assert_eq!(hex::encode(ours.encode_to_vec()), hex::encode(recorded.encode_to_vec()), "{file}");
        }
    }
    assert!(batches > pages && pages > 0, "{batches} answers compared, {pages} of them pages");
}

fn paged(recorded: &QueryResponse, paging: &QueryMetadata) -> QueryResponse {
    let results: Vec<_> = recorded.results.iter().map(|result| Ok(result.result_bytes.clone())).collect();
    let metadata = QueryResponseMetadata::decode(recorded.metadata.clone()).expect("page metadata");
    let bookmark = |_: Results| Ok::<_, Infallible>(metadata.bookmark);
    page(recorded.id.clone(), results.into_iter(), Limits::default(), paging, bookmark).expect("no errors")
}

/// Each iterator's results over all its batches. If the last recorded batch was not the last one, there was
/// at least one more result; its content does not matter, since it was never sent.
fn results_by_iterator(leg: &Leg) -> BTreeMap<String, Results> {
    let mut found: BTreeMap<String, (Vec<Result<Bytes, Infallible>>, bool)> = BTreeMap::new();
    for (request, response) in queries(leg) {
        if matches!(request, AnyRequest::QueryStateClose(_)) {
            continue;
        }
        let (results, more) = found.entry(response.id).or_default();
        results.extend(response.results.into_iter().map(|result| Ok(result.result_bytes)));
        *more = response.has_more;
    }
    let finish = |(mut results, more): (Vec<_>, bool)| {
        results.extend(more.then(|| Ok(Bytes::from_static(b"unseen"))));
        results.into_iter()
    };
    found.into_iter().map(|(id, found)| (id, finish(found))).collect()
}

/// The queries that were answered, with their answers.
fn queries(leg: &Leg) -> Vec<(AnyRequest, QueryResponse)> {
    let mut open = VecDeque::new();
    let mut found = Vec::new();
    for line in &leg.lines {
        match AnyRequest::try_from(&line.message) {
            Ok(request) if !line.from_peer => open.push_back((line.key(), request)),
            _ if !line.from_peer => {}
            _ => {
                let at = open.iter().position(|(key, _)| *key == line.key());
                let Some((_, request)) = at.and_then(|at| open.remove(at)) else { continue };
                let is_query = matches!(
                    request,
                    AnyRequest::GetStateByRange(_)
                        | AnyRequest::GetHistoryForKey(_)
                        | AnyRequest::QueryStateNext(_)
                        | AnyRequest::QueryStateClose(_)
                );
                if is_query && line.known() == Some(Type::Response) {
                    let response =
                        QueryResponse::decode(line.message.payload.clone()).expect("a QueryResponse");
                    found.push((request, response));
                }
            }
        }
    }
    found
}
