//! Spoils protobuf messages one field at a time, at every depth, without knowing their types.
//!
//! A field that holds bytes is taken for a message wherever it can be read as one, so that messages which carry
//! others in marshalled form are walked through to their innermost fields.

/// Higher field numbers are taken for a sign that some bytes are no message; Fabric's messages have none.
const HIGHEST_NUMBER: u64 = 31;

/// No message of any type, and no UTF-8 text.
const GARBAGE: [u8; 3] = [0xff; 3];

/// A number that no enumeration of Fabric has.
const UNKNOWN: u64 = 99;

/// What is done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spoil {
    /// It is left out.
    Missing,
    /// It is there and holds nothing.
    Empty,
    /// It ends in the middle of its content.
    Half,
    /// It holds bytes that are neither a message nor text.
    Garbage,
    /// It is a number where a message, a text or bytes should be.
    Number,
    /// It comes twice.
    Twice,
    /// Its number is one that no enumeration has.
    Unknown,
    /// Its number is the largest there is.
    Largest,
}

/// A message with one field spoilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoilt {
    /// The field: the numbers of the fields on the way to it, such as `1.2.1`; a repeated one is told apart by its
    /// place, such as `2.1#1.3` below the second.
    pub field: String,
    /// What was done to it.
    pub spoil: Spoil,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// The message with each of its fields spoilt in turn, in every way that fits the field.
pub fn spoilt(message: &[u8]) -> Vec<Spoilt> {
    let mut all = Vec::new();
    if let Some(fields) = read(message) {
        walk(&fields, "", &|inner| inner, &mut all);
    }
    all
}

struct Field<'a> {
    number: u64,
    /// Key and content as they were.
    raw: &'a [u8],
    content: Content<'a>,
}

enum Content<'a> {
    Number,
    Fixed,
    Bytes(&'a [u8]),
}

fn walk(fields: &[Field<'_>], path: &str, rebuild: &dyn Fn(Vec<u8>) -> Vec<u8>, all: &mut Vec<Spoilt>) {
    for (index, field) in fields.iter().enumerate() {
        let earlier = fields.iter().take(index).filter(|other| other.number == field.number).count();
        let name = match earlier {
            0 => format!("{path}{}", field.number),
            _ => format!("{path}{}#{earlier}", field.number),
        };
        let with = |other: &[u8]| {
            let parts = fields.iter().enumerate();
            let parts = parts.map(|(at, part)| if at == index { other } else { part.raw });
            rebuild(parts.collect::<Vec<_>>().concat())
        };
        for (spoil, raw) in field.spoilt().into_iter().filter(|(_, raw)| raw != field.raw) {
            all.push(Spoilt { field: name.clone(), spoil, bytes: with(&raw) });
        }
        if let Content::Bytes(content) = field.content
            && let Some(inner) = read(content)
        {
            walk(&inner, &format!("{name}."), &|inner| with(&delimited(field.number, &inner)), all);
        }
    }
}

impl Field<'_> {
    fn spoilt(&self) -> Vec<(Spoil, Vec<u8>)> {
        let mut ways = vec![(Spoil::Missing, Vec::new()), (Spoil::Twice, [self.raw, self.raw].concat())];
        match self.content {
            Content::Number => {
                ways.push((Spoil::Unknown, varint_field(self.number, UNKNOWN)));
                ways.push((Spoil::Largest, varint_field(self.number, u64::MAX)));
                ways.push((Spoil::Garbage, delimited(self.number, &GARBAGE)));
            }
            Content::Fixed => {}
            Content::Bytes(content) => {
                ways.push((Spoil::Empty, delimited(self.number, &[])));
                ways.push((Spoil::Half, delimited(self.number, &content[..content.len() / 2])));
                ways.push((Spoil::Garbage, delimited(self.number, &GARBAGE)));
                ways.push((Spoil::Number, varint_field(self.number, UNKNOWN)));
            }
        }
        ways
    }
}

/// The fields of a message; `None` if the bytes are none, or look like text.
fn read(message: &[u8]) -> Option<Vec<Field<'_>>> {
    if message.is_empty() || message.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return None;
    }
    let (mut rest, mut fields) = (message, Vec::new());
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest)?;
        let number = key >> 3;
        if !(1..=HIGHEST_NUMBER).contains(&number) {
            return None;
        }
        let content = match key & 7 {
            0 => varint(&mut rest).map(|_| Content::Number)?,
            1 => take(&mut rest, 8).map(|_| Content::Fixed)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Content::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Content::Fixed)?,
            _ => return None,
        };
        fields.push(Field { number, raw: &start[..start.len() - rest.len()], content });
    }
    Some(fields)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest, 1)? else { return None };
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn write_varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value > 0x7f {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(number << 3, &mut bytes);
    write_varint(value, &mut bytes);
    bytes
}

fn delimited(number: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(number << 3 | 2, &mut bytes);
    write_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Spoil, delimited, spoilt, varint_field};

    #[test]
    fn every_field_is_spoilt_at_every_depth() {
        let inner = [delimited(1, b"text"), varint_field(2, 300)].concat();
        let message = [delimited(3, &inner), delimited(3, b"plain")].concat();
        let all = spoilt(&message);
        let missing: Vec<_> = all.iter().filter(|one| one.spoil == Spoil::Missing).collect();
        let fields: Vec<_> = missing.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["3", "3.1", "3.2", "3#1"]);
        assert_eq!(missing[1].bytes, [delimited(3, &varint_field(2, 300)), delimited(3, b"plain")].concat());
        let half = all.iter().find(|one| one.field == "3.1" && one.spoil == Spoil::Half).unwrap();
        let cut = [delimited(1, b"te"), varint_field(2, 300)].concat();
        assert_eq!(half.bytes, [delimited(3, &cut), delimited(3, b"plain")].concat());
        assert!(all.iter().all(|one| one.bytes != message), "each is another message");
    }

    #[test]
    fn text_and_bytes_have_no_fields() {
        assert_eq!(spoilt(b"some text"), []);
        assert_eq!(spoilt(&[0xff, 0x01]), []);
        assert_eq!(spoilt(&[0x0a, 0x05, 0x01]), []);
    }
}
