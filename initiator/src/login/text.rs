//! Login and Text data: `key=value` pairs, each ended by one NUL (RFC 7143 §6.1).
//!
//! [`Pairs`] reads a whole logical text, gathered over however many PDUs it came in; it never
//! looks beyond the slice. [`TextWriter`] appends pairs to a bounded buffer and says when it is
//! full. The values' own forms are here too: [`number`], [`boolean`], [`decode_binary`], [`Hex`].

use core::fmt::{self, Write as _};

use heapless::VecView;

use super::excerpt::Excerpt;

/// Longest key in bytes (RFC 7143 §6.1).
pub const MAX_KEY_LENGTH: usize = 63;

/// Longest value of a number in bytes, leading zeros of hex and all (RFC 7143 §6.1).
const MAX_SIMPLE_VALUE_LENGTH: usize = 255;

/// One `key=value` pair: the key's syntax is checked, the value is whatever came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'t> {
    /// Letters, digits and `.-+@_#`, starting with a capital letter.
    pub key: &'t str,
    /// Everything after the first `=`, without the NUL; may be empty, may hold further `=`.
    pub value: &'t [u8],
}

/// Reads the pairs of one logical text, in order (RFC 7143 §6.1).
///
/// Ends after the first error. Empty strings are skipped: some targets count padding bytes.
#[derive(Clone, Debug)]
pub struct Pairs<'t> {
    rest: &'t [u8],
}

impl<'t> Pairs<'t> {
    /// The pairs of `text`, which is complete: the last of its parts had C=0.
    #[must_use]
    pub fn new(text: &'t [u8]) -> Pairs<'t> {
        Pairs { rest: text }
    }
}

impl<'t> Iterator for Pairs<'t> {
    type Item = Result<Pair<'t>, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.iter().position(|byte| *byte != 0)?;
        let (_, text) = self.rest.split_at_checked(start)?;
        self.rest = &[];
        let Some(end) = text.iter().position(|byte| *byte == 0) else {
            return Some(Err(TextError::Unterminated(Excerpt::of(text))));
        };
        let (pair, rest) = text.split_at_checked(end)?;
        let pair = split_pair(pair);
        if pair.is_ok() {
            self.rest = rest;
        }
        Some(pair)
    }
}

impl core::iter::FusedIterator for Pairs<'_> {}

fn split_pair(pair: &[u8]) -> Result<Pair<'_>, TextError> {
    let equals =
        pair.iter().position(|byte| *byte == b'=').ok_or(TextError::NoEquals(Excerpt::of(pair)))?;
    let (key, value) =
        pair.split_at_checked(equals).ok_or(TextError::NoEquals(Excerpt::of(pair)))?;
    let value = value.strip_prefix(b"=").unwrap_or_default();
    let bad_key = TextError::BadKey(Excerpt::of(key));
    // `#` is not in the key syntax, yet in the one registered key X#NodeArchitecture (§13.26).
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+@_#".contains(byte);
    if key.len() > MAX_KEY_LENGTH || !key.iter().all(allowed) {
        return Err(bad_key);
    }
    // A lower-case first letter breaks the syntax too, but is safely answered NotUnderstood.
    if !key.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(bad_key);
    }
    let key = core::str::from_utf8(key).map_err(|_| bad_key)?;
    Ok(Pair { key, value })
}

/// What is wrong with a text (RFC 7143 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// The last pair does not end with a NUL.
    Unterminated(Excerpt),
    /// A string without `=`.
    NoEquals(Excerpt),
    /// A key that is empty, longer than 63 bytes or of other characters.
    BadKey(Excerpt),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unterminated(text) => write!(f, "\"{text}\" does not end with a NUL byte"),
            Self::NoEquals(text) => write!(f, "\"{text}\" is not key=value"),
            Self::BadKey(text) => write!(f, "\"{text}\" cannot be a key"),
        }
    }
}

impl core::error::Error for TextError {}

/// Appends pairs to a bounded buffer.
pub struct TextWriter<'b> {
    text: &'b mut VecView<u8>,
}

impl<'b> TextWriter<'b> {
    /// Writes after what `text` holds already.
    #[must_use]
    pub fn new(text: &'b mut VecView<u8>) -> TextWriter<'b> {
        TextWriter { text }
    }

    /// Appends `key=value` and its NUL.
    ///
    /// # Errors
    /// [`TextFull`] when the pair does not fit; the buffer is then as it was.
    pub fn pair(&mut self, key: &str, value: impl fmt::Display) -> Result<(), TextFull> {
        let before = self.text.len();
        write!(self.text, "{key}={value}\0").map_err(|fmt::Error| {
            self.text.truncate(before);
            TextFull { capacity: self.text.capacity() }
        })
    }
}

/// A pair did not fit into the buffer for the text to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextFull {
    /// What the buffer holds at most, in bytes.
    pub capacity: usize,
}

/// `Yes` or `No` (RFC 7143 §6.1).
#[must_use]
pub fn yes_or_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

/// Reads `Yes` or `No`, in exactly these letters (RFC 7143 §6.1).
#[must_use]
pub fn boolean(value: &[u8]) -> Option<bool> {
    match value {
        b"Yes" => Some(true),
        b"No" => Some(false),
        _ => None,
    }
}

/// Reads a number below 2^64: decimal without leading zeros, or hex after `0x` or `0X`
/// (RFC 7143 §6.1).
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    if value.len() > MAX_SIMPLE_VALUE_LENGTH {
        return None;
    }
    let (digits, radix) = match value {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', _, ..] => return None,
        digits => (digits, 10),
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        number.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
    })
}

/// A list to write: its entries with commas between them (RFC 7143 §6.1).
#[derive(Clone, Copy)]
pub struct List<'l>(pub &'l [&'l str]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, entry)| {
            write!(f, "{}{entry}", if index == 0 { "" } else { "," })
        })
    }
}

/// The entries of a list that came, which commas separate (RFC 7143 §6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',')
}

/// Bytes as a hex constant: `0x` and two lower-case digits for each (RFC 7143 §6.1).
#[derive(Clone, Copy)]
pub struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Decodes a binary value into `out` and returns the part of it that was filled: hex after `0x`
/// or `0X`, Base64 after `0b` or `0B` (RFC 7143 §6.1).
///
/// An odd number n of hex digits makes (n + 1) / 2 bytes, the first from one digit. Base64 must
/// be padded, with the unused bits zero.
///
/// # Errors
/// [`BinaryError`] when the value is empty, in another form, or longer than `out`.
pub fn decode_binary<'o>(value: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], BinaryError> {
    let length = match value {
        [b'0', b'x' | b'X', digits @ ..] => decode_hex(digits, out)?,
        [b'0', b'b' | b'B', digits @ ..] => decode_base64(digits, out)?,
        _ => return Err(BinaryError::NotBinary),
    };
    out.get(..length).ok_or(BinaryError::TooLong)
}

/// Why a binary value cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryError {
    /// Neither `0x…` nor `0b…`.
    NotBinary,
    /// A prefix and nothing after it.
    Empty,
    /// A character that is not a digit of this form, or Base64 with wrong padding.
    BadDigit,
    /// More bytes than are allowed.
    TooLong,
}

fn decode_hex(digits: &[u8], out: &mut [u8]) -> Result<usize, BinaryError> {
    if digits.is_empty() {
        return Err(BinaryError::Empty);
    }
    let nibble = |digit: &u8| {
        char::from(*digit)
            .to_digit(16)
            .and_then(|nibble| u8::try_from(nibble).ok())
            .ok_or(BinaryError::BadDigit)
    };
    let mut out = out.iter_mut();
    let mut length = 0_usize;
    // From the right: an odd count leaves its single digit at the front.
    let (first, pairs) = digits.split_at_checked(digits.len() % 2).ok_or(BinaryError::BadDigit)?;
    for pair in core::iter::once(first).filter(|first| !first.is_empty()).chain(pairs.chunks(2)) {
        let byte = out.next().ok_or(BinaryError::TooLong)?;
        *byte = pair.iter().try_fold(0, |byte: u8, digit| Ok((byte << 4) | nibble(digit)?))?;
        length = length.saturating_add(1);
    }
    Ok(length)
}

fn decode_base64(digits: &[u8], out: &mut [u8]) -> Result<usize, BinaryError> {
    if digits.is_empty() {
        return Err(BinaryError::Empty);
    }
    let (groups, rest) = digits.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(BinaryError::BadDigit);
    }
    let mut out = out.iter_mut();
    let mut length = 0_usize;
    let mut ended = false;
    for group in groups {
        if ended {
            return Err(BinaryError::BadDigit);
        }
        let (digits, count) = match group {
            [a, b, b'=', b'='] => ([*a, *b, b'A', b'A'], 1),
            [a, b, c, b'='] => ([*a, *b, *c, b'A'], 2),
            digits => (*digits, 3),
        };
        ended = count < 3;
        let bits = digits.iter().try_fold(0_u32, |bits, digit| {
            Ok((bits << 6) | u32::from(base64_digit(*digit).ok_or(BinaryError::BadDigit)?))
        })?;
        let [_, bytes @ ..] = bits.to_be_bytes();
        for (index, byte) in bytes.into_iter().enumerate() {
            if index < count {
                *out.next().ok_or(BinaryError::TooLong)? = byte;
                length = length.saturating_add(1);
            } else if byte != 0 {
                return Err(BinaryError::BadDigit);
            }
        }
    }
    Ok(length)
}

fn base64_digit(digit: u8) -> Option<u8> {
    let (base, first) = match digit {
        b'A'..=b'Z' => (0, b'A'),
        b'a'..=b'z' => (26, b'a'),
        b'0'..=b'9' => (52, b'0'),
        b'+' => return Some(62),
        b'/' => return Some(63),
        _ => return None,
    };
    digit.checked_sub(first)?.checked_add(base)
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use heapless::Vec as BoundedVec;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(&str, &[u8])>, TextError> {
        Pairs::new(text).map(|pair| pair.map(|pair| (pair.key, pair.value))).collect()
    }

    #[test]
    fn pairs_are_read_in_order() {
        assert_eq!(
            read(b"AuthMethod=None\0TargetPortalGroupTag=1\0"),
            Ok(std::vec![("AuthMethod", &b"None"[..]), ("TargetPortalGroupTag", b"1")])
        );
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn the_key_ends_at_the_first_equals_sign() {
        assert_eq!(read(b"X-a=b=c\0"), Ok(std::vec![("X-a", &b"b=c"[..])]));
        assert_eq!(read(b"X-a==\0"), Ok(std::vec![("X-a", &b"="[..])]));
        assert_eq!(read(b"TargetAlias=\0"), Ok(std::vec![("TargetAlias", &b""[..])]));
    }

    #[test]
    fn empty_strings_are_skipped() {
        assert_eq!(read(b"\0\0A=1\0\0\0B=2\0\0"), Ok(std::vec![("A", &b"1"[..]), ("B", b"2")]));
        assert_eq!(read(&[0; 100]), Ok(Vec::new()));
    }

    /// CVE-2024-38805: an unterminated last pair was read beyond its end, and the remaining
    /// length wrapped below zero.
    #[test]
    fn an_unterminated_last_pair_is_an_error() {
        for text in [&b"X=Y"[..], b"A=1\0X=Y", b"X=", b"X", b"=", b"\0X=Y"] {
            assert!(matches!(read(text), Err(TextError::Unterminated(_))), "{text:?}");
        }
        // The bytes after the slice are another text's: they must not terminate this one.
        let all = b"X=Y\0A=1\0";
        assert!(matches!(read(&all[..3]), Err(TextError::Unterminated(_))));
        // The length that wrapped: one byte of text left after the last NUL.
        assert!(matches!(read(b"A=1\0B"), Err(TextError::Unterminated(_))));
    }

    #[test]
    fn a_string_without_equals_is_an_error() {
        for text in [&b"ImmediateData\0"[..], b"TargetAl\0ias=x\0", b"A=1\0B\0C=2\0"] {
            assert!(matches!(read(text), Err(TextError::NoEquals(_))), "{text:?}");
        }
    }

    #[test]
    fn keys_have_their_syntax() {
        let longest = [b'A'; 63];
        assert!(read(&[&longest[..], b"=1\0"].concat()).is_ok());
        assert!(read(b"X#NodeArchitecture=a\0X-com.example.f-o+o@b_r=1\0").is_ok());
        assert!(read(b"headerdigest=None\0").is_ok());
        let long = [b'A'; 64];
        let huge = [b'A'; 8000];
        for key in
            [&long[..], &huge, b"", b" A", b"A B", b"1A", b"-A", b"\xff", b"A\x01", b"\xc0\x80"]
        {
            let text = [key, b"=1\0"].concat();
            assert!(matches!(read(&text), Err(TextError::BadKey(_))), "{key:?}");
        }
    }

    #[test]
    fn reading_ends_at_the_first_error() {
        let mut pairs = Pairs::new(b"A=1\0nothing\0B=2\0");
        assert!(matches!(pairs.next(), Some(Ok(_))));
        assert!(matches!(pairs.next(), Some(Err(_))));
        assert_eq!(pairs.next(), None);
    }

    #[test]
    fn an_error_shows_its_text_escaped_and_cut() {
        let error = read(b"\x01\xff\n0123456789012345678901234567890\0").unwrap_err();
        assert_eq!(format!("{error}"), "\"\\x01\\xff\\n012345678901234567890…\" is not key=value");
    }

    #[test]
    fn pairs_are_written_whole_or_not_at_all() {
        let mut text = BoundedVec::<u8, 16>::new();
        let mut writer = TextWriter::new(&mut text);
        assert_eq!(writer.pair("Abc", 123), Ok(()));
        assert_eq!(writer.pair("Abc", 12345), Err(TextFull { capacity: 16 }));
        assert_eq!(writer.pair("Abc", 123), Ok(()));
        assert_eq!(writer.pair("A", ""), Err(TextFull { capacity: 16 }));
        assert_eq!(text.as_slice(), b"Abc=123\0Abc=123\0");
    }

    #[test]
    fn numbers_are_decimal_or_hex() {
        for (value, expected) in [
            ("0", 0),
            ("8192", 8192),
            ("0x2000", 8192),
            ("0X2000", 8192),
            ("0x0001", 1),
            ("0xfFfF", 65535),
            ("18446744073709551615", u64::MAX),
            ("0xffffffffffffffff", u64::MAX),
            ("0x00ffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(number(value.as_bytes()), Some(expected), "{value}");
        }
        for value in [
            "",
            "8192 ",
            " 8192",
            "8k",
            "-1",
            "+512",
            "1e3",
            "08192",
            "00",
            "0x",
            "0X",
            "0xg",
            "0b1",
            "512~1024",
            "1,1",
            "18446744073709551616",
            "0x10000000000000000",
            "abc",
            "٣",
        ] {
            assert_eq!(number(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn booleans_are_exactly_yes_or_no() {
        assert_eq!(boolean(b"Yes"), Some(true));
        assert_eq!(boolean(b"No"), Some(false));
        for value in ["yes", "NO", "1", "", "Maybe", "Yes ", "true"] {
            assert_eq!(boolean(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn binary_values_are_hex_or_base64() {
        for (value, expected) in [
            ("0x00", &b"\x00"[..]),
            ("0xdeadBEEF", b"\xde\xad\xbe\xef"),
            ("0XDEADBEEF", b"\xde\xad\xbe\xef"),
            ("0x123", b"\x01\x23"),
            ("0x1", b"\x01"),
            ("0x0123", b"\x01\x23"),
            ("0bAA==", b"\x00"),
            ("0b3q2+7w==", b"\xde\xad\xbe\xef"),
            ("0B3q2+", b"\xde\xad\xbe"),
            ("0b3q0=", b"\xde\xad"),
            ("0b////", b"\xff\xff\xff"),
        ] {
            let mut out = [0; 16];
            assert_eq!(decode_binary(value.as_bytes(), &mut out), Ok(expected), "{value}");
        }
    }

    #[test]
    fn bad_binary_values_are_refused() {
        for (value, error) in [
            ("", BinaryError::NotBinary),
            ("0", BinaryError::NotBinary),
            ("123456", BinaryError::NotBinary),
            ("deadbeef", BinaryError::NotBinary),
            ("0x", BinaryError::Empty),
            ("0X", BinaryError::Empty),
            ("0b", BinaryError::Empty),
            ("0xg0", BinaryError::BadDigit),
            ("0x0 ", BinaryError::BadDigit),
            ("0x0x00", BinaryError::BadDigit),
            ("0bA", BinaryError::BadDigit),
            ("0bAA", BinaryError::BadDigit),
            ("0bAA=", BinaryError::BadDigit),
            ("0b====", BinaryError::BadDigit),
            ("0bA===", BinaryError::BadDigit),
            ("0bAB==", BinaryError::BadDigit),
            ("0bAAB=", BinaryError::BadDigit),
            ("0bAA==AAAA", BinaryError::BadDigit),
            ("0bAA=A", BinaryError::BadDigit),
            ("0bAA-_", BinaryError::BadDigit),
            ("0xdeadbeef00", BinaryError::TooLong),
            ("0x1deadbeef", BinaryError::TooLong),
            ("0bAAAAAAA=", BinaryError::TooLong),
        ] {
            let mut out = [0; 4];
            assert_eq!(decode_binary(value.as_bytes(), &mut out), Err(error), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            for pair in Pairs::new(&text).flatten() {
                let within = text.as_ptr_range();
                prop_assert!(within.contains(&pair.key.as_ptr()));
                prop_assert!(pair.value.as_ptr_range().end < within.end);
            }
        }

        #[test]
        fn what_is_written_is_read(
            pairs in proptest::collection::vec(("[A-Z][A-Za-z0-9.@_+-]{0,62}", "[^\0]{0,80}"), 0..20)
        ) {
            let mut text = BoundedVec::<u8, 8192>::new();
            let mut writer = TextWriter::new(&mut text);
            for (key, value) in &pairs {
                writer.pair(key, value).unwrap();
            }
            let expected: Vec<_> =
                pairs.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
            prop_assert_eq!(read(&text), Ok(expected));
        }

        #[test]
        fn any_number_is_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = number(&value);
        }

        #[test]
        fn numbers_read_as_the_standard_library_reads_them(value: u64) {
            prop_assert_eq!(number(format!("{value}").as_bytes()), Some(value));
            prop_assert_eq!(number(format!("0x{value:x}").as_bytes()), Some(value));
        }

        #[test]
        fn hex_reads_back(bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
            let mut out = [0; 64];
            let value = format!("{}", Hex(&bytes));
            prop_assert_eq!(decode_binary(value.as_bytes(), &mut out), Ok(&bytes[..]));
        }

        #[test]
        fn decoding_stays_inside_its_buffer(
            value in "0[xXbB][0-9a-fA-F=]{0,64}", capacity in 0_usize..40
        ) {
            let mut out = [0xa5; 40];
            let _ = decode_binary(value.as_bytes(), &mut out[..capacity]);
            prop_assert!(out[capacity..].iter().all(|byte| *byte == 0xa5));
        }
    }
}
