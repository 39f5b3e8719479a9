//! Key=value text (RFC 7143 §6.1).

use super::rules::{End, broken};

/// Keys with their values, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Text as it arrived over one or several PDUs, cut into pairs.
pub(super) fn parse(text: &[u8]) -> Result<Pairs, End> {
    const CLAUSE: &str = "RFC 7143 §6.1";
    let Some((last, text)) = text.split_last() else { return Ok(Vec::new()) };
    if *last != 0 {
        return broken(CLAUSE, "text that does not end with a zero byte");
    }
    let mut pairs = Vec::new();
    for pair in text.split(|&byte| byte == 0) {
        let Ok(pair) = std::str::from_utf8(pair) else {
            return broken(CLAUSE, "text that is not UTF-8");
        };
        let Some((key, value)) = pair.split_once('=') else {
            return broken(CLAUSE, format!("text without `=`: `{pair}`"));
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.+@_#".contains(c);
        // iSCSIProtocolLevel is the one key of the standard that breaks its rule (§13.24).
        let capital = key.starts_with(|c: char| c.is_ascii_uppercase());
        if !(capital || key == "iSCSIProtocolLevel") || key.len() > 63 || !key.chars().all(allowed)
        {
            return broken(CLAUSE, format!("`{key}` is no name of a key"));
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Pairs as they go out, each with its zero byte.
pub(super) fn emit(pairs: &[(String, String)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in pairs {
        text.extend_from_slice(key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    text
}

/// A number in decimal, or in hexadecimal after `0x`.
pub(super) fn number(value: &str) -> Option<u64> {
    match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if value.len() > 1 && value.starts_with('0') => None,
        None if value.starts_with('+') => None,
        None => value.parse().ok(),
    }
}

/// Binary in hexadecimal after `0x` or in Base64 after `0b`.
pub(super) fn binary(value: &str) -> Option<Vec<u8>> {
    let (form, digits) = value.split_at_checked(2)?;
    match form {
        "0x" | "0X" => hexadecimal(digits),
        "0b" | "0B" => base64(digits),
        _ => None,
    }
}

/// Bytes as hexadecimal digits after `0x`.
pub(super) fn to_hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An odd number of digits has half a byte in front (§6.1: (n+1)/2 bytes).
fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() {
        return None;
    }
    let nibbles: Option<Vec<u8>> =
        digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let nibbles = nibbles?;
    let (first, rest) = nibbles.split_at(nibbles.len() % 2);
    let pairs = rest.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(first.iter().copied().chain(pairs).collect())
}

fn base64(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(4) {
        return None;
    }
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let data = digits.trim_end_matches('=');
    if digits.len() - data.len() > 2 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for c in data.bytes() {
        bits = bits << 6 | u32::from(value(c)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_go_both_ways() {
        let text = b"InitiatorName=iqn.2001-04.com.example:a=b\0SendTargets=\0";
        let pairs = parse(text).unwrap();
        assert_eq!(pairs[0].1, "iqn.2001-04.com.example:a=b");
        assert_eq!(pairs[1], ("SendTargets".to_owned(), String::new()));
        assert_eq!(emit(&pairs), text);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for text in [&b"A=b"[..], b"A\0", b"=b\0", b"a=b\0", b"A=\xff\0", b"A=b\0\0", b"A b=c\0"] {
            assert!(matches!(parse(text), Err(End::Violation { .. })), "{text:?}");
        }
        let long = format!("{}=1\0", "A".repeat(64));
        assert!(parse(long.as_bytes()).is_err());
    }

    #[test]
    fn numbers_and_binary() {
        assert_eq!(number("262144"), Some(262_144));
        assert_eq!(number("0x1F"), Some(31));
        for wrong in ["", "01", "+1", "-1", "1k", "0x"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(binary("0xa5F"), Some(vec![0x0a, 0x5f]));
        assert_eq!(binary("0x00ff"), Some(vec![0, 0xff]));
        assert_eq!(binary("0bAP8="), Some(vec![0, 0xff]));
        assert_eq!(binary("0bAP8A"), Some(vec![0, 0xff, 0]));
        for wrong in ["", "0x", "0b", "0bA", "00ff", "0xg"] {
            assert_eq!(binary(wrong), None, "{wrong}");
        }
        assert_eq!(to_hexadecimal(&[0, 0xa5]), "0x00a5");
    }
}
