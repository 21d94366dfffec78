use crate::Error;
use crate::wire::fields;

/// The most fields a read/write set may have in all its messages together. An empty element takes two bytes
/// on the wire and some fifty in memory, so a set is counted before it is decoded. It is our own bound, far above
/// what one transaction can read and write in the time that Fabric gives it.
pub const MAX_ELEMENTS: usize = 1_000_000;

/// Which fields of a message are messages of their own.
struct Shape(&'static [(u32, &'static Shape)]);

const LEAF: Shape = Shape(&[]);
const METADATA_WRITE: Shape = Shape(&[(2, &LEAF)]);
const READS: Shape = Shape(&[(1, &LEAF)]);
const RANGE: Shape = Shape(&[(4, &READS), (5, &LEAF)]);
const PUBLIC_SET: Shape = Shape(&[(1, &LEAF), (2, &RANGE), (3, &LEAF), (4, &METADATA_WRITE)]);
const HASHED_SET: Shape = Shape(&[(1, &LEAF), (2, &LEAF), (3, &METADATA_WRITE)]);
const COLLECTION: Shape = Shape(&[(2, &HASHED_SET)]);
const NAMESPACE: Shape = Shape(&[(2, &PUBLIC_SET), (3, &COLLECTION)]);
const TRANSACTION: Shape = Shape(&[(2, &NAMESPACE)]);

/// Refuses a marshalled `rwset.TxReadWriteSet` with more than [`MAX_ELEMENTS`] fields.
pub(super) fn check_elements(set: &[u8]) -> Result<(), Error> {
    let mut left = MAX_ELEMENTS;
    count(set, &TRANSACTION, &mut left)
}

/// Refuses a collection's marshalled private set with more than [`MAX_ELEMENTS`] fields.
pub(crate) fn check_private_elements(set: &[u8]) -> Result<(), Error> {
    let mut left = MAX_ELEMENTS;
    count(set, &PUBLIC_SET, &mut left)
}

fn count(message: &[u8], shape: &Shape, left: &mut usize) -> Result<(), Error> {
    for field in fields(message) {
        let field = field.map_err(|error| Error::malformed("read/write set", error))?;
        *left = left.checked_sub(1).ok_or_else(|| {
            Error::malformed("read/write set", format!("it has more than {MAX_ELEMENTS} elements"))
        })?;
        let inner = shape.0.iter().find(|(tag, _)| *tag == field.tag);
        if let (Some((_, inner)), Some(content)) = (inner, field.content) {
            count(content, inner, left)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MAX_ELEMENTS, check_private_elements, count};

    #[test]
    fn many_empty_elements_are_refused_before_they_are_built() {
        let reads = [0x0a, 0x00].repeat(MAX_ELEMENTS);
        check_private_elements(&reads).expect("as many as allowed");
        let more = [0x0a, 0x00].repeat(MAX_ELEMENTS + 1);
        assert!(check_private_elements(&more).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn nested_elements_count() {
        // One namespace whose public set has one range with two raw reads.
        let set = [0x12, 0x0a, 0x12, 0x08, 0x12, 0x06, 0x22, 0x04, 0x0a, 0x00, 0x0a, 0x00];
        count(&set, &super::TRANSACTION, &mut 6).expect("six fields");
        count(&set, &super::TRANSACTION, &mut 5).expect_err("six fields are not five");
    }
}
