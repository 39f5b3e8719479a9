//! The login of bare iSCSI: one request, from the connection to the full feature phase.

use heapless::Vec;
use isboot::boot::BootPlan;
use isboot::login::Digest;
use isboot::login::text::{Pairs, TextFull, TextWriter, yes_or_no};
use isboot::pdu::digest::Digests as Carried;
use isboot::pdu::request::{LoginRequest, Request, Stage};
use isboot::pdu::response::Response;
use isboot::pdu::serial::SerialNumber;

use super::wire::{self, Pdu, TEXT};
use super::{Bare, PATIENCE};
use crate::bench::STAGE;
use crate::bench::request::Digests;
use crate::clock;
use crate::failure::{During, Failure};

/// `MaxRecvDataSegmentLength` of ours, and `MaxBurstLength`.
const SEGMENT: u32 = 256 << 10;
/// `FirstBurstLength`.
const FIRST_BURST: u32 = 64 << 10;

impl Bare<'_> {
    /// Connects, and goes from there to the full feature phase with one request.
    pub(super) fn log_in(&mut self) -> Result<(), Failure> {
        self.digests = Carried::default();
        self.learned = None;
        wire::connect(self.stream, self.plan)?;
        let wanted =
            Carried { header: self.wanted != Digests::None, data: self.wanted == Digests::Both };
        let Ok(text) = login_text(self.plan, wanted) else {
            return Err(Failure::new(STAGE, "a login with these names is too long"));
        };
        let request = Request::Login(LoginRequest {
            transit: true,
            text_continues: false,
            current_stage: Stage::OperationalNegotiation,
            next_stage: Stage::FullFeaturePhase,
            version_max: 0,
            version_min: 0,
            isid: self.plan.isid,
            tsih: 0,
            initiator_task_tag: 0,
            cid: 0,
            cmd_sn: SerialNumber(1),
            exp_stat_sn: SerialNumber(0),
            data_segment_length: text.len() as u32,
        });
        let until = clock::now() + PATIENCE;
        self.send(request.emit().as_bytes(), until)?;
        self.send(&text, until)?;
        self.send([0; 3].get(..text.len().wrapping_neg() % 4).unwrap_or_default(), until)?;
        let Pdu { answer, text, .. } = self.receive_pdu(until)?;
        match answer {
            Response::Login(answer) if answer.status_class == 0 && answer.transit => {
                agrees(&text, "HeaderDigest", wanted.header)?;
                agrees(&text, "DataDigest", wanted.data)?;
                self.answers = answer.numbers.stat_sn.next();
                self.next = 1;
                self.digests = wanted;
                Ok(())
            }
            other => Err(Failure::new(STAGE, format_args!("answered the login with {other:?}"))),
        }
    }
}

/// All that is negotiated, in one text.
fn login_text(plan: &BootPlan, wanted: Carried) -> Result<Vec<u8, TEXT>, TextFull> {
    let mut text = Vec::new();
    let mut writer = TextWriter::new(&mut text);
    writer.pair("InitiatorName", &plan.initiator_name)?;
    writer.pair("TargetName", &plan.target_name)?;
    writer.pair("SessionType", "Normal")?;
    writer.pair("HeaderDigest", digest(wanted.header))?;
    writer.pair("DataDigest", digest(wanted.data))?;
    for (key, value) in [("InitialR2T", true), ("ImmediateData", true)] {
        writer.pair(key, yes_or_no(value))?;
    }
    for (key, value) in [
        ("MaxRecvDataSegmentLength", SEGMENT),
        ("MaxBurstLength", SEGMENT),
        ("FirstBurstLength", FIRST_BURST),
        ("MaxOutstandingR2T", 1),
        ("MaxConnections", 1),
        ("ErrorRecoveryLevel", 0),
        ("DefaultTime2Wait", 0),
        ("DefaultTime2Retain", 0),
    ] {
        writer.pair(key, value)?;
    }
    for key in ["DataPDUInOrder", "DataSequenceInOrder"] {
        writer.pair(key, yes_or_no(true))?;
    }
    Ok(text)
}

/// Whether the target's text has the digest that the prepared answers will have, or none.
fn agrees(text: &[u8], key: &str, wanted: bool) -> Result<(), Failure> {
    for pair in Pairs::new(text) {
        let pair = pair.during(STAGE)?;
        if pair.key == key && (pair.value == Digest::Crc32c.name().as_bytes()) == wanted {
            return Ok(());
        }
    }
    Err(Failure::new(STAGE, format_args!("does not agree to {key}={}", digest(wanted))))
}

/// CRC32C, or none.
pub(super) fn digest(is_there: bool) -> Digest {
    if is_there { Digest::Crc32c } else { Digest::None }
}
