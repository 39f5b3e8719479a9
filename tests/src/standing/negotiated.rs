//! What a login agreed on, from the text of both sides (RFC 7143 §6.2, §13).

use std::collections::BTreeMap;

/// The text of both sides.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) ours: Text,
    pub(super) theirs: Text,
}

/// The text of one side, cut into pairs.
#[derive(Debug, Default)]
pub(super) struct Text {
    gathered: Vec<u8>,
    /// Empty pairs are skipped.
    pub(super) is_lenient: bool,
    pub(super) pairs: BTreeMap<String, String>,
}

impl Text {
    /// Takes the text of a PDU; yields its pairs when no more follows (the C bit).
    pub(super) fn take(
        &mut self,
        data: &[u8],
        more_follows: bool,
    ) -> Result<Vec<(String, String)>, String> {
        self.gathered.extend(data);
        if more_follows {
            return Ok(Vec::new());
        }
        let text = std::mem::take(&mut self.gathered);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let Some((0, text)) = text.split_last() else {
            return Err("the last pair has no NUL".to_owned());
        };
        let mut pairs = Vec::new();
        for pair in text.split(|byte| *byte == 0) {
            // A target's text may have one NUL too many; ours is looked at byte by byte.
            if pair.is_empty() && self.is_lenient {
                continue;
            }
            let pair = String::from_utf8_lossy(pair).into_owned();
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("`{pair}` has no `=`"));
            };
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }
}

/// The terms that the checks need.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) initial_r2t: bool,
    pub(super) immediate_data: bool,
    pub(super) first_burst_length: u32,
    pub(super) max_burst_length: u32,
    /// The target's own.
    pub(super) max_recv_data_segment_length: u32,
    pub(super) header_digest: bool,
    pub(super) data_digest: bool,
}

impl Texts {
    pub(super) fn terms(&self) -> Terms {
        let number = |text: &Text, key: &str| {
            let value = text.pairs.get(key)?;
            match value.strip_prefix("0x").or(value.strip_prefix("0X")) {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => value.parse().ok(),
            }
        };
        // In force is what both said; one side's word alone is none.
        let least =
            |key: &str, default: u32| match (number(&self.ours, key), number(&self.theirs, key)) {
                (Some(ours), Some(theirs)) => ours.min(theirs),
                _ => default,
            };
        let says = |text: &Text, key: &str, word: &str| {
            text.pairs.get(key).is_some_and(|value| value == word)
        };
        let digest = |key: &str| says(&self.theirs, key, "CRC32C");
        // One `Yes` is enough for the one, one `No` for the other; without any the default is Yes.
        let both_no = |key| says(&self.ours, key, "No") && says(&self.theirs, key, "No");
        let any_no = |key| says(&self.ours, key, "No") || says(&self.theirs, key, "No");
        Terms {
            initial_r2t: !both_no("InitialR2T"),
            immediate_data: !any_no("ImmediateData"),
            first_burst_length: least("FirstBurstLength", 65_536),
            max_burst_length: least("MaxBurstLength", 262_144),
            max_recv_data_segment_length: number(&self.theirs, "MaxRecvDataSegmentLength")
                .unwrap_or(8192),
            header_digest: digest("HeaderDigest"),
            data_digest: digest("DataDigest"),
        }
    }
}

/// Where a key may stand: in the first request only, in a stage, or anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    FirstRequest,
    Security,
    Operational,
    Anywhere,
}

pub(super) fn place(key: &str) -> Place {
    match key {
        "InitiatorName" | "TargetName" | "SessionType" => Place::FirstRequest,
        "AuthMethod" => Place::Security,
        key if key.starts_with("CHAP_") => Place::Security,
        "HeaderDigest"
        | "DataDigest"
        | "MaxConnections"
        | "InitialR2T"
        | "ImmediateData"
        | "MaxBurstLength"
        | "FirstBurstLength"
        | "DefaultTime2Wait"
        | "DefaultTime2Retain"
        | "MaxOutstandingR2T"
        | "DataPDUInOrder"
        | "DataSequenceInOrder"
        | "ErrorRecoveryLevel"
        | "TaskReporting" => Place::Operational,
        _ => Place::Anywhere,
    }
}
