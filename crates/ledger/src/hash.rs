use aws_lc_rs::digest::{Context, SHA256};

/// Length of a SHA-256 sum in bytes.
pub(crate) const HASH_LENGTH: usize = 32;

/// A SHA-256 sum.
pub(crate) type Hash = [u8; HASH_LENGTH];

/// The SHA-256 sum of the parts put one after the other.
pub(crate) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    finish(context)
}

/// The sum of what the context has seen.
pub(crate) fn finish(context: Context) -> Hash {
    let mut hash = [0; HASH_LENGTH];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
