use selvedge_proto::wire::{Shape, has_at_most};

use crate::Error;

/// The most fields a read/write set may have in all its messages together. An empty element takes two bytes
/// on the wire and some fifty in memory, so a set is counted before it is decoded. It is our own bound, far above
/// what one transaction can read and write in the time that Fabric gives it.
pub const MAX_ELEMENTS: usize = 1_000_000;

const METADATA_WRITE: Shape = Shape(&[(2, &Shape::FLAT)]);
const READS: Shape = Shape(&[(1, &Shape::FLAT)]);
const RANGE: Shape = Shape(&[(4, &READS), (5, &Shape::FLAT)]);
const PUBLIC_SET: Shape = Shape(&[(1, &Shape::FLAT), (2, &RANGE), (3, &Shape::FLAT), (4, &METADATA_WRITE)]);
const HASHED_SET: Shape = Shape(&[(1, &Shape::FLAT), (2, &Shape::FLAT), (3, &METADATA_WRITE)]);
const COLLECTION: Shape = Shape(&[(2, &HASHED_SET)]);
const NAMESPACE: Shape = Shape(&[(2, &PUBLIC_SET), (3, &COLLECTION)]);
const TRANSACTION: Shape = Shape(&[(2, &NAMESPACE)]);

/// Refuses a marshalled `rwset.TxReadWriteSet` with more than [`MAX_ELEMENTS`] fields.
pub(super) fn check_elements(set: &[u8]) -> Result<(), Error> {
    check(set, &TRANSACTION)
}

/// Refuses a collection's marshalled private set with more than [`MAX_ELEMENTS`] fields.
pub(crate) fn check_private_elements(set: &[u8]) -> Result<(), Error> {
    check(set, &PUBLIC_SET)
}

fn check(set: &[u8], shape: &Shape) -> Result<(), Error> {
    if has_at_most(MAX_ELEMENTS, set, shape) {
        return Ok(());
    }
    Err(Error::malformed("read/write set", format!("it has more than {MAX_ELEMENTS} elements")))
}

#[cfg(test)]
mod tests {
    use selvedge_proto::wire::has_at_most;

    use super::{MAX_ELEMENTS, TRANSACTION, check_private_elements};

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
        assert!(has_at_most(6, &set, &TRANSACTION) && !has_at_most(5, &set, &TRANSACTION));
    }
}
