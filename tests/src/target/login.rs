//! The login of one connection (RFC 7143 §6.3, 11.12, 11.13).

use std::net::SocketAddr;

use isboot::pdu::request::{LoginRequest, Request, Stage};
use isboot::pdu::response::{LoginResponse, Response, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;

use super::frame::Pdu;
use super::link::Link;
use super::operational::Negotiation;
use super::policy::Policy;
use super::rules::{End, broken, opcode_name};
use super::security::{Security, Step};
use super::session::FullFeature;
use super::state::Shared;
use super::statistics::Negotiated;
use super::text::{self, Pairs};

/// How a login goes on after a request.
#[derive(Debug)]
pub(super) enum Progress {
    Continues,
    Complete(Box<FullFeature>),
    /// A status other than success went out.
    Failed,
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    portal: SocketAddr,
    stat_sn: SerialNumber,
    /// The request before this one.
    last: Option<LoginRequest>,
    stage: Stage,
    /// Text of requests with C=1.
    gathered: Vec<u8>,
    /// An answer that did not fit into one PDU: what is left of it, T and NSG of its last PDU.
    unsent: Option<(Vec<u8>, Option<Stage>)>,
    initiator: String,
    discovery: bool,
    identified: bool,
    security: Security,
    negotiation: Option<Negotiation>,
    offered: Pairs,
}

/// Status-Detail of class 2 (§11.13.5).
const TARGET_NOT_FOUND: u8 = 0x03;
const UNSUPPORTED_VERSION: u8 = 0x05;
const MISSING_PARAMETER: u8 = 0x07;
const SESSION_TYPE: u8 = 0x09;
const NO_SUCH_SESSION: u8 = 0x0a;
const INVALID_REQUEST: u8 = 0x0b;
const AUTHENTICATION_FAILURE: u8 = 0x01;

impl Login {
    pub(super) fn new(policy: &Policy, portal: SocketAddr) -> Self {
        Self {
            portal,
            stat_sn: SerialNumber(policy.initial_stat_sn),
            last: None,
            stage: Stage::SecurityNegotiation,
            gathered: Vec::new(),
            unsent: None,
            initiator: String::new(),
            discovery: false,
            identified: false,
            security: Security::default(),
            negotiation: None,
            offered: Vec::new(),
        }
    }

    /// Serves one PDU.
    pub(super) fn serve(&mut self, link: &mut Link, pdu: Pdu) -> Result<Progress, End> {
        let request = self.check(&pdu)?;
        let first = self.last.is_none();
        if first {
            self.stage = request.current_stage;
        }
        self.last = Some(request);
        if first && (request.version_min != 0 || request.version_max != 0) {
            if request.version_min > 0 {
                return Ok(self.fail(link, 0x02, UNSUPPORTED_VERSION));
            }
            return broken("RFC 7143 §11.12.4", "Version-max is not 00h");
        }
        if first && request.tsih != 0 {
            return Ok(self.fail(link, 0x02, NO_SUCH_SESSION));
        }
        if self.stage == Stage::FullFeaturePhase {
            return Ok(self.fail(link, 0x02, INVALID_REQUEST));
        }
        if let Some((rest, next)) = self.unsent.take() {
            if !pdu.data.is_empty() {
                return broken("RFC 7143 §6.2", "text in answer to a Login Response with C=1");
            }
            return self.answer(link, rest, next);
        }
        self.gathered.extend_from_slice(&pdu.data);
        if request.text_continues {
            self.send(link, Vec::new(), false, None);
            return Ok(Progress::Continues);
        }
        let pairs = text::parse(&std::mem::take(&mut self.gathered))?;
        self.converse(link, &request, &pairs)
    }

    /// Counters of a PDU that a script injects.
    pub(super) fn numbers(&mut self, shared: &Shared, advance: bool) -> SequenceNumbers {
        let exp_cmd_sn = self.last.map_or(SerialNumber(0), |request| request.cmd_sn);
        let stat_sn = self.stat_sn;
        if advance {
            self.stat_sn = stat_sn.next();
        }
        let max_cmd_sn = exp_cmd_sn.plus(shared.state().window).previous();
        SequenceNumbers { stat_sn, exp_cmd_sn, max_cmd_sn }
    }

    /// Ends the login with this status.
    pub(super) fn fail(&mut self, link: &mut Link, class: u8, detail: u8) -> Progress {
        self.fail_with(link, class, detail, Vec::new())
    }

    fn fail_with(&mut self, link: &mut Link, class: u8, detail: u8, data: Vec<u8>) -> Progress {
        link.shared.state().statistics.failed_logins += 1;
        if self.last.is_some() {
            self.respond(link, data, None, false, (class, detail), 0);
        }
        Progress::Failed
    }

    /// What every Login Request must be (§11.12).
    fn check(&self, pdu: &Pdu) -> Result<LoginRequest, End> {
        let name = opcode_name(pdu.header.opcode());
        let request = match Request::parse(&pdu.header) {
            Ok(Request::Login(request)) => request,
            Ok(_) => return broken("RFC 7143 §4.2.4", format!("{name} before the login is over")),
            Err(error) => return broken("RFC 7143 §11", error.to_string()),
        };
        if !pdu.header.immediate() {
            return broken("RFC 7143 §11.12", "Login Request without I");
        }
        if !pdu.additional.is_empty() {
            return broken("RFC 7143 §11.12", "Login Request with an additional header segment");
        }
        let Some(last) = &self.last else { return Ok(request) };
        let constant = [
            ("Initiator Task Tag", last.initiator_task_tag == request.initiator_task_tag),
            ("ISID", last.isid == request.isid),
            ("TSIH", last.tsih == request.tsih),
            ("CID", last.cid == request.cid),
            ("CmdSN", last.cmd_sn == request.cmd_sn),
            ("Version-max", last.version_max == request.version_max),
            ("Version-min", last.version_min == request.version_min),
        ];
        if let Some((field, _)) = constant.iter().find(|(_, same)| !same) {
            return broken("RFC 7143 §11.12", format!("{field} changed within the login"));
        }
        if request.exp_stat_sn != self.stat_sn {
            return broken(
                "RFC 7143 §11.12.9",
                format!(
                    "ExpStatSN {} after StatSN {}",
                    request.exp_stat_sn,
                    self.stat_sn.previous()
                ),
            );
        }
        if request.current_stage != self.stage {
            return broken(
                "RFC 7143 §6.3",
                format!("CSG {:?} while the stage is {:?}", request.current_stage, self.stage),
            );
        }
        Ok(request)
    }

    /// One request whose text is complete.
    fn converse(
        &mut self,
        link: &mut Link,
        request: &LoginRequest,
        pairs: &[(String, String)],
    ) -> Result<Progress, End> {
        let mut answers = Pairs::new();
        if !self.identified {
            if let Some(progress) = self.identify(link, pairs, &mut answers)? {
                return Ok(progress);
            }
        } else if let Some((key, _)) = pairs
            .iter()
            .find(|(key, _)| ["InitiatorName", "TargetName", "SessionType"].contains(&key.as_str()))
        {
            return broken("RFC 7143 §13.4", format!("{key} again after the first Login Request"));
        }
        for (key, value) in pairs {
            let shown = if key.starts_with("CHAP_") { "…" } else { value };
            self.offered.push((key.clone(), shown.to_owned()));
        }
        let rest: Pairs = pairs
            .iter()
            .filter(|(key, _)| !DECLARED_ANYWHERE.contains(&key.as_str()))
            .cloned()
            .collect();
        match self.stage {
            Stage::SecurityNegotiation => self.secure(link, request, &rest, answers),
            _ => self.operate(link, request, &rest, answers),
        }
    }

    /// Who is there, and may they come in (§6.3)?
    fn identify(
        &mut self,
        link: &mut Link,
        pairs: &[(String, String)],
        answers: &mut Pairs,
    ) -> Result<Option<Progress>, End> {
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        self.identified = true;
        let refused = link.shared.state().refusals.pop_front();
        if let Some((class, detail)) = refused {
            return Ok(Some(self.fail(link, class, detail)));
        }
        self.discovery = match value("SessionType") {
            None | Some("Normal") => false,
            Some("Discovery") => true,
            Some(_) => return Ok(Some(self.fail(link, 0x02, SESSION_TYPE))),
        };
        match value("InitiatorName") {
            Some(name) if (1..=223).contains(&name.len()) => self.initiator = name.to_owned(),
            Some(_) => {
                return broken("RFC 7143 §4.2.7.1", "InitiatorName empty or above 223 bytes");
            }
            None => return Ok(Some(self.fail(link, 0x02, MISSING_PARAMETER))),
        }
        match value("TargetName") {
            Some(name) if name == link.shared.name => {}
            Some(_) => return Ok(Some(self.fail(link, 0x02, TARGET_NOT_FOUND))),
            None if self.discovery => {}
            None => return Ok(Some(self.fail(link, 0x02, MISSING_PARAMETER))),
        }
        if let Some((permanent, address)) = redirection(&link.shared) {
            let keys = [("TargetAddress".to_owned(), address)];
            let detail = if permanent { 0x02 } else { 0x01 };
            return Ok(Some(self.fail_with(link, 0x01, detail, text::emit(&keys))));
        }
        if !self.discovery {
            // §6.3.1: with the first response to a request that has C=0.
            let tag = link.shared.policy.portal_group_tag.to_string();
            answers.push(("TargetPortalGroupTag".to_owned(), tag));
            if let Some(alias) = &link.shared.policy.alias {
                answers.push(("TargetAlias".to_owned(), alias.clone()));
            }
        }
        Ok(None)
    }

    fn secure(
        &mut self,
        link: &mut Link,
        request: &LoginRequest,
        keys: &Pairs,
        mut answers: Pairs,
    ) -> Result<Progress, End> {
        let (security, other): (Pairs, Pairs) = keys
            .iter()
            .cloned()
            .partition(|(key, _)| key == "AuthMethod" || key.starts_with("CHAP_"));
        for (key, _) in other {
            if !key.starts_with("X-") {
                return broken("RFC 7143 §12", format!("{key} in the security stage"));
            }
            answers.push((key, "NotUnderstood".to_owned()));
        }
        let shared = std::sync::Arc::clone(&link.shared);
        let chap = shared.policy.chap.as_ref();
        let challenge = |length: usize| {
            let mut state = shared.state();
            (0..length).map(|_| state.random() as u8).collect()
        };
        match self.security.step(&security, chap, challenge)? {
            Step::Answer(pairs) => answers.extend(pairs),
            Step::Refuse(detail) => return Ok(self.fail(link, 0x02, detail)),
        }
        let may_leave = self.security.may_leave(chap);
        let next = match request.next_stage {
            _ if !request.transit || !may_leave => None,
            Stage::SecurityNegotiation => {
                return broken("RFC 7143 §6.3", "T=1 from the security stage to itself");
            }
            Stage::OperationalNegotiation => Some(Stage::OperationalNegotiation),
            // A target that has something to negotiate goes there first (§11.13.6).
            Stage::FullFeaturePhase if self.negotiation(link).is_open() => {
                Some(Stage::OperationalNegotiation)
            }
            Stage::FullFeaturePhase => Some(Stage::FullFeaturePhase),
        };
        if request.transit && !may_leave && keys.is_empty() && answers.is_empty() {
            return Ok(self.fail(link, 0x02, AUTHENTICATION_FAILURE));
        }
        self.answer(link, text::emit(&answers), next)
    }

    fn operate(
        &mut self,
        link: &mut Link,
        request: &LoginRequest,
        keys: &Pairs,
        mut answers: Pairs,
    ) -> Result<Progress, End> {
        let shared = std::sync::Arc::clone(&link.shared);
        if shared.policy.chap.is_some() && !matches!(self.security, Security::Done { .. }) {
            return Ok(self.fail(link, 0x02, AUTHENTICATION_FAILURE));
        }
        let negotiation = self.negotiation(link);
        for (key, value) in keys {
            negotiation.take(key, value, &mut answers)?;
        }
        negotiation.speak(&shared.policy, request.transit, &mut answers);
        if negotiation.digest_refused() {
            return Ok(self.fail_with(link, 0x02, 0x00, text::emit(&answers)));
        }
        let open = negotiation.is_open();
        let next = match request.next_stage {
            _ if !request.transit || open => None,
            Stage::FullFeaturePhase => Some(Stage::FullFeaturePhase),
            stage => {
                return broken(
                    "RFC 7143 §6.3",
                    format!("NSG {stage:?} from the operational stage"),
                );
            }
        };
        self.answer(link, text::emit(&answers), next)
    }

    fn negotiation(&mut self, link: &Link) -> &mut Negotiation {
        let discovery = self.discovery;
        self.negotiation.get_or_insert_with(|| Negotiation::new(&link.shared.policy, discovery))
    }

    /// Sends text in as many PDUs as it takes; `next` is the stage granted with the last.
    fn answer(
        &mut self,
        link: &mut Link,
        mut data: Vec<u8>,
        next: Option<Stage>,
    ) -> Result<Progress, End> {
        let piece = link.shared.policy.login_piece;
        if data.len() > piece {
            let rest = data.split_off(piece);
            self.unsent = Some((rest, next));
            self.send(link, data, true, None);
            return Ok(Progress::Continues);
        }
        let Some(next) = next else {
            self.send(link, data, false, None);
            return Ok(Progress::Continues);
        };
        if next != Stage::FullFeaturePhase {
            self.send(link, data, false, Some(next));
            self.stage = next;
            return Ok(Progress::Continues);
        }
        Ok(self.complete(link, data))
    }

    /// The last response: the session exists from here on.
    fn complete(&mut self, link: &mut Link, data: Vec<u8>) -> Progress {
        let Some(request) = self.last else { return Progress::Failed };
        let parameters = self.negotiation(link).parameters();
        let (chap_algorithm, mutual_chap) = self.security.chap();
        let mut state = link.shared.state();
        let tsih = if self.discovery {
            state.statistics.discovery_logins += 1;
            u16::MAX
        } else {
            let number = link.wire.connection;
            let tsih =
                state.enter_session(number, &self.initiator, request.isid, &link.shared.luns);
            state.statistics.logins += 1;
            state.statistics.last_login = Some(Negotiated {
                initiator: self.initiator.clone(),
                isid: request.isid,
                tsih,
                chap: chap_algorithm.is_some(),
                mutual_chap,
                chap_algorithm,
                offered: std::mem::take(&mut self.offered),
                parameters: parameters.clone(),
            });
            tsih
        };
        drop(state);
        self.respond(link, data, Some(Stage::FullFeaturePhase), false, (0, 0), tsih);
        let session = FullFeature::new(
            self.portal,
            (!self.discovery).then_some(tsih),
            parameters,
            &request,
            self.stat_sn,
            link.shared.state().window,
        );
        Progress::Complete(Box::new(session))
    }

    fn send(&mut self, link: &mut Link, data: Vec<u8>, continues: bool, next: Option<Stage>) {
        self.respond(link, data, next, continues, (0, 0), 0);
    }

    fn respond(
        &mut self,
        link: &mut Link,
        data: Vec<u8>,
        next: Option<Stage>,
        text_continues: bool,
        (status_class, status_detail): (u8, u8),
        tsih: u16,
    ) {
        let Some(request) = self.last else { return };
        let numbers = self.numbers(&link.shared, true);
        let response = LoginResponse {
            transit: next.is_some(),
            text_continues,
            current_stage: self.stage,
            next_stage: next.unwrap_or(self.stage),
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih: if tsih == 0 { request.tsih } else { tsih },
            initiator_task_tag: request.initiator_task_tag,
            numbers,
            status_class,
            status_detail,
            data_segment_length: 0,
        };
        link.respond(Response::Login(response), data);
    }
}

/// Keys that an initiator may declare in either stage and that want no answer.
const DECLARED_ANYWHERE: [&str; 4] =
    ["InitiatorName", "TargetName", "SessionType", "InitiatorAlias"];

fn redirection(shared: &Shared) -> Option<(bool, String)> {
    let mut state = shared.state();
    let redirect = state.redirect.as_mut().filter(|redirect| redirect.times > 0)?;
    redirect.times -= 1;
    Some((redirect.permanent, redirect.address.clone()))
}
