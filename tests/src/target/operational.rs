//! The operational stage: one table of keys, each with how two values become one
//! (RFC 7143 §13).

use std::collections::BTreeMap;

use super::policy::{DigestPolicy, Policy};
use super::rules::{End, broken};
use super::statistics::Parameters;
use super::text::{Pairs, number};

/// How two values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    Digest,
    And,
    Or,
    Minimum {
        low: u64,
        high: u64,
    },
    Maximum {
        low: u64,
        high: u64,
    },
    /// A list of which the target takes one value only.
    Only(&'static str),
}

/// Name, rule, default, irrelevant in a Discovery session.
const KEYS: &[(&str, Merge, &str, bool)] = &[
    ("HeaderDigest", Merge::Digest, "None", false),
    ("DataDigest", Merge::Digest, "None", false),
    ("MaxConnections", Merge::Minimum { low: 1, high: 65_535 }, "1", true),
    ("InitialR2T", Merge::Or, "Yes", true),
    ("ImmediateData", Merge::And, "Yes", true),
    ("MaxBurstLength", Merge::Minimum { low: 512, high: 0xff_ffff }, "262144", true),
    ("FirstBurstLength", Merge::Minimum { low: 512, high: 0xff_ffff }, "65536", true),
    ("DefaultTime2Wait", Merge::Maximum { low: 0, high: 3600 }, "2", false),
    ("DefaultTime2Retain", Merge::Minimum { low: 0, high: 3600 }, "20", false),
    ("MaxOutstandingR2T", Merge::Minimum { low: 1, high: 65_535 }, "1", true),
    ("DataPDUInOrder", Merge::Or, "Yes", true),
    ("DataSequenceInOrder", Merge::Or, "Yes", true),
    ("ErrorRecoveryLevel", Merge::Minimum { low: 0, high: 2 }, "0", false),
    ("TaskReporting", Merge::Only("RFC3720"), "RFC3720", true),
    ("iSCSIProtocolLevel", Merge::Minimum { low: 0, high: 31 }, "1", true),
];

const MAX_RECV: &str = "MaxRecvDataSegmentLength";

/// One operational negotiation.
#[derive(Debug)]
pub(super) struct Negotiation {
    discovery: bool,
    /// What the target wants, by key.
    ours: BTreeMap<&'static str, String>,
    /// What is in force, by key.
    active: BTreeMap<&'static str, String>,
    /// Keys settled or declared, which must not come again.
    seen: Vec<String>,
    /// Keys that the target proposed and that were not answered yet.
    proposed: BTreeMap<String, String>,
    declared: bool,
    target_max_recv: u32,
    initiator_max_recv: u32,
    /// A digest that the target insists on was not to be had.
    digest_refused: bool,
    /// FirstBurstLength and MaxBurstLength as the initiator offered them.
    offered_bursts: [Option<u64>; 2],
}

impl Negotiation {
    pub(super) fn new(policy: &Policy, discovery: bool) -> Self {
        let digest = |policy: DigestPolicy| match policy {
            DigestPolicy::Free => "CRC32C,None",
            DigestPolicy::Refuse => "None",
            DigestPolicy::Force => "CRC32C",
        };
        let yes_no = |yes: bool| if yes { "Yes" } else { "No" }.to_owned();
        let ours = BTreeMap::from([
            ("HeaderDigest", digest(policy.header_digest).to_owned()),
            ("DataDigest", digest(policy.data_digest).to_owned()),
            ("MaxConnections", "1".to_owned()),
            ("InitialR2T", yes_no(policy.initial_r2t)),
            ("ImmediateData", yes_no(policy.immediate_data)),
            ("MaxBurstLength", policy.max_burst_length.to_string()),
            ("FirstBurstLength", policy.first_burst_length.to_string()),
            ("DefaultTime2Wait", policy.time2wait.to_string()),
            ("DefaultTime2Retain", policy.time2retain.to_string()),
            ("MaxOutstandingR2T", policy.max_outstanding_r2t.to_string()),
            ("DataPDUInOrder", yes_no(policy.data_pdu_in_order)),
            ("DataSequenceInOrder", yes_no(policy.data_sequence_in_order)),
            ("ErrorRecoveryLevel", "0".to_owned()),
            ("TaskReporting", "RFC3720".to_owned()),
            ("iSCSIProtocolLevel", "1".to_owned()),
        ]);
        Self {
            discovery,
            ours,
            active: KEYS.iter().map(|&(name, _, default, _)| (name, default.to_owned())).collect(),
            seen: Vec::new(),
            proposed: BTreeMap::new(),
            declared: false,
            target_max_recv: 8192,
            initiator_max_recv: 8192,
            digest_refused: false,
            offered_bursts: [None; 2],
        }
    }

    /// Takes one key of the initiator and pushes the answer, if it wants one.
    pub(super) fn take(&mut self, key: &str, value: &str, answers: &mut Pairs) -> Result<(), End> {
        if self.seen.iter().any(|seen| seen == key) {
            return broken("RFC 7143 §6.3", format!("{key} declared or negotiated twice"));
        }
        self.seen.push(key.to_owned());
        if let Some(offer) = self.proposed.remove(key) {
            return self.take_answer(key, value, &offer);
        }
        let mut answer = |value: &str| answers.push((key.to_owned(), value.to_owned()));
        if let Some(&(name, merge, _, irrelevant)) = KEYS.iter().find(|entry| entry.0 == key) {
            let Some(merged) = self.merge(name, merge, value)? else {
                if self.ours[name] == "CRC32C" {
                    self.digest_refused = true;
                }
                answer("Reject");
                return Ok(());
            };
            match name {
                "FirstBurstLength" => self.offered_bursts[0] = number(value),
                "MaxBurstLength" => self.offered_bursts[1] = number(value),
                _ => {}
            }
            if let [Some(first), Some(max)] = self.offered_bursts
                && first > max
            {
                let what = format!("FirstBurstLength={first} offered with MaxBurstLength={max}");
                return broken("RFC 7143 §13.14", what);
            }
            if irrelevant && self.discovery {
                answer("Irrelevant");
            } else {
                answer(&merged);
                self.active.insert(name, merged);
            }
            return Ok(());
        }
        match key {
            MAX_RECV => match number(value).and_then(|n| u32::try_from(n).ok()) {
                Some(length @ 512..=0xff_ffff) => self.initiator_max_recv = length,
                _ => return broken("RFC 7143 §13.12", format!("{MAX_RECV}={value}")),
            },
            "X#NodeArchitecture" => {}
            "IFMarker" | "OFMarker" => answer("No"),
            "IFMarkInt" | "OFMarkInt" => answer("Reject"),
            "AuthMethod"
            | "SendTargets"
            | "TargetAddress"
            | "TargetAlias"
            | "TargetPortalGroupTag" => {
                return broken("RFC 7143 §13", format!("{key} from an initiator in this stage"));
            }
            _ if key.starts_with("CHAP_") => {
                return broken("RFC 7143 §12", format!("{key} in the operational stage"));
            }
            _ => answer("NotUnderstood"),
        }
        Ok(())
    }

    /// Appends what the target says of its own: its segment length, the proposals of the
    /// script, and each value where the default of a silent initiator would be too much.
    /// `silent` tells that the initiator has said all it wants to.
    pub(super) fn speak(&mut self, policy: &Policy, silent: bool, answers: &mut Pairs) {
        if !self.declared {
            self.declared = true;
            self.target_max_recv = policy.max_recv_data_segment_length;
            answers.push((MAX_RECV.to_owned(), self.target_max_recv.to_string()));
            for (key, value) in &policy.proposals {
                if !self.seen.contains(key) {
                    // What is only declared gets no answer.
                    if KEYS.iter().any(|entry| entry.0 == key) || key.starts_with("X-") {
                        self.proposed.insert(key.clone(), value.clone());
                    }
                    answers.push((key.clone(), value.clone()));
                }
            }
        }
        if !silent {
            return;
        }
        for (key, value) in self.wanted() {
            answers.push((key.to_owned(), value.clone()));
            self.proposed.insert(key.to_owned(), value);
        }
    }

    /// Whether the target still waits for answers or has something to propose.
    pub(super) fn is_open(&self) -> bool {
        !self.proposed.is_empty() || !self.wanted().is_empty()
    }

    /// Whether the login cannot succeed any more, for want of a digest.
    pub(super) fn digest_refused(&self) -> bool {
        self.digest_refused
    }

    /// The result, once both sides are content.
    pub(super) fn parameters(&self) -> Parameters {
        let value = |key: &str| self.active[key].as_str();
        let amount =
            |key: &str| number(value(key)).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Parameters {
            header_digest: value("HeaderDigest") == "CRC32C",
            data_digest: value("DataDigest") == "CRC32C",
            initial_r2t: value("InitialR2T") == "Yes",
            immediate_data: value("ImmediateData") == "Yes",
            max_burst_length: amount("MaxBurstLength"),
            first_burst_length: amount("FirstBurstLength"),
            max_outstanding_r2t: amount("MaxOutstandingR2T"),
            time2wait: amount("DefaultTime2Wait"),
            time2retain: amount("DefaultTime2Retain"),
            initiator_max_recv: self.initiator_max_recv,
            target_max_recv: self.target_max_recv,
        }
    }

    /// Keys whose default is too much for the target, and that nobody has mentioned.
    fn wanted(&self) -> Vec<(&'static str, String)> {
        let mut wanted = Vec::new();
        for &(name, merge, default, irrelevant) in KEYS {
            let ours = self.ours[name].as_str();
            let settled = self.seen.iter().any(|seen| seen == name);
            if settled || self.proposed.contains_key(name) || (irrelevant && self.discovery) {
                continue;
            }
            let too_much = match merge {
                Merge::Digest => ours == "CRC32C",
                Merge::And => ours == "No",
                Merge::Minimum { .. } if name == "FirstBurstLength" => {
                    // RFC 7143 §13.14: never above MaxBurstLength, also when that was lowered.
                    let burst = self.active["MaxBurstLength"].as_str();
                    number(ours).min(number(burst)) < number(default)
                }
                Merge::Minimum { .. } => number(ours) < number(default),
                Merge::Maximum { .. } => number(ours) > number(default),
                Merge::Or | Merge::Only(_) => false,
            };
            // DefaultTime2Retain is a promise of the target's that nobody is harmed by.
            if too_much && name != "DefaultTime2Retain" {
                let value = match name {
                    "FirstBurstLength" => {
                        let burst = number(&self.active["MaxBurstLength"]);
                        number(ours).min(burst).unwrap_or_default().to_string()
                    }
                    _ => ours.to_owned(),
                };
                wanted.push((name, value));
            }
        }
        wanted
    }

    /// Both values made one; `None` when the initiator's list holds nothing that will do.
    fn merge(&self, name: &str, merge: Merge, theirs: &str) -> Result<Option<String>, End> {
        let ours = self.ours[name].as_str();
        let bad = || broken("RFC 7143 §13", format!("{name}={theirs} is not a value of this key"));
        let within = |low, high| number(theirs).filter(|n| (low..=high).contains(n));
        Ok(Some(match merge {
            Merge::Digest => {
                let mut ours = ours.split(',');
                let list: Vec<&str> = theirs.split(',').collect();
                let allowed: Vec<&str> = ours.by_ref().collect();
                match list.into_iter().find(|value| allowed.contains(value)) {
                    Some(value) => value.to_owned(),
                    None => return Ok(None),
                }
            }
            Merge::And | Merge::Or => match (theirs, ours) {
                ("Yes" | "No", _) if theirs == ours => theirs.to_owned(),
                ("Yes" | "No", _) if merge == Merge::Or => "Yes".to_owned(),
                ("Yes" | "No", _) => "No".to_owned(),
                _ => return bad(),
            },
            Merge::Minimum { low, high } => match within(low, high) {
                Some(value) => {
                    let mut value = Some(value).min(number(ours));
                    if name == "FirstBurstLength" {
                        value = value.min(number(&self.active["MaxBurstLength"]));
                    }
                    value.unwrap_or(low).to_string()
                }
                None => return bad(),
            },
            Merge::Maximum { low, high } => match within(low, high) {
                Some(value) => Some(value).max(number(ours)).unwrap_or(low).to_string(),
                None => return bad(),
            },
            Merge::Only(value) => match theirs.split(',').any(|offer| offer == value) {
                true => value.to_owned(),
                false => return Ok(None),
            },
        }))
    }

    /// The initiator's answer to a proposal of the target.
    fn take_answer(&mut self, key: &str, value: &str, offer: &str) -> Result<(), End> {
        let Some(&(name, merge, _, _)) = KEYS.iter().find(|entry| entry.0 == key) else {
            // A script's own key: any answer will do.
            return Ok(());
        };
        let fits = match merge {
            Merge::Digest | Merge::Only(_) => offer.split(',').any(|one| one == value),
            Merge::And => value == "No" || (value == "Yes" && offer == "Yes"),
            Merge::Or => value == "Yes" || (value == "No" && offer == "No"),
            Merge::Minimum { low, .. } => {
                number(value).is_some_and(|n| n >= low && Some(n) <= number(offer))
            }
            Merge::Maximum { high, .. } => {
                number(value).is_some_and(|n| n <= high && Some(n) >= number(offer))
            }
        };
        if value == "Reject" && merge == Merge::Digest {
            self.digest_refused = true;
            return Ok(());
        }
        // RFC 7143 §13.14: without unsolicited data of either kind.
        let no_first_burst = name == "FirstBurstLength"
            && (self.active["InitialR2T"] == "Yes" && self.active["ImmediateData"] == "No");
        if value == "Irrelevant" && no_first_burst {
            return Ok(());
        }
        if !fits {
            return broken("RFC 7143 §6.2", format!("{key}={value} in answer to {key}={offer}"));
        }
        self.active.insert(name, value.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(policy: &Policy, discovery: bool, keys: &[(&str, &str)]) -> (Negotiation, Pairs) {
        let mut negotiation = Negotiation::new(policy, discovery);
        let mut answers = Pairs::new();
        for (key, value) in keys {
            negotiation.take(key, value, &mut answers).unwrap();
        }
        (negotiation, answers)
    }

    fn flat(pairs: &Pairs) -> Vec<String> {
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn two_values_become_one() {
        let policy = Policy { initial_r2t: false, max_outstanding_r2t: 4, ..Policy::default() };
        let (negotiation, pairs) = answers(
            &policy,
            false,
            &[
                ("HeaderDigest", "None,CRC32C"),
                ("DataDigest", "CRC32C"),
                ("InitialR2T", "No"),
                ("ImmediateData", "Yes"),
                ("MaxBurstLength", "1048576"),
                ("FirstBurstLength", "512"),
                ("MaxOutstandingR2T", "8"),
                ("DefaultTime2Wait", "0"),
                ("ErrorRecoveryLevel", "2"),
                ("TaskReporting", "FastAbort,RFC3720,ResponseFence"),
                ("X-com.example.key", "1"),
                ("OFMarker", "Yes"),
            ],
        );
        assert_eq!(
            flat(&pairs),
            [
                "HeaderDigest=None",
                "DataDigest=CRC32C",
                "InitialR2T=No",
                "ImmediateData=Yes",
                "MaxBurstLength=262144",
                "FirstBurstLength=512",
                "MaxOutstandingR2T=4",
                "DefaultTime2Wait=2",
                "ErrorRecoveryLevel=0",
                "TaskReporting=RFC3720",
                "X-com.example.key=NotUnderstood",
                "OFMarker=No",
            ]
        );
        assert!(!negotiation.is_open());
        assert!(negotiation.parameters().data_digest);
    }

    #[test]
    fn what_a_silent_initiator_would_get_wrong_is_proposed() {
        let policy = Policy {
            header_digest: DigestPolicy::Force,
            max_burst_length: 4096,
            first_burst_length: 4096,
            immediate_data: false,
            ..Policy::default()
        };
        let (mut negotiation, mut pairs) = answers(&policy, false, &[("MaxBurstLength", "8192")]);
        assert!(negotiation.is_open());
        negotiation.speak(&policy, true, &mut pairs);
        assert_eq!(
            flat(&pairs),
            [
                "MaxBurstLength=4096",
                "MaxRecvDataSegmentLength=262144",
                "HeaderDigest=CRC32C",
                "ImmediateData=No",
                "FirstBurstLength=4096",
            ]
        );
        let mut none = Pairs::new();
        negotiation.take("HeaderDigest", "CRC32C", &mut none).unwrap();
        negotiation.take("ImmediateData", "No", &mut none).unwrap();
        assert!(negotiation.is_open());
        assert!(negotiation.take("FirstBurstLength", "8192", &mut none).is_err());
        assert_eq!(none, []);
    }

    #[test]
    fn a_digest_that_is_insisted_on() {
        let policy = Policy { data_digest: DigestPolicy::Force, ..Policy::default() };
        let (negotiation, pairs) = answers(&policy, false, &[("DataDigest", "None")]);
        assert_eq!(flat(&pairs), ["DataDigest=Reject"]);
        assert!(negotiation.digest_refused());
        let policy = Policy { data_digest: DigestPolicy::Refuse, ..Policy::default() };
        let (negotiation, pairs) = answers(&policy, false, &[("DataDigest", "CRC32C")]);
        assert_eq!(flat(&pairs), ["DataDigest=Reject"]);
        assert!(!negotiation.digest_refused());
    }

    #[test]
    fn inadmissible_values_and_repeats_are_violations() {
        for (key, value) in [
            ("MaxBurstLength", "511"),
            ("MaxBurstLength", "16777216"),
            ("InitialR2T", "yes"),
            ("MaxConnections", "0"),
            ("MaxRecvDataSegmentLength", "100"),
            ("CHAP_A", "5"),
            ("SendTargets", "All"),
        ] {
            let mut negotiation = Negotiation::new(&Policy::default(), false);
            assert!(negotiation.take(key, value, &mut Pairs::new()).is_err(), "{key}={value}");
        }
        let (mut negotiation, mut pairs) =
            answers(&Policy::default(), false, &[("InitialR2T", "Yes"), ("MaxBurstLength", "512")]);
        assert!(negotiation.take("FirstBurstLength", "513", &mut pairs).is_err());
        assert!(negotiation.take("InitialR2T", "Yes", &mut pairs).is_err());
    }

    #[test]
    fn discovery_has_less_to_talk_about() {
        let (_, pairs) = answers(
            &Policy::default(),
            true,
            &[("MaxBurstLength", "8192"), ("ErrorRecoveryLevel", "2")],
        );
        assert_eq!(flat(&pairs), ["MaxBurstLength=Irrelevant", "ErrorRecoveryLevel=0"]);
    }
}
