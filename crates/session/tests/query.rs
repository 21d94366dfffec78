//! The bookkeeping of iterators, at its edges.

use std::iter;

use bytes::Bytes;
use selvedge_proto::MESSAGE_BYTES;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{QueryMetadata, QueryResponse, QueryResponseMetadata};
use selvedge_session::query::{
    BATCH, Iterators, Limits, QueryError, ReplyTooLarge, is_paged, page, total_results,
};

type Results<'a> = Box<dyn Iterator<Item = Result<Bytes, &'static str>> + 'a>;

fn results<'a>(count: usize) -> Results<'a> {
    Box::new((0..count).map(|at| Ok(Bytes::from(at.to_string()))))
}

fn iterators<'a>(total_results: usize) -> Iterators<Results<'a>> {
    Iterators::new(Limits { total_results, open_iterators: 2 })
}

fn paging(page_size: i32, bookmark: &str) -> QueryMetadata {
    QueryMetadata { page_size, bookmark: bookmark.into() }
}

/// The sizes of all batches until `has_more` is false; the results must be 0, 1, 2 and so on.
fn batches(iterators: &mut Iterators<Results<'_>>, first: QueryResponse) -> Vec<usize> {
    let (mut sizes, mut seen, mut response) = (Vec::new(), 0, first);
    loop {
        assert_eq!(response.id, "it");
        for result in &response.results {
            assert_eq!(result.result_bytes, seen.to_string());
            seen += 1;
        }
        sizes.push(response.results.len());
        if !response.has_more {
            return sizes;
        }
        response = iterators.next("it").expect("it said that there is more");
    }
}

#[test]
fn batches_of_a_hundred() {
    for (count, expected) in [
        (0, vec![0]),
        (1, vec![1]),
        (BATCH - 1, vec![99]),
        (BATCH, vec![100]),
        (BATCH + 1, vec![100, 1]),
        (2 * BATCH, vec![100, 100]),
        (250, vec![100, 100, 50]),
    ] {
        let mut iterators = iterators(100_000);
        let first = iterators.open("it", results(count), None).expect("opens");
        assert_eq!(batches(&mut iterators, first), expected, "{count} results");
        assert!(iterators.is_empty(), "the last batch closes the iterator");
        assert_eq!(iterators.next("it"), Err(QueryError::NotFound));
    }
}

#[test]
fn the_total_limit_ends_the_results_silently() {
    for (total, expected) in
        [(0, vec![0]), (99, vec![99]), (100, vec![100]), (101, vec![100, 1]), (150, vec![100, 50])]
    {
        let mut read = 0;
        let counted: Results<'_> = Box::new(results(1000).inspect(|_| read += 1));
        let mut iterators = iterators(total);
        let first = iterators.open("it", counted, None).expect("opens");
        assert_eq!(batches(&mut iterators, first), expected, "limit {total}");
        drop(iterators);
        assert_eq!(read, total, "nothing is read beyond the limit");
    }
}

#[test]
fn one_result_is_read_ahead_and_no_more() {
    let mut read = 0;
    let counted: Results<'_> = Box::new(results(1000).inspect(|_| read += 1));
    let mut iterators = iterators(100_000);
    assert!(iterators.open("it", counted, None).expect("opens").has_more);
    drop(iterators);
    assert_eq!(read, BATCH + 1);
}

#[test]
fn closing_always_succeeds() {
    let mut iterators = iterators(100_000);
    assert!(iterators.open("it", results(500), None).expect("opens").has_more);
    let closed = QueryResponse { id: "it".into(), ..Default::default() };
    assert_eq!(iterators.close("it"), closed);
    assert_eq!(iterators.close("it"), closed);
    assert_eq!(iterators.next("it"), Err(QueryError::NotFound));
    assert_eq!(QueryError::<&str>::NotFound.to_string(), "query iterator not found");
}

#[test]
fn a_failing_result_closes_the_iterator() {
    let mut iterators = iterators(100_000);
    let broken: Results<'_> = Box::new(results(150).chain(iter::once(Err("disk"))));
    assert!(iterators.open("it", broken, None).expect("the first batch is whole").has_more);
    assert_eq!(iterators.next("it"), Err(QueryError::Results("disk")));
    assert_eq!(iterators.next("it"), Err(QueryError::NotFound));
}

#[test]
fn open_iterators_are_limited() {
    let mut iterators = iterators(100_000);
    iterators.open("a", results(500), None).expect("the first");
    assert_eq!(iterators.open("a", results(500), None), Err(QueryError::Exists));
    iterators.open("b", results(500), None).expect("the second");
    assert_eq!(iterators.open("c", results(500), None), Err(QueryError::TooMany { limit: 2 }));
    iterators.close("a");
    iterators.open("c", results(500), None).expect("there is room again");
    assert_eq!(iterators.len(), 2);
}

#[test]
fn a_page_size_limits_what_is_not_paged() {
    let mut iterators = iterators(100_000);
    let response = iterators.open("it", results(500), Some(&paging(3, ""))).expect("opens");
    assert_eq!((response.results.len(), response.has_more), (3, false));
    assert!(response.metadata.is_empty());
}

#[test]
fn a_page_comes_whole_with_its_bookmark() {
    for (size, total, expected) in
        [(150, 100_000, 150), (1000, 100_000, 500), (-1, 100_000, 500), (150, 20, 20)]
    {
        let limits = Limits { total_results: total, open_iterators: 2 };
        let next = |mut rest: Results<'_>| match rest.next() {
            Some(result) => Ok(String::from_utf8_lossy(&result?).into_owned()),
            None => Ok(String::new()),
        };
        let response = page("it", results(500), limits, &paging(size, "x"), next).expect("a page");
        assert_eq!((response.results.len(), response.has_more), (expected, false));
        let metadata = QueryResponseMetadata::decode(response.metadata).expect("metadata");
        let bookmark = if expected < 500 { expected.to_string() } else { String::new() };
        assert_eq!((metadata.fetched_records_count as usize, metadata.bookmark), (expected, bookmark));
    }
}

/// A tenth of a message each.
fn large<'a>(count: usize) -> Results<'a> {
    Box::new((0..count).map(|_| Ok(Bytes::from_static(&[7; MESSAGE_BYTES / 10]))))
}

#[test]
fn a_page_that_is_too_large_is_refused_before_it_is_read() {
    let mut read = 0;
    let counted: Results<'_> = Box::new(large(1000).inspect(|_| read += 1));
    let refused = page("it", counted, Limits::default(), &paging(500, ""), |_| Ok(String::new()));
    assert_eq!(refused, Err(QueryError::TooLarge(ReplyTooLarge)));
    assert_eq!(read, 10, "reading ends with what does not fit");
    let whole = page("it", large(1000), Limits::default(), &paging(9, ""), |_| Ok(String::new()));
    let whole = whole.expect("nine tenths fit");
    assert_eq!(whole.results.len(), 9);
}

#[test]
fn a_batch_that_is_too_large_is_refused_before_it_is_read() {
    let mut read = 0;
    let small = (0..BATCH).map(|_| Ok(Bytes::from_static(b"small")));
    let counted: Results<'_> = Box::new(small.chain(large(1000)).inspect(|_| read += 1));
    let mut iterators = iterators(100_000);
    assert!(iterators.open("it", counted, None).expect("the first batch is small").has_more);
    assert_eq!(iterators.next("it"), Err(QueryError::TooLarge(ReplyTooLarge)));
    assert_eq!(iterators.next("it"), Err(QueryError::NotFound), "the iterator is closed");
    drop(iterators);
    assert_eq!(read, BATCH + 10, "reading ends with what does not fit");
}

#[test]
fn what_counts_as_paging() {
    assert!(!is_paged(None));
    assert!(!is_paged(Some(&paging(0, ""))));
    assert!(
        is_paged(Some(&paging(-1, ""))) && is_paged(Some(&paging(0, "b"))) && is_paged(Some(&paging(1, "")))
    );
    assert_eq!([-1, 0, 1, 7].map(|size| total_results(5, Some(&paging(size, "")))), [5, 5, 1, 5]);
}
