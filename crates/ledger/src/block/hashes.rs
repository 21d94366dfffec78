use bytes::Bytes;
use selvedge_proto::common::BlockHeader;

use crate::hash::{Hash, sha256};

/// A block header's hash: SHA-256 of its [`header_der`].
pub fn header_hash(header: &BlockHeader) -> Hash {
    sha256([header_der(header).as_slice()])
}

/// A block header as orderers sign and hash it: the DER of a SEQUENCE of an INTEGER (the number) and two OCTET
/// STRINGs (the previous header's hash, empty in the genesis block, and the data hash).
pub fn header_der(header: &BlockHeader) -> Vec<u8> {
    let mut content = Vec::with_capacity(80);
    let number = header.number.to_be_bytes();
    let mut digits = number.iter().skip_while(|digit| **digit == 0).copied().collect::<Vec<_>>();
    // An INTEGER is signed: a first bit that is set would make it negative.
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    push_element(&mut content, 0x02, &digits);
    push_element(&mut content, 0x04, &header.previous_hash);
    push_element(&mut content, 0x04, &header.data_hash);
    let mut der = Vec::with_capacity(content.len() + 4);
    push_element(&mut der, 0x30, &content);
    der
}

/// The hash of a block's entries: SHA-256 of their concatenation.
pub fn data_hash(entries: &[Bytes]) -> Hash {
    sha256(entries.iter().map(AsRef::as_ref))
}

fn push_element(der: &mut Vec<u8>, tag: u8, content: &[u8]) {
    der.push(tag);
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => der.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let digits = length.iter().skip_while(|digit| **digit == 0);
            let count = digits.clone().count();
            der.push(0x80 | u8::try_from(count).unwrap_or(u8::MAX));
            der.extend(digits);
        }
    }
    der.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use selvedge_golden::Corpus;
    use selvedge_proto::common::BlockHeader;
    use serde_json::Value;

    use super::{data_hash, header_der, header_hash};

    fn bytes(value: &Value) -> Bytes {
        hex::decode(value.as_str().unwrap()).unwrap().into()
    }

    #[test]
    fn golden_headers_have_fabrics_der_and_hash() {
        let vectors = Corpus::get().json_lines("vectors/block-headers.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let header = BlockHeader {
                number: vector["number"].as_str().unwrap().parse().unwrap(),
                previous_hash: bytes(&vector["previous_hash"]),
                data_hash: bytes(&vector["data_hash"]),
            };
            assert_eq!(hex::encode(header_der(&header)), vector["der"]);
            assert_eq!(hex::encode(header_hash(&header)), vector["hash"]);
        }
    }

    #[test]
    fn golden_data_have_fabrics_hash() {
        let vectors = Corpus::get().json_lines("vectors/block-data-hashes.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let entries: Vec<_> = vector["data"].as_array().into_iter().flatten().map(bytes).collect();
            assert_eq!(hex::encode(data_hash(&entries)), vector["data_hash"]);
        }
    }

    #[test]
    fn long_fields_get_long_lengths() {
        let header = BlockHeader { number: 1, previous_hash: vec![7; 300].into(), data_hash: Bytes::new() };
        let der = header_der(&header);
        assert_eq!(der[..11], [0x30, 0x82, 0x01, 0x35, 0x02, 0x01, 0x01, 0x04, 0x82, 0x01, 0x2c]);
        assert_eq!(der.len(), 0x135 + 4);
    }
}
