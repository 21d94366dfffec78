use bytes::Bytes;
use selvedge_identity::block::header_bytes;
use selvedge_proto::common::BlockHeader;

use crate::hash::{Hash, sha256};

/// A block header's hash: SHA-256 of its [`header_bytes`].
pub fn header_hash(header: &BlockHeader) -> Hash {
    sha256([header_bytes(header).as_ref()])
}

/// The hash of a block's entries: SHA-256 of their concatenation.
pub fn data_hash(entries: &[Bytes]) -> Hash {
    sha256(entries.iter().map(AsRef::as_ref))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use selvedge_golden::Corpus;
    use selvedge_proto::common::BlockHeader;
    use serde_json::Value;

    use super::{data_hash, header_bytes, header_hash};

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
            assert_eq!(hex::encode(header_bytes(&header)), vector["der"]);
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
        let der = header_bytes(&header);
        assert_eq!(der[..11], [0x30, 0x82, 0x01, 0x35, 0x02, 0x01, 0x01, 0x04, 0x82, 0x01, 0x2c]);
        assert_eq!(der.len(), 0x135 + 4);
    }
}
