//! A secret: held, compared and forgotten with care.

use core::fmt;

use heapless::Vec;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A CHAP secret: 1 to 255 bytes, wiped when dropped, never shown, compared in constant time.
///
/// What is made of a secret, and what a peer offers as such, is kept in the same way.
#[derive(Clone)]
pub struct Secret(Vec<u8, { Secret::MAX_LENGTH }>);

impl Secret {
    /// Longest secret in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// Below 96 bits a secret can be guessed from what goes over the wire (RFC 7143 §9.2.1).
    pub const RECOMMENDED_LENGTH: usize = 12;

    /// Takes a copy of `secret`; any bytes are allowed.
    ///
    /// # Errors
    /// [`SecretError`] when it is empty or longer than 255 bytes.
    pub fn new(secret: &[u8]) -> Result<Secret, SecretError> {
        if secret.is_empty() {
            return Err(SecretError::Empty);
        }
        Vec::from_slice(secret).map(Secret).map_err(|_| SecretError::TooLong(secret.len()))
    }

    /// A digest made of a secret, or one to compare with that: at most 255 bytes.
    pub(super) fn of_digest(digest: &[u8]) -> Secret {
        Secret(Vec::from_slice(digest).unwrap_or_default())
    }

    /// The bytes, for the hash of a response.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether the secret is below the 96 bits that RFC 7143 §9.2.1 asks for.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.len() < Secret::RECOMMENDED_LENGTH
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why a secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// No bytes.
    Empty,
    /// More than 255 bytes: this many.
    TooLong(usize),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the CHAP secret is empty"),
            Self::TooLong(length) => {
                write!(f, "a CHAP secret has at most 255 bytes, this one has {length}")
            }
        }
    }
}

impl core::error::Error for SecretError {}
