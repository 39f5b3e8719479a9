//! iSCSI names (RFC 7143 §4.2.7).

use core::fmt;

use heapless::String;

/// An iSCSI name: `iqn.`, `eui.` or `naa.`, at most 223 bytes (RFC 7143 §4.2.7).
///
/// A name is kept in lower case, as the iSCSI stringprep profile maps it, and compares byte for
/// byte. Names beyond ASCII must come already prepared: no Unicode tables are carried.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String<{ Name::MAX_LENGTH }>);

impl Name {
    /// Longest name in bytes (§4.2.7.1).
    pub const MAX_LENGTH: usize = 223;

    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn new(name: &str) -> Result<Name, NameError> {
        if name.len() > Name::MAX_LENGTH {
            return Err(NameError::TooLong(name.len()));
        }
        let (kind, rest) = name.split_at_checked(4).ok_or(NameError::UnknownType)?;
        let hex_digits = |counts: &[usize]| {
            if counts.contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                Ok(())
            } else {
                Err(NameError::BadHex)
            }
        };
        if kind.eq_ignore_ascii_case("iqn.") {
            check_qualified(rest)?;
        } else if kind.eq_ignore_ascii_case("eui.") {
            hex_digits(&[16])?;
        } else if kind.eq_ignore_ascii_case("naa.") {
            hex_digits(&[16, 32])?;
        } else {
            return Err(NameError::UnknownType);
        }
        let mut prepared = String::try_from(name).map_err(|_| NameError::TooLong(name.len()))?;
        prepared.make_ascii_lowercase();
        Ok(Name(prepared))
    }

    /// The name as it goes on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl core::str::FromStr for Name {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Name, NameError> {
        Name::new(name)
    }
}

/// Which rule of RFC 7143 §4.2.7 a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// More than 223 bytes: this many.
    TooLong(usize),
    /// Neither `iqn.`, `eui.` nor `naa.`.
    UnknownType,
    /// `iqn.` is not followed by `yyyy-mm.` and a naming authority.
    BadDate,
    /// A character that names may not hold.
    BadCharacter(char),
    /// `eui.` needs 16 hex digits, `naa.` 16 or 32.
    BadHex,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(f, "an iSCSI name has at most 223 bytes, this one has {length}")
            }
            Self::UnknownType => f.write_str("an iSCSI name starts with iqn., eui. or naa."),
            Self::BadDate => {
                f.write_str("iqn. is followed by yyyy-mm. and the naming authority's domain")
            }
            Self::BadCharacter(character) => {
                write!(f, "{character:?} has no place in an iSCSI name")
            }
            Self::BadHex => f.write_str("eui. is followed by 16 hex digits, naa. by 16 or 32"),
        }
    }
}

impl core::error::Error for NameError {}

/// The part of an `iqn.` name after the prefix (§4.2.7.4).
fn check_qualified(rest: &str) -> Result<(), NameError> {
    let (date, authority) = rest.split_at_checked(7).ok_or(NameError::BadDate)?;
    let authority = authority.strip_prefix('.').unwrap_or_default();
    let month_exists = match date.as_bytes() {
        [year @ .., b'-', b'0', b'1'..=b'9'] | [year @ .., b'-', b'1', b'0'..=b'2'] => {
            year.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if !month_exists || authority.is_empty() {
        return Err(NameError::BadDate);
    }
    // `_` is outside the stringprep profile (RFC 3722 §6) and common in target names all the same.
    let allowed = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(character, '-' | '.' | ':' | '_')
            || !character.is_ascii() && !character.is_control() && !character.is_whitespace()
    };
    match authority.chars().find(|character| !allowed(*character)) {
        Some(character) => Err(NameError::BadCharacter(character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn every_type_of_name_is_accepted() {
        for name in [
            "iqn.2007-09.jp.ne.peach.istgt:disk1",
            "iqn.2001-04.com.example",
            "iqn.2001-04.com.example:storage.tape1.sys1_xyz",
            "iqn.2010-04.org.ipxe:4c4c4544-0000-2010-8020-80c04f202020",
            "iqn.2001-04.com.example:läger",
            "eui.02004567a425678d",
            "naa.52004567ba64678d",
            "naa.62004567ba64678d0123456789abcdef",
        ] {
            assert_eq!(Name::new(name).map(|name| format!("{name}")), Ok(name.into()), "{name}");
        }
    }

    #[test]
    fn names_are_kept_in_lower_case() {
        for (given, kept) in [
            ("IQN.2001-04.COM.Example:Disk", "iqn.2001-04.com.example:disk"),
            ("EUI.02004567A425678D", "eui.02004567a425678d"),
            ("naa.52004567BA64678D", "naa.52004567ba64678d"),
        ] {
            assert_eq!(Name::new(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_rule_they_break() {
        for (name, error) in [
            ("", NameError::UnknownType),
            ("iqn", NameError::UnknownType),
            ("disk1", NameError::UnknownType),
            ("ïqn.2001-04.com.example", NameError::UnknownType),
            ("iqn.", NameError::BadDate),
            ("iqn.com.example:disk", NameError::BadDate),
            ("iqn.2001-13.com.example", NameError::BadDate),
            ("iqn.2001-00.com.example", NameError::BadDate),
            ("iqn.2001-+4.com.example", NameError::BadDate),
            ("iqn.2001-4.com.example", NameError::BadDate),
            ("iqn.2001-04.", NameError::BadDate),
            ("iqn.2001-04.com.example:a b", NameError::BadCharacter(' ')),
            ("iqn.2001-04.com.example:a\0b", NameError::BadCharacter('\0')),
            ("iqn.2001-04.com.example:a,b", NameError::BadCharacter(',')),
            ("iqn.2001-04.com.example:a=b", NameError::BadCharacter('=')),
            ("iqn.2001-04.com.example:a\u{a0}b", NameError::BadCharacter('\u{a0}')),
            ("eui.02004567A425678", NameError::BadHex),
            ("eui.02004567A425678G", NameError::BadHex),
            ("naa.52004567BA64678D0", NameError::BadHex),
        ] {
            assert_eq!(Name::new(name), Err(error), "{name}");
        }
    }

    #[test]
    fn a_name_has_at_most_223_bytes() {
        let longest = format!("iqn.2001-04.com.example:{}", "x".repeat(223 - 24));
        assert_eq!(longest.len(), 223);
        assert!(Name::new(&longest).is_ok());
        let longer: String = longest + "x";
        assert_eq!(Name::new(&longer), Err(NameError::TooLong(224)));
    }
}
