pub use selvedge_proto::bounds::MAX_ELEMENTS;
use selvedge_proto::bounds::{KEY_SET, TRANSACTION_SET};
use selvedge_proto::wire::{Shape, has_at_most};

use crate::Error;

/// Refuses a marshalled `rwset.TxReadWriteSet` with more than [`MAX_ELEMENTS`] fields.
pub(super) fn check_elements(set: &[u8]) -> Result<(), Error> {
    check(set, &TRANSACTION_SET)
}

/// Refuses a collection's marshalled private set with more than [`MAX_ELEMENTS`] fields.
pub(crate) fn check_private_elements(set: &[u8]) -> Result<(), Error> {
    check(set, &KEY_SET)
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

    use super::{MAX_ELEMENTS, TRANSACTION_SET, check_private_elements};

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
        assert!(has_at_most(6, &set, &TRANSACTION_SET) && !has_at_most(5, &set, &TRANSACTION_SET));
    }
}
