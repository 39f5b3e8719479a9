//! The login phase (RFC 7143 §6, §12, §13): text, keys, CHAP, and the state machine over them.
//!
//! A session keeps one [`Login`] for its life and begins a fresh attempt on it for every
//! connection. The session moves the PDUs; this module decides what they say:
//!
//! ```text
//! begin ──► request ──► (Login Request on the wire)
//!              ▲                    │
//!         SendNext        receive_text*, on_response ──► LoggedIn | Redirected | TryAgain | error
//!              └────────────────────┘
//! ```
//!
//! Every attempt starts in the security stage, where the target may demand CHAP, goes on to the
//! operational stage with all keys spelled out in one PDU (also those at their default: several
//! targets need them), and ends in the full feature phase. What the peer offers never lowers the
//! configured authentication.

mod address;
mod algorithms;
mod chap;
mod config;
mod error;
mod excerpt;
mod keys;
mod literal;
mod names;
mod negotiation;
mod outcome;
mod parameters;
mod secret;
mod stages;
pub mod text;

#[cfg(test)]
mod tests;

pub use address::{AddressError, AddressProblem, Host, TargetAddress};
pub use algorithms::{ChapAlgorithm, ChapAlgorithms, ChapAlgorithmsError};
pub use config::{
    Authentication, Credentials, Digest, DigestOffer, LoginConfig, OperationalOffer, SessionType,
};
pub use error::{
    AuthenticationFailure, ConfigurationError, Disagreement, KeyProblem, Limit, LoginError,
    Misbehaviour, status_meaning,
};
pub use excerpt::Excerpt;
pub(crate) use keys::FullFeatureKey;
pub use names::{Name, NameError};
pub use negotiation::{LOGIN_SEGMENT_LIMIT, Login};
pub use outcome::{LoginPart, LoginProgress, Negotiated, Redirection};
pub use secret::{Secret, SecretError};
