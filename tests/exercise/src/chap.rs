//! Numbers, hex and Base64 against simple readers, and what is encoded against what is decoded.

use isboot::login::text::{BinaryError, Hex, boolean, decode_binary, list, number, yes_or_no};

use crate::Script;

pub(crate) fn chap(input: &[u8]) {
    let mut script = Script(input);
    let flavour = script.byte().unwrap_or(0);
    let rest = script.take(usize::MAX);
    numbers(rest);
    round_trips(rest);
    // As it is, then as a value with a prefix, so that the digits are reached.
    decode(rest, usize::from(flavour >> 3));
    let mut value = Vec::with_capacity(rest.len() + 2);
    value.extend_from_slice([b"0x", b"0X", b"0b", b"0B"][usize::from(flavour & 3)]);
    let alphabet: &[u8] = match flavour & 7 {
        0 => b"0123456789abcdefABCDEF",
        2 => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=",
        _ => &[],
    };
    match alphabet.len() {
        0 => value.extend_from_slice(rest),
        length => value.extend(rest.iter().map(|byte| alphabet[usize::from(*byte) % length])),
    }
    numbers(&value);
    decode(&value, usize::from(flavour >> 3) * 4);
}

fn numbers(value: &[u8]) {
    let text = std::str::from_utf8(value).unwrap_or("?");
    let hex = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let expected = match hex {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None if text.len() > 1 && text.starts_with('0') => None,
        None if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    assert_eq!(number(value), expected);
    assert!(boolean(value).is_none_or(|truth| yes_or_no(truth).as_bytes() == value));
    assert_eq!(list(value).count(), 1 + value.iter().filter(|byte| **byte == b',').count());
}

fn round_trips(bytes: &[u8]) {
    let mut out = [0; 256];
    let hex = Hex(bytes).to_string();
    let expected = if bytes.is_empty() { Err(BinaryError::Empty) } else { Ok(bytes) };
    assert_eq!(decode_binary(hex.as_bytes(), &mut out), expected);
    let base64 = encode_base64(bytes);
    assert_eq!(decode_binary(&base64, &mut out), expected);
    if let Some(eight) = bytes.first_chunk() {
        let value = u64::from_be_bytes(*eight) >> (eight[0] & 63);
        assert_eq!(number(value.to_string().as_bytes()), Some(value));
        assert_eq!(number(format!("0x{value:X}").as_bytes()), Some(value));
    }
}

/// Into any room: the same as into enough, or nothing.
fn decode(value: &[u8], room: usize) {
    let mut out = [0xa5; 256];
    let mut expected = oracle(value);
    if expected.as_ref().is_some_and(|bytes| bytes.len() > room) {
        expected = None;
    }
    let decoded = decode_binary(value, &mut out[..room]);
    match (decoded, expected) {
        (Ok(decoded), Some(expected)) => assert_eq!(decoded, expected),
        (Err(_), None) => {}
        (decoded, expected) => panic!("{decoded:?} instead of {expected:?}"),
    }
    assert!(out[room..].iter().all(|byte| *byte == 0xa5), "nothing beyond the room is written");
}

fn oracle(value: &[u8]) -> Option<Vec<u8>> {
    let (prefix, digits) = value.split_at_checked(2)?;
    if digits.is_empty() {
        return None;
    }
    match prefix {
        b"0x" | b"0X" => {
            let text = std::str::from_utf8(digits).ok()?;
            let even = if text.len() % 2 == 0 { text.to_owned() } else { format!("0{text}") };
            let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
            even.as_bytes().chunks(2).map(|p| Some(digit(&p[0])? << 4 | digit(&p[1])?)).collect()
        }
        b"0b" | b"0B" => {
            let end = digits.iter().position(|digit| *digit == b'=').unwrap_or(digits.len());
            let mut bits = 0_u32;
            let mut bytes = Vec::new();
            for (place, digit) in digits[..end].iter().enumerate() {
                let six = ALPHABET.iter().position(|letter| letter == digit)?;
                bits = bits << 6 | six as u32;
                // Eight bits are complete with every digit but the first of four.
                let left = [6, 4, 2, 0][place % 4];
                if left != 6 {
                    bytes.push((bits >> left) as u8);
                }
            }
            // Whatever decodes is written in one way alone.
            (encode_base64(&bytes)[2..] == *digits).then_some(bytes)
        }
        _ => None,
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"0b".to_vec();
    for group in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    text
}
