//! UTF-8 Encoded Strings: well-formed UTF-8 without U+0000, otherwise byte for byte what was sent.

use crate::{DecodeError, DecodeErrorKind};

/// The text in `bytes`; a byte order mark and non-characters stay as they are [MQTT-1.5.4-3].
///
/// # Errors
/// [`DecodeErrorKind::BadUtf8`] [MQTT-1.5.4-1], [`DecodeErrorKind::NulInText`] [MQTT-1.5.4-2].
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<&str, DecodeError> {
    if has_nul(bytes) {
        return Err(DecodeErrorKind::NulInText.into());
    }
    std::str::from_utf8(bytes).map_err(|_| DecodeErrorKind::BadUtf8.into())
}

/// Whether any byte is 0. Sixteen at a time, the last sixteen overlapping those before them, so that no text of sixteen
/// bytes or more is walked byte by byte.
#[inline]
fn has_nul(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<LANES>() else {
        return bytes.iter().fold(false, |nul, &b| nul | (b == 0));
    };
    let (chunks, _) = bytes.as_chunks::<LANES>();
    chunks.iter().fold(any_zero(last), |nul, chunk| nul | any_zero(chunk))
}

#[inline]
fn any_zero(chunk: &[u8; LANES]) -> bool {
    chunk.iter().fold(false, |nul, &b| nul | (b == 0))
}

/// One vector register on every processor that matters.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Option<DecodeErrorKind> {
        check(bytes).err().map(|e| e.kind)
    }

    #[test]
    fn a_nul_is_found_at_every_place_of_every_length() {
        for len in 0..70 {
            let mut text = vec![b'a'; len];
            assert_eq!(kind(&text), None);
            for at in 0..len {
                text[at] = 0;
                assert_eq!(kind(&text), Some(DecodeErrorKind::NulInText), "at {at} of {len}");
                text[at] = b'a';
            }
        }
    }

    #[test]
    fn u1_ill_formed_text_is_refused() {
        let cases: [&[u8]; 6] =
            [b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\x80", b"abc\xE2\x82", b"\xED\xBF\xBFtail"];
        for case in cases {
            assert_eq!(kind(case), Some(DecodeErrorKind::BadUtf8), "{case:x?}");
        }
    }

    #[test]
    fn u2_marks_non_characters_and_controls_are_kept() {
        for text in ["\u{FEFF}a", "a\u{FEFF}", "\u{FFFF}", "\u{10FFFF}", "\u{1}", "\u{7F}"] {
            assert_eq!(check(text.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn u3_composed_and_decomposed_text_stay_different() {
        assert_ne!(check("é".as_bytes()), check("e\u{301}".as_bytes()));
    }
}
