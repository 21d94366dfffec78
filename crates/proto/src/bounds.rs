//! How much a read/write set may hold, for everybody who decodes one.

use crate::wire::Shape;

/// The most fields a read/write set may have in all its messages together. An empty element takes two bytes
/// on the wire and some fifty in memory, so a set is counted before it is decoded. It is our own bound, far above
/// what one transaction can read and write in the time that Fabric gives it.
pub const MAX_ELEMENTS: usize = 1_000_000;

/// What counts of a `rwset.TxReadWriteSet`.
pub const TRANSACTION_SET: Shape = Shape(&[(2, &NAMESPACE)]);
/// What counts of a `kvrwset.KVRWSet`.
pub const KEY_SET: Shape = Shape(&[(1, &Shape::FLAT), (2, &RANGE), (3, &Shape::FLAT), (4, &METADATA_WRITE)]);

const METADATA_WRITE: Shape = Shape(&[(2, &Shape::FLAT)]);
const READS: Shape = Shape(&[(1, &Shape::FLAT)]);
const RANGE: Shape = Shape(&[(4, &READS), (5, &Shape::FLAT)]);
const HASHED_SET: Shape = Shape(&[(1, &Shape::FLAT), (2, &Shape::FLAT), (3, &METADATA_WRITE)]);
const COLLECTION: Shape = Shape(&[(2, &HASHED_SET)]);
const NAMESPACE: Shape = Shape(&[(2, &KEY_SET), (3, &COLLECTION)]);
