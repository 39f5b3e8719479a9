//! The stages of a login and the moves between them (RFC 7143 §6.3, §8.1).

use super::algorithms::{ChapAlgorithm, ChapAlgorithms};
use super::chap::{self, Items, OwnChallenge};
use super::config::{Authentication, LoginConfig};
use super::error::{AuthenticationFailure, KeyProblem, LoginError, Misbehaviour};
use super::keys;
use super::parameters::Parameters;
use super::text::TextWriter;
use crate::pdu::request::Stage;

/// Where an attempt stands. Of the connection states (RFC 7143 §8.1) all but the first and last
/// are S4 IN_LOGIN: `begin` is T4, `FullFeature` is T5, and an error is T7, for which the state
/// has been given up already.
pub(super) enum State {
    /// No attempt is under way.
    Idle,
    /// Stage 0: names and AuthMethod were sent. `transit`: without a method is fine.
    ChoosingMethod { offer: ChapAlgorithms, own: Option<OwnChallenge>, transit: bool },
    /// Stage 0: CHAP_A was sent; CHAP_A, CHAP_I, CHAP_C are to come.
    AwaitingChallenge { offer: ChapAlgorithms, own: Option<OwnChallenge> },
    /// Stage 0: CHAP_N and CHAP_R were sent with a challenge; the target's are to come.
    AwaitingProof { algorithm: ChapAlgorithm, own: OwnChallenge },
    /// Stage 0: nothing left to say. `answered`: how the last request proved this node.
    Authenticated { answered: Option<ChapAlgorithm> },
    /// Stage 1: every key was sent.
    Operational,
    /// Both sides have T=1 and NSG=3.
    FullFeature,
}

impl State {
    /// CSG of the requests sent in this state.
    pub(super) fn stage(&self) -> Stage {
        match self {
            State::Idle
            | State::ChoosingMethod { .. }
            | State::AwaitingChallenge { .. }
            | State::AwaitingProof { .. }
            | State::Authenticated { .. } => Stage::SecurityNegotiation,
            State::Operational => Stage::OperationalNegotiation,
            State::FullFeature => Stage::FullFeaturePhase,
        }
    }

    /// NSG of the requests sent in this state; `None` is T=0. Once asked for, a stage is asked
    /// for until it is granted (§6.3.3).
    pub(super) fn asks_for(&self) -> Option<Stage> {
        match self {
            State::ChoosingMethod { transit: true, .. }
            | State::AwaitingProof { .. }
            | State::Authenticated { .. } => Some(Stage::OperationalNegotiation),
            State::Operational => Some(Stage::FullFeaturePhase),
            // CHAP has steps to come.
            State::ChoosingMethod { transit: false, .. }
            | State::AwaitingChallenge { .. }
            | State::Idle
            | State::FullFeature => None,
        }
    }

    /// The algorithm of this node's response, as long as the target has not judged it.
    pub(super) fn answered(&self) -> Option<ChapAlgorithm> {
        match self {
            State::AwaitingProof { algorithm, .. } => Some(*algorithm),
            State::Authenticated { answered } => *answered,
            State::Idle
            | State::ChoosingMethod { .. }
            | State::AwaitingChallenge { .. }
            | State::Operational
            | State::FullFeature => None,
        }
    }

    /// Takes a complete response: the security keys in it, and the stage it grants. The other
    /// keys are in `parameters` already.
    pub(super) fn on(
        self,
        items: &Items<'_>,
        granted: Option<Stage>,
        config: &LoginConfig,
        parameters: &mut Parameters,
        writer: &mut TextWriter<'_>,
    ) -> Result<State, LoginError> {
        let authentication = &config.authentication;
        let state = match self {
            // §12.1: the target chooses from AuthMethod.
            State::ChoosingMethod { offer, own, .. } => {
                items.only(&["AuthMethod"])?;
                choose_method(items.auth_method, authentication, offer, own, writer)?
            }
            // §12.1.3: CHAP_A, CHAP_I, CHAP_C are answered by CHAP_N, CHAP_R [CHAP_I, CHAP_C].
            State::AwaitingChallenge { offer, own } => match authentication {
                Authentication::Chap { initiator, .. }
                | Authentication::MutualChap { initiator, .. } => {
                    let name = config.initiator_name.as_str();
                    let own = own.as_ref();
                    let algorithm =
                        chap::answer_challenge(items, &offer, name, initiator, own, writer)?;
                    match own {
                        Some(own) => State::AwaitingProof { algorithm, own: *own },
                        None => State::Authenticated { answered: Some(algorithm) },
                    }
                }
                Authentication::None => {
                    return Err(auth_failed(AuthenticationFailure::MethodNotChosen));
                }
            },
            // §12.1.3: the target's CHAP_N and CHAP_R, which it may still hold back at T=0.
            State::AwaitingProof { algorithm, own } => match authentication {
                Authentication::MutualChap { initiator, target } => {
                    if items.is_empty() {
                        State::AwaitingProof { algorithm, own }
                    } else {
                        chap::verify_target(items, algorithm, &own, initiator, target)?;
                        State::Authenticated { answered: None }
                    }
                }
                Authentication::None | Authentication::Chap { .. } => {
                    return Err(auth_failed(AuthenticationFailure::TargetNotProven));
                }
            },
            state @ (State::Authenticated { .. }
            | State::Operational
            | State::Idle
            | State::FullFeature) => {
                items.only(&[])?;
                state
            }
        };
        match (state, granted) {
            (state, None) => Ok(state),
            // §6.3: SecurityNegotiation → LoginOperationalNegotiation.
            (
                State::ChoosingMethod { .. } | State::Authenticated { .. },
                Some(Stage::OperationalNegotiation),
            ) => {
                parameters.offer_all(writer)?;
                Ok(State::Operational)
            }
            (State::AwaitingChallenge { .. }, Some(_)) => {
                Err(auth_failed(AuthenticationFailure::MethodNotChosen))
            }
            (State::AwaitingProof { .. }, Some(_)) => {
                Err(auth_failed(AuthenticationFailure::TargetNotProven))
            }
            // §6.3: LoginOperationalNegotiation → FullFeaturePhase.
            (State::Operational, Some(Stage::FullFeaturePhase)) => Ok(State::FullFeature),
            // §6.3: no other stage follows, and none beyond the one asked for.
            (_, Some(_)) => Err(LoginError::PeerMisbehaved(Misbehaviour::NextStage)),
        }
    }
}

/// Follows the target's AuthMethod; what is configured is never lowered.
fn choose_method(
    chosen: Option<&[u8]>,
    authentication: &Authentication,
    offer: ChapAlgorithms,
    own: Option<OwnChallenge>,
    writer: &mut TextWriter<'_>,
) -> Result<State, LoginError> {
    let (chap, none) = acceptable(authentication);
    match chosen {
        Some(b"CHAP") if chap => {
            chap::offer_algorithms(&offer, writer)?;
            Ok(State::AwaitingChallenge { offer, own })
        }
        Some(b"None") if none => Ok(State::Authenticated { answered: None }),
        Some(b"Reject") if chap => Err(auth_failed(AuthenticationFailure::MethodRejected)),
        Some(b"Reject") => Err(auth_failed(AuthenticationFailure::ChapDemanded)),
        Some(value) => Err(keys::key_problem("AuthMethod", KeyProblem::NotOffered, value)),
        // Says nothing yet, or will go on without.
        None if none => Ok(State::ChoosingMethod { offer, own, transit: true }),
        None => Err(auth_failed(AuthenticationFailure::MethodNotChosen)),
    }
}

/// Whether CHAP and whether None is acceptable.
pub(super) fn acceptable(authentication: &Authentication) -> (bool, bool) {
    match authentication {
        Authentication::None => (false, true),
        Authentication::Chap { required, .. } => (true, !required),
        Authentication::MutualChap { .. } => (true, false),
    }
}

fn auth_failed(failure: AuthenticationFailure) -> LoginError {
    LoginError::AuthFailed(failure)
}
