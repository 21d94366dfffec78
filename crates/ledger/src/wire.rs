//! Reads the protobuf wire format field by field, where the form of the bytes matters and not only their
//! meaning.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// One field as it stands in a message.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    /// The field's number.
    pub(crate) tag: u32,
    /// The content of a length-delimited field; `None` for other kinds.
    pub(crate) content: Option<&'a [u8]>,
    /// The whole field: key, length and content as they were written.
    pub(crate) raw: &'a [u8],
}

/// Why bytes are not fields.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// A key, a length or a number is damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field says that it is longer than what is there.
    #[error("a field is longer than its message")]
    TooLong,
}

/// The fields of a message in their order; ends after the first error.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, WireError>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next_field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, WireError> {
    let whole = *rest;
    let (tag, wire_type) = decode_key(rest)?;
    let content = if wire_type == WireType::LengthDelimited {
        let length = usize::try_from(decode_varint(rest)?).map_err(|_| WireError::TooLong)?;
        let (content, after) = rest.split_at_checked(length).ok_or(WireError::TooLong)?;
        *rest = after;
        Some(content)
    } else {
        skip_field(wire_type, tag, rest, DecodeContext::default())?;
        None
    };
    let raw = whole.get(..whole.len() - rest.len()).ok_or(WireError::TooLong)?;
    Ok(Field { tag, content, raw })
}
