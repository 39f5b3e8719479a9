//! A login attempt (RFC 7143 §6, §11.12, §11.13): from responses to the next request.

use core::fmt;
use core::mem;

use heapless::{String, Vec};

use super::address::TargetAddress;
use super::algorithms::Offering;
use super::chap::{Challenges, Items};
use super::config::{Authentication, Digest, LoginConfig, SessionType};
use super::error::{
    AuthenticationFailure, ConfigurationError, Disagreement, Limit, LoginError, Misbehaviour,
};
use super::keys::{self, Key, KeyId, Value};
use super::outcome::{LoginPart, LoginProgress, Negotiated, Redirection};
use super::parameters::Parameters;
use super::stages::{State, acceptable};
use super::text::{List, Pairs, TextWriter};
use crate::pdu::request::Stage;
use crate::pdu::response::LoginResponse;

/// Longest data segment of a Login PDU, in either direction (RFC 7143 §6.3: the default
/// MaxRecvDataSegmentLength holds until full feature phase).
pub const LOGIN_SEGMENT_LIMIT: usize = 8192;

/// Longest logical response, gathered over PDUs with C=1 (RFC 7143 §6.1 asks for 8192 bytes).
const RECEIVED_TEXT_LIMIT: usize = 8192;

/// Longest logical request; only a flood of unknown keys to answer comes near it.
const SENT_TEXT_LIMIT: usize = 12 * 1024;

/// Responses in one login, those of either stage and empty ones with C=1; the RFC asks for at
/// least six (§6.2). A response with C=1 and text is bounded by the text instead.
const EXCHANGE_LIMIT: u16 = 64;

/// The details of status class 2 with which a target may refuse an offer of CHAP algorithms:
/// initiator error, authentication failure, invalid during login. The others have their own cause.
const OFFER_REFUSED: [u8; 3] = [INITIATOR_ERROR, 0x01, 0x0b];

/// The detail of status class 2 that says no more than that something is wrong.
const INITIATOR_ERROR: u8 = 0x00;

/// One login attempt after another: what to send, what came, what was agreed.
///
/// Kept in place for the life of a session, since it holds the text buffers; each
/// [`begin`](Login::begin) starts from nothing.
pub struct Login {
    /// Taken while a response is judged, so that an error leaves no attempt behind.
    state: State,
    parameters: Parameters,
    /// The logical response so far, and how much of it this PDU brought.
    received: Vec<u8, RECEIVED_TEXT_LIMIT>,
    received_in_pdu: usize,
    /// The logical request, and how much of it earlier PDUs took.
    to_send: Vec<u8, SENT_TEXT_LIMIT>,
    sent: usize,
    exchanges: u16,
    target_alias: Option<String<255>>,
    challenges: Challenges,
    offering: Offering,
}

impl Login {
    /// No attempt under way.
    #[must_use]
    pub const fn new() -> Login {
        Login {
            state: State::Idle,
            parameters: Parameters::NONE,
            received: Vec::new(),
            received_in_pdu: 0,
            to_send: Vec::new(),
            sent: 0,
            exchanges: 0,
            target_alias: None,
            challenges: Challenges::new(),
            offering: Offering::List,
        }
    }

    /// Starts an attempt on a new connection. Nothing of an earlier one is left, except the
    /// CHAP challenges sent so far, which are not to be used again, and that the target takes no
    /// list of CHAP algorithms.
    ///
    /// `entropy` is fresh for every attempt; only mutual CHAP needs it.
    ///
    /// # Errors
    /// [`LoginError::ApiMisuse`] when `config` cannot be used.
    pub fn begin(
        &mut self,
        config: &LoginConfig,
        entropy: Option<&[u8; 32]>,
    ) -> Result<(), LoginError> {
        if let State::AwaitingChallenge { .. } = mem::replace(&mut self.state, State::Idle) {
            // Closed, reset or left without an answer: how some refuse a list.
            self.offering.refused(&config.chap_algorithms);
        }
        config.check().map_err(LoginError::ApiMisuse)?;
        if let Authentication::Chap { initiator, .. } | Authentication::MutualChap { initiator, .. } =
            &config.authentication
            && initiator.secret.is_short()
        {
            log::warn!("the CHAP secret is shorter than 96 bits; it can be guessed from the wire");
        }
        let own = match &config.authentication {
            Authentication::MutualChap { initiator, .. } => {
                let issued = self.challenges.issue(entropy, &initiator.secret);
                Some(issued.map_err(LoginError::ApiMisuse)?)
            }
            Authentication::None | Authentication::Chap { .. } => None,
        };
        self.parameters =
            Parameters::new(config.session_type == SessionType::Discovery, &wishes(config));
        self.received.clear();
        self.received_in_pdu = 0;
        self.to_send.clear();
        self.sent = 0;
        self.exchanges = 0;
        self.target_alias = None;
        introduce(config, &mut TextWriter::new(&mut self.to_send))?;
        // With None alone to offer nothing else can follow; CHAP has steps first (§6.3.3).
        let transit = matches!(config.authentication, Authentication::None);
        let offer = self.offering.of(&config.chap_algorithms);
        self.state = State::ChoosingMethod { offer, own, transit };
        Ok(())
    }

    /// Forgets what was learned of a target: the next attempt is made at another one.
    pub fn forget(&mut self) {
        self.state = State::Idle;
        self.offering = Offering::List;
    }

    /// The request to send now. The same until the next [`on_response`](Login::on_response);
    /// empty when no attempt is under way.
    #[must_use]
    pub fn request(&self) -> LoginPart<'_> {
        self.request_in(&self.state)
    }

    /// Takes a piece of the response's data segment, without its padding.
    ///
    /// # Errors
    /// A text above the limits ends the login.
    pub fn receive_text(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        self.received_in_pdu = self.received_in_pdu.saturating_add(bytes.len());
        let taken = if self.received_in_pdu > LOGIN_SEGMENT_LIMIT {
            Err(LoginError::PeerMisbehaved(Misbehaviour::SegmentTooLong))
        } else {
            self.received
                .extend_from_slice(bytes)
                .map_err(|_| LoginError::LimitReached(Limit::ReceivedText(RECEIVED_TEXT_LIMIT)))
        };
        if taken.is_err() {
            self.state = State::Idle;
        }
        taken
    }

    /// Takes a response, after its whole data segment.
    ///
    /// Checks all of it that concerns the login; Initiator Task Tag and sequence numbers are the
    /// session's.
    ///
    /// # Errors
    /// Any [`LoginError`] ends this attempt: close the connection.
    pub fn on_response(
        &mut self,
        config: &LoginConfig,
        response: &LoginResponse,
    ) -> Result<LoginProgress, LoginError> {
        let state = mem::replace(&mut self.state, State::Idle);
        let received_in_pdu = mem::take(&mut self.received_in_pdu);
        if matches!(state, State::Idle) {
            return Err(LoginError::ApiMisuse(ConfigurationError::NoLoginUnderWay));
        }
        if usize::try_from(response.data_segment_length) != Ok(received_in_pdu) {
            return Err(LoginError::ApiMisuse(ConfigurationError::TextLengthDiffers));
        }
        match response.status_class {
            0 => {}
            // T, C and the stages mean nothing here (§11.13.5); the class alone decides.
            1 => return self.redirection(response.status_detail).map(LoginProgress::Redirected),
            class @ (2 | 3) => {
                let detail = response.status_detail;
                let acceptable = &config.chap_algorithms;
                let another_offer = match (&state, state.answered(), class) {
                    (State::AwaitingChallenge { .. }, _, 2) => {
                        OFFER_REFUSED.contains(&detail) && self.offering.refused(acceptable)
                    }
                    (_, Some(algorithm), 2) => {
                        detail == INITIATOR_ERROR && self.offering.misread(algorithm, acceptable)
                    }
                    _ => false,
                };
                if another_offer {
                    return Ok(LoginProgress::TryAgain);
                }
                return Err(LoginError::Rejected { class, detail });
            }
            class => return Err(misbehaved(Misbehaviour::StatusClass(class))),
        }
        let granted = self.check_header(config, &state, response)?;

        let (part, continues) = self.part();
        if continues {
            if received_in_pdu != 0 {
                return Err(misbehaved(Misbehaviour::TextBeforeRequestEnds));
            }
            self.sent = self.sent.saturating_add(part.len());
            self.state = state;
            return Ok(LoginProgress::SendNext);
        }
        self.to_send.clear();
        self.sent = 0;
        if !response.text_continues || received_in_pdu == 0 {
            self.exchanges = self.exchanges.saturating_add(1);
            if self.exchanges > EXCHANGE_LIMIT {
                return Err(LoginError::LimitReached(Limit::Exchanges(EXCHANGE_LIMIT)));
            }
        }
        if response.text_continues {
            // §6.2: answered by an empty request; T stays as it was.
            self.state = state;
            return Ok(LoginProgress::SendNext);
        }

        let Login { parameters, received, to_send, target_alias, .. } = self;
        let mut writer = TextWriter::new(to_send);
        let security = state.stage() == Stage::SecurityNegotiation;
        let mut items = Items::default();
        for pair in Pairs::new(received) {
            let pair = pair.map_err(LoginError::Malformed)?;
            match Key::named(pair.key) {
                None => keys::answer_unknown(pair, &mut writer)?,
                Some(key) if key.is_by_step() => items.take(key, pair.value, security)?,
                Some(key) => {
                    let transit = granted.is_some();
                    parameters.receive(key, pair.value, security, transit, &mut writer)?;
                    if key.id == KeyId::TargetAlias {
                        *target_alias = alias(pair.value);
                    }
                }
            }
        }
        check_portal_group(config, parameters)?;
        let next = state.on(&items, granted, config, parameters, &mut writer);
        if let Err(LoginError::AuthFailed(AuthenticationFailure::AlgorithmRejected)) = next
            && self.offering.refused(&config.chap_algorithms)
        {
            return Ok(LoginProgress::TryAgain);
        }
        let next = next?;
        self.received.clear();
        if matches!(next, State::FullFeature) {
            let negotiated = self.conclude(config, response.tsih)?;
            self.offering.succeeded();
            return Ok(LoginProgress::LoggedIn(negotiated));
        }
        self.state = next;
        Ok(LoginProgress::SendNext)
    }

    fn request_in(&self, state: &State) -> LoginPart<'_> {
        let current_stage = state.stage();
        let (text, text_continues) = match state {
            State::Idle => (&[][..], false),
            _ => self.part(),
        };
        // §11.12.2: C=1 excludes T=1.
        let asked = if text_continues { None } else { state.asks_for() };
        LoginPart {
            transit: asked.is_some(),
            text_continues,
            current_stage,
            next_stage: asked.unwrap_or(current_stage),
            text,
        }
    }

    /// The text of the PDU to send now, and whether more of the request follows it.
    fn part(&self) -> (&[u8], bool) {
        let rest = self.to_send.get(self.sent..).unwrap_or_default();
        let Some((part, _)) = rest.split_at_checked(LOGIN_SEGMENT_LIMIT) else {
            return (rest, false);
        };
        if part.len() == rest.len() {
            return (rest, false);
        }
        // Between two pairs where one ends: some targets cannot join the halves of one.
        let end = part
            .iter()
            .rposition(|byte| *byte == 0)
            .map_or(part.len(), |nul| nul.saturating_add(1));
        (part.get(..end).unwrap_or(part), true)
    }

    /// Checks a good response's header, and says which stage it grants.
    fn check_header(
        &self,
        config: &LoginConfig,
        state: &State,
        response: &LoginResponse,
    ) -> Result<Option<Stage>, LoginError> {
        if response.version_active != 0 {
            return Err(misbehaved(Misbehaviour::Version(response.version_active)));
        }
        if response.isid != config.isid {
            return Err(misbehaved(Misbehaviour::Isid));
        }
        if response.current_stage != state.stage() {
            return Err(misbehaved(Misbehaviour::CurrentStage));
        }
        if !response.transit {
            return Ok(None);
        }
        if response.text_continues {
            return Err(misbehaved(Misbehaviour::TransitWithContinue));
        }
        // §11.13.6. Which stage may follow which is told by the transitions themselves.
        if !self.request_in(state).transit {
            return Err(misbehaved(Misbehaviour::TransitUnasked));
        }
        Ok(Some(response.next_stage))
    }

    fn redirection(&self, detail: u8) -> Result<Redirection, LoginError> {
        let mut addresses = Vec::new();
        for pair in Pairs::new(&self.received) {
            let pair = pair.map_err(LoginError::Malformed)?;
            if pair.key == "TargetAddress" && !addresses.is_full() {
                let address = TargetAddress::parse(pair.value)
                    .map_err(|error| misbehaved(Misbehaviour::RedirectedTo(error)))?;
                // Cannot overflow: not full.
                let _ = addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(misbehaved(Misbehaviour::RedirectedNowhere));
        }
        Ok(Redirection { permanent: detail == 2, addresses })
    }

    /// Everything agreed, at the final response.
    fn conclude(&mut self, config: &LoginConfig, tsih: u16) -> Result<Negotiated, LoginError> {
        if tsih == 0 {
            return Err(misbehaved(Misbehaviour::TsihZero));
        }
        self.parameters.conclude()?;
        let parameters = &self.parameters;
        let target_portal_group_tag = portal_group(parameters);
        if let (Some(expected), None) = (config.target_portal_group_tag, target_portal_group_tag) {
            return Err(LoginError::NotAgreed(Disagreement::PortalGroupMissing { expected }));
        }
        let digest = |id| {
            if parameters.chose(id, "CRC32C") { Digest::Crc32c } else { Digest::None }
        };
        let small = |id| u16::try_from(parameters.number(id)).unwrap_or(u16::MAX);
        let max_burst_length = parameters.number(KeyId::MaxBurstLength);
        Ok(Negotiated {
            header_digest: digest(KeyId::HeaderDigest),
            data_digest: digest(KeyId::DataDigest),
            max_recv_data_segment_length: config.offer.max_recv_data_segment_length,
            max_send_data_segment_length: parameters
                .declared(KeyId::MaxRecvDataSegmentLength)
                .unwrap_or_else(|| parameters.number(KeyId::MaxRecvDataSegmentLength)),
            max_burst_length,
            // §13.14: never above MaxBurstLength, whichever of both fell back to its default.
            first_burst_length: parameters.number(KeyId::FirstBurstLength).min(max_burst_length),
            immediate_data: parameters.boolean(KeyId::ImmediateData),
            initial_r2t: parameters.boolean(KeyId::InitialR2T),
            max_outstanding_r2t: small(KeyId::MaxOutstandingR2T),
            default_time2wait: small(KeyId::DefaultTime2Wait),
            default_time2retain: small(KeyId::DefaultTime2Retain),
            data_pdu_in_order: parameters.boolean(KeyId::DataPduInOrder),
            data_sequence_in_order: parameters.boolean(KeyId::DataSequenceInOrder),
            error_recovery_level: u8::try_from(parameters.number(KeyId::ErrorRecoveryLevel))
                .unwrap_or(u8::MAX),
            iscsi_protocol_level: u8::try_from(parameters.number(KeyId::IscsiProtocolLevel))
                .unwrap_or(0),
            target_portal_group_tag,
            tsih,
            target_alias: self.target_alias.take(),
        })
    }
}

impl Default for Login {
    fn default() -> Login {
        Login::new()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("stage", &self.state.stage())
            .field("exchanges", &self.exchanges)
            .finish_non_exhaustive()
    }
}

/// The first request's text: who, to whom, for what, and how to authenticate (§6.3, §13.21).
fn introduce(config: &LoginConfig, writer: &mut TextWriter<'_>) -> Result<(), LoginError> {
    writer.pair("InitiatorName", &config.initiator_name)?;
    if let Some(alias) = &config.initiator_alias {
        writer.pair("InitiatorAlias", alias)?;
    }
    if let Some(name) = &config.target_name {
        writer.pair("TargetName", name)?;
    }
    // Always said: some targets miss it otherwise (status 0207).
    writer.pair(
        "SessionType",
        match config.session_type {
            SessionType::Normal => "Normal",
            SessionType::Discovery => "Discovery",
        },
    )?;
    let methods: &[&str] = match acceptable(&config.authentication) {
        (true, true) => &["CHAP", "None"],
        (true, false) => &["CHAP"],
        (false, _) => &["None"],
    };
    Ok(writer.pair("AuthMethod", List(methods))?)
}

/// This node's value for every key that it has one for.
fn wishes(config: &LoginConfig) -> [(KeyId, Value); 16] {
    let offer = &config.offer;
    [
        (KeyId::HeaderDigest, Value::Choices(config.header_digest.names())),
        (KeyId::DataDigest, Value::Choices(config.data_digest.names())),
        (KeyId::MaxConnections, Value::Number(1)),
        (KeyId::InitialR2T, Value::Boolean(offer.initial_r2t)),
        (KeyId::ImmediateData, Value::Boolean(offer.immediate_data)),
        (KeyId::MaxRecvDataSegmentLength, Value::Number(offer.max_recv_data_segment_length)),
        (KeyId::MaxBurstLength, Value::Number(offer.max_burst_length)),
        (KeyId::FirstBurstLength, Value::Number(offer.first_burst_length)),
        (KeyId::DefaultTime2Wait, Value::Number(offer.default_time2wait.into())),
        (KeyId::DefaultTime2Retain, Value::Number(offer.default_time2retain.into())),
        (KeyId::MaxOutstandingR2T, Value::Number(offer.max_outstanding_r2t.into())),
        (KeyId::DataPduInOrder, Value::Boolean(offer.data_pdu_in_order)),
        (KeyId::DataSequenceInOrder, Value::Boolean(offer.data_sequence_in_order)),
        (KeyId::ErrorRecoveryLevel, Value::Number(0)),
        // Not offered, answered when the target proposes it.
        (KeyId::TaskReporting, Value::Choices(&["RFC3720"])),
        (KeyId::IscsiProtocolLevel, Value::Number(offer.iscsi_protocol_level.into())),
    ]
}

fn portal_group(parameters: &Parameters) -> Option<u16> {
    parameters.declared(KeyId::TargetPortalGroupTag).and_then(|tag| u16::try_from(tag).ok())
}

/// §6.3.1: the target's portal group against the one intended, as soon as it is known.
fn check_portal_group(config: &LoginConfig, parameters: &Parameters) -> Result<(), LoginError> {
    match (config.target_portal_group_tag, portal_group(parameters)) {
        (Some(expected), Some(found)) if expected != found => {
            Err(LoginError::NotAgreed(Disagreement::PortalGroup { expected, found }))
        }
        _ => Ok(()),
    }
}

/// Text for people (§13.6); one that cannot be shown is no reason to fail.
fn alias(value: &[u8]) -> Option<String<255>> {
    let alias = core::str::from_utf8(value).ok()?;
    if alias.chars().any(char::is_control) {
        return None;
    }
    String::try_from(alias).ok()
}

fn misbehaved(misbehaviour: Misbehaviour) -> LoginError {
    LoginError::PeerMisbehaved(misbehaviour)
}
