//! Signatures that hold and that Fabric refuses nevertheless.

/// The same ECDSA signature by a P-256 key in its other form, which holds mathematically and which Fabric refuses: the
/// second number is the group's order minus it.
///
/// # Panics
/// When the bytes are no such signature in DER.
pub fn high_s(signature: &[u8]) -> Vec<u8> {
    /// The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    // A sequence of two integers: 30 length 02 length r 02 length s, all lengths below 128.
    let first_end = 4 + usize::from(signature[3]);
    let second = &signature[first_end + 2..];
    let mut number = [0; 32];
    number[32 - second.len().min(32)..].copy_from_slice(&second[second.len().saturating_sub(32)..]);
    let (mut high, mut borrow) = ([0_u8; 33], 0_i16);
    for place in (0..32).rev() {
        let difference = i16::from(ORDER[place]) - i16::from(number[place]) - borrow;
        borrow = i16::from(difference < 0);
        high[place + 1] = difference.rem_euclid(256) as u8;
    }
    // The high form's first bit is set, so that it needs the zero in front.
    let integers = [&signature[2..first_end], &[2, 33], &high].concat();
    [&[0x30, integers.len() as u8], &integers[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::high_s;

    #[test]
    fn the_second_number_becomes_the_order_minus_it() {
        let low = [0x30, 6, 2, 1, 5, 2, 1, 1];
        let order_less_one = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
        assert_eq!(hex::encode(high_s(&low)), format!("3026020105022100{order_less_one}"));
    }
}
