//! Each end driven alone by the recorded streams of a real network, byte for byte.

mod chaincode;
mod host;
mod page;
mod query;
mod recording;

#[test]
fn golden_handshakes_of_the_chaincode() {
    chaincode::handshakes();
}

#[test]
fn golden_streams_of_the_chaincode() {
    chaincode::streams();
}

#[test]
fn golden_handshakes_of_the_host() {
    host::handshakes();
}

#[test]
fn golden_streams_of_the_host() {
    host::streams();
}

#[test]
fn golden_iterators() {
    query::iterators();
}

#[test]
fn golden_page_of_requests_is_true() {
    page::requests::check();
}

#[test]
fn golden_page_of_the_api_is_true() {
    page::api::check();
}
