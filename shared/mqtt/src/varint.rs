//! Variable Byte Integers: seven bits a byte, least significant first, at most four bytes.

use crate::{DecodeError, DecodeErrorKind, REMAINING_LENGTH_MAX};

/// Reads the integer at the start of `bytes` and says how many bytes it took; `None` when `bytes` ends inside it.
///
/// # Errors
/// When a fourth byte announces a fifth, or more bytes are used than needed [MQTT-1.5.5-1].
#[inline]
pub(crate) fn peek(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    match bytes {
        [] => Ok(None),
        [low @ 0..0x80, ..] => Ok(Some((u32::from(*low), 1))),
        _ => peek_long(bytes),
    }
}

fn peek_long(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            let minimal = byte != 0 || i == 0;
            return if minimal { Ok(Some((value, i + 1))) } else { Err(DecodeErrorKind::BadVarint.into()) };
        }
    }
    if bytes.len() >= BYTES_MAX { Err(DecodeErrorKind::BadVarint.into()) } else { Ok(None) }
}

/// How many bytes `value` takes. `value` is at most [`REMAINING_LENGTH_MAX`].
#[inline]
pub(crate) const fn len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// The bytes of `value`; the first `.1` of them are used.
///
/// # Panics
/// When `value` exceeds [`REMAINING_LENGTH_MAX`].
#[inline]
pub(crate) fn encode(value: usize) -> ([u8; BYTES_MAX], usize) {
    assert!(value <= REMAINING_LENGTH_MAX, "{value} does not fit a variable byte integer");
    let mut bytes = [0; BYTES_MAX];
    let len = len(value);
    for (i, byte) in bytes.iter_mut().enumerate() {
        let more = if i + 1 < len { 0x80 } else { 0 };
        *byte = ((value >> (7 * i)) & 0x7F) as u8 | more;
    }
    (bytes, len)
}

/// Most bytes an integer takes.
const BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_each_length_are_encoded_as_the_specification_lists_them() {
        let cases: [(usize, &[u8]); 8] = [
            (0, &[0]),
            (127, &[0x7F]),
            (128, &[0x80, 1]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 1]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 1]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ];
        for (value, expected) in cases {
            let (bytes, len) = encode(value);
            assert_eq!(&bytes[..len], expected);
            assert_eq!(peek(expected), Ok(Some((value as u32, expected.len()))));
            for cut in 0..expected.len() {
                assert_eq!(peek(&expected[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn p2_a_fifth_byte_is_malformed() {
        assert!(peek(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).is_err());
        assert!(peek(&[0x80, 0x80, 0x80, 0x80]).is_err());
    }

    #[test]
    fn more_bytes_than_needed_are_malformed() {
        assert!(peek(&[0x80, 0]).is_err());
        assert!(peek(&[0xFF, 0x80, 0]).is_err());
    }
}
