use bytes::Bytes;
use selvedge_proto::common::HeaderType;

use selvedge_proto::wire::fields;

use super::TransactionSummary;

/// Why a block as a whole is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IllFormed {
    /// The block has no entries.
    #[error("empty block")]
    Empty,
    /// An entry is not an envelope.
    #[error("transaction {index} is invalid: {reason}")]
    Undecodable {
        /// The entry's index.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An envelope lacks its payload.
    #[error("transaction {index} has no payload")]
    NoPayload {
        /// The entry's index.
        index: usize,
    },
    /// An envelope lacks its signature.
    #[error("transaction {index} has no signature")]
    NoSignature {
        /// The entry's index.
        index: usize,
    },
    /// An envelope is longer than it needs to be.
    #[error("transaction {index} has {count} trailing bytes")]
    TrailingBytes {
        /// The entry's index.
        index: usize,
        /// How many bytes it has too many.
        count: usize,
    },
    /// An envelope is not encoded as it should be.
    #[error("transaction {index} does not match its raw form")]
    NotCanonical {
        /// The entry's index.
        index: usize,
    },
}

/// Checks that every entry of a block is an envelope with payload and signature, encoded in the one way that
/// protobuf libraries encode it: else two blocks with the same transactions could have different hashes.
/// Unknown fields at the end pass. A configuration that stands alone is not checked.
///
/// # Errors
/// A block that fails is refused as a whole; it gives its transactions no codes.
pub fn check_well_formed(entries: &[Bytes]) -> Result<(), IllFormed> {
    match entries {
        [] => return Err(IllFormed::Empty),
        [only] if TransactionSummary::of(only).header_type == Some(i32::from(HeaderType::Config)) => {
            return Ok(());
        }
        _ => {}
    }
    entries.iter().enumerate().try_for_each(|(index, entry)| check_entry(index, entry))
}

fn check_entry(index: usize, entry: &[u8]) -> Result<(), IllFormed> {
    let (mut payload, mut signature, mut unknown) = (None, None, Vec::new());
    for field in fields(entry) {
        let field = field.map_err(|error| IllFormed::Undecodable { index, reason: error.to_string() })?;
        match (field.tag, field.content) {
            (1, Some(content)) => payload = Some(content),
            (2, Some(content)) => signature = Some(content),
            _ => unknown.extend_from_slice(field.raw),
        }
    }
    let payload = payload.filter(|payload| !payload.is_empty()).ok_or(IllFormed::NoPayload { index })?;
    let signature =
        signature.filter(|signature| !signature.is_empty()).ok_or(IllFormed::NoSignature { index })?;

    let mut canonical = Vec::with_capacity(entry.len());
    for (tag, content) in [(1, payload), (2, signature)] {
        prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut canonical);
        prost::encoding::encode_varint(u64::try_from(content.len()).unwrap_or(u64::MAX), &mut canonical);
        canonical.extend_from_slice(content);
    }
    canonical.extend_from_slice(&unknown);
    match entry.len().checked_sub(canonical.len()) {
        Some(0) if canonical == entry => Ok(()),
        Some(0) | None => Err(IllFormed::NotCanonical { index }),
        Some(count) => Err(IllFormed::TrailingBytes { index, count }),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_golden::Corpus;

    use super::check_well_formed;

    #[test]
    fn golden_blocks_are_refused_for_fabrics_reasons() {
        let vectors = Corpus::get().json_lines("vectors/block-well-formed.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let entries: Vec<_> = vector["data"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|entry| hex::decode(entry.as_str().unwrap()).unwrap().into())
                .collect();
            let found = check_well_formed(&entries).map_err(|error| error.to_string());
            // The raw forms that Fabric prints, and the text of its protobuf library, are not compared.
            let shorten = |text: &str| {
                let text = text.split(" (").next().unwrap_or_default();
                text.split(" is invalid: ")
                    .next()
                    .unwrap_or_default()
                    .replace(" does not match its raw form", "")
            };
            let expected = vector["error"].as_str().map(shorten);
            assert_eq!(found.err().as_deref().map(shorten), expected, "{}", vector["name"]);
        }
    }
}
