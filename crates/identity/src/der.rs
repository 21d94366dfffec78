//! The little DER that signatures and certificates need beyond what the X.509 parser offers.

/// One element: its tag, its contents, and its whole encoding.
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Splits the first element off `input`. Lengths must be in their shortest form, as DER demands.
pub(crate) fn read(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(count)?;
        rest = after;
        let length = digits.iter().fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
        if digits.first() == Some(&0) || length < 0x80 {
            return None;
        }
        length
    };
    let (contents, after) = rest.split_at_checked(length)?;
    let whole = input.get(..input.len() - after.len())?;
    Some((Element { tag, contents, whole }, after))
}

/// Appends one element.
pub(crate) fn write(tag: u8, contents: &[u8], output: &mut Vec<u8>) {
    output.push(tag);
    let length = contents.len();
    if length < 0x80 {
        output.push(length as u8);
    } else {
        let digits = length.to_be_bytes();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        output.push(0x80 | (digits.len() - zeros) as u8);
        output.extend(digits.iter().skip(zeros));
    }
    output.extend_from_slice(contents);
}

/// Appends a non-negative integer given big-endian, with or without leading zeros.
pub(crate) fn write_integer(number: &[u8], output: &mut Vec<u8>) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let significant = number.get(zeros..).unwrap_or_default();
    let mut contents = Vec::with_capacity(significant.len() + 1);
    // A leading zero keeps the number positive, and zero itself has one digit.
    if significant.first().is_none_or(|byte| byte & 0x80 != 0) {
        contents.push(0);
    }
    contents.extend_from_slice(significant);
    write(INTEGER, &contents, output);
}
