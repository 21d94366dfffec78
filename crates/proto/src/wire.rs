//! Reads the protobuf wire format field by field: where the form of the bytes matters and not only their meaning, and
//! where elements are to be counted before they are decoded, since an empty element takes two bytes on the wire and many
//! times as many in memory.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// One field as it stands in a message.
#[derive(Debug)]
pub struct Field<'a> {
    /// The field's number.
    pub tag: u32,
    /// The content of a length-delimited field; `None` for other kinds.
    pub content: Option<&'a [u8]>,
    /// The whole field: key, length and content as they were written.
    pub raw: &'a [u8],
}

/// Why bytes are not fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A key, a length or a number is damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field says that it is longer than what is there.
    #[error("a field is longer than its message")]
    TooLong,
}

/// The fields of a message in their order; ends after the first error.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, WireError>> {
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

/// Which fields of a message are messages whose own fields count too.
#[derive(Debug)]
pub struct Shape(pub &'static [(u32, &'static Shape)]);

impl Shape {
    /// No field's content counts.
    pub const FLAT: Self = Self(&[]);
}

/// Whether a message has at most so many fields, those of the messages in it included.
///
/// What is damaged ends the count, as it ends the decoding: up to there a decoder makes its elements all the same.
pub fn has_at_most(limit: usize, message: &[u8], shape: &Shape) -> bool {
    let mut left = limit;
    count_down(message, shape, &mut left)
}

fn count_down(message: &[u8], shape: &Shape, left: &mut usize) -> bool {
    for field in fields(message).map_while(Result::ok) {
        let Some(less) = left.checked_sub(1) else { return false };
        *left = less;
        let inner = shape.0.iter().find(|(tag, _)| *tag == field.tag);
        if let (Some((_, inner)), Some(content)) = (inner, field.content)
            && !count_down(content, inner, left)
        {
            return false;
        }
    }
    true
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

#[cfg(test)]
mod tests {
    use super::{Shape, has_at_most};

    const NESTED: Shape = Shape(&[(1, &Shape::FLAT)]);

    #[test]
    fn the_fields_of_all_pieces_count() {
        // Field 1 twice, with two and one fields of its own, and a number.
        let message = [0x0a, 4, 0x12, 0, 0x12, 0, 0x0a, 2, 0x1a, 0, 0x18, 5];
        assert!(has_at_most(3, &message, &Shape::FLAT) && !has_at_most(2, &message, &Shape::FLAT));
        assert!(has_at_most(6, &message, &NESTED) && !has_at_most(5, &message, &NESTED));
    }

    #[test]
    fn what_stands_before_damage_counts() {
        let damaged = [[0x0a, 0].repeat(1000), vec![0x0a, 9]].concat();
        assert!(has_at_most(1000, &damaged, &Shape::FLAT) && !has_at_most(999, &damaged, &Shape::FLAT));
    }
}
