//! Runs that must fail, and how: each with a clear sentence, a non-zero exit, inside a stated time.

use std::time::Duration;

use crate::boot::{End, Seen};
use crate::judge::Check;
use crate::machine::Ending;
use crate::plan::{Chap, Digest, Disturbance, Ip, Plan, Start, TableFault, TargetChoice};
use crate::stage::Stage;
use crate::table::OTHER_TARGET;

/// A run that must fail.
#[derive(Debug)]
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong, for people.
    pub what: &'static str,
    /// The stage in which the guest must notice.
    pub during: &'static str,
    /// What its sentence must hold, whatever the case of letters.
    pub says: &'static [&'static str],
    /// From kernel entry to the error.
    pub limit: Duration,
    table: TableFault,
    disturbance: Disturbance,
    chap: Option<Chap>,
    vlan: Option<u16>,
    more_nics: bool,
    digest: Option<Digest>,
    /// The target that can be told to do it.
    target: Option<TargetChoice>,
    words: &'static [&'static str],
}

const RIGHT: Fault = Fault {
    name: "",
    what: "",
    during: "",
    says: &[],
    limit: Duration::from_secs(10),
    table: TableFault::Right,
    disturbance: Disturbance::Nothing,
    chap: None,
    vlan: None,
    more_nics: false,
    digest: None,
    target: None,
    words: &[],
};

/// All of them.
pub static FAULTS: [Fault; 15] = [
    Fault {
        name: "no-ibft",
        what: "firmware left no iBFT",
        during: "ibft",
        says: &["iBFT"],
        table: TableFault::Absent,
        ..RIGHT
    },
    Fault {
        name: "bad-checksum",
        what: "the bytes of the iBFT do not sum to zero",
        during: "ibft",
        says: &["checksum"],
        table: TableFault::BadChecksum,
        ..RIGHT
    },
    Fault {
        name: "no-nic",
        what: "the iBFT names a MAC address that no NIC has",
        during: "nic",
        says: &["52:54:00:66:66:66", "00:02.0 82540EM 52:54:00:15:b1:01", "00:04.0 (no driver"],
        table: TableFault::OtherMac,
        more_nics: true,
        ..RIGHT
    },
    Fault {
        name: "link-down",
        what: "the cable is out",
        during: "link",
        says: &["link"],
        limit: Duration::from_secs(15),
        disturbance: Disturbance::LinkDown,
        words: &["isboot.link_timeout=5"],
        ..RIGHT
    },
    Fault {
        name: "no-dhcp",
        what: "the iBFT gives no address, and no DHCP server answers",
        during: "address",
        says: &["DHCP"],
        limit: Duration::from_secs(20),
        table: TableFault::NoAddress,
        disturbance: Disturbance::NobodyAnswers,
        words: &["isboot.address_timeout=8"],
        ..RIGHT
    },
    Fault {
        name: "no-router",
        what: "the address is to come from routers, and there is none",
        during: "address",
        says: &["router", "VLAN 7"],
        limit: Duration::from_secs(10),
        disturbance: Disturbance::NobodyAnswers,
        vlan: Some(7),
        words: &["isboot.address=slaac", "isboot.address_timeout=2"],
        ..RIGHT
    },
    Fault {
        name: "refused",
        what: "nobody listens on the target's port",
        during: "tcp",
        says: &["10.0.2.2", "refused"],
        limit: Duration::from_secs(20),
        disturbance: Disturbance::TargetRefuses,
        words: &["isboot.outage_limit=5"],
        ..RIGHT
    },
    Fault {
        name: "wrong-target",
        what: "the portal has no target of that name",
        during: "login",
        says: &[OTHER_TARGET],
        limit: Duration::from_secs(20),
        table: TableFault::OtherTarget,
        ..RIGHT
    },
    Fault {
        name: "wrong-secret",
        what: "the CHAP secret is not the target's",
        during: "login",
        says: &["authentication"],
        limit: Duration::from_secs(20),
        table: TableFault::OtherSecret,
        chap: Some(Chap::OneWay),
        ..RIGHT
    },
    Fault {
        name: "wrong-target-secret",
        what: "the target's CHAP secret in the iBFT is not the target's",
        during: "login",
        says: &["the target's CHAP response is wrong"],
        limit: Duration::from_secs(20),
        table: TableFault::OtherTargetSecret,
        chap: Some(Chap::Mutual),
        ..RIGHT
    },
    Fault {
        name: "no-entropy-chap",
        what: "mutual CHAP, and the processor has no random numbers",
        during: "login",
        says: &["mutual CHAP needs entropy"],
        limit: Duration::from_secs(20),
        disturbance: Disturbance::NoEntropy,
        chap: Some(Chap::Mutual),
        ..RIGHT
    },
    Fault {
        name: "wrong-vlan",
        what: "the iBFT names a VLAN, and frames come back without its tag",
        during: "tcp",
        says: &["10.0.2.2", "VLAN 7", "untagged"],
        limit: Duration::from_secs(20),
        disturbance: Disturbance::TagForgotten,
        vlan: Some(7),
        words: &["isboot.connect_timeout=2", "isboot.outage_limit=3"],
        ..RIGHT
    },
    Fault {
        name: "no-entropy-tcp",
        what: "random TCP numbers are insisted on, and the processor has no random numbers",
        during: "address",
        says: &["no source of randomness", "require_entropy"],
        disturbance: Disturbance::NoEntropy,
        words: &["isboot.require_entropy=yes"],
        ..RIGHT
    },
    Fault {
        name: "digest-refused",
        what: "the target refuses the digests that are asked for",
        during: "login",
        says: &["digest"],
        limit: Duration::from_secs(20),
        disturbance: Disturbance::DigestRefused,
        digest: Some(Digest::Both),
        target: Some(TargetChoice::Builtin),
        ..RIGHT
    },
    Fault {
        name: "target-dies",
        what: "the target ends while the read runs",
        during: "read",
        says: &["10.0.2.2"],
        limit: Duration::from_secs(30),
        disturbance: Disturbance::TargetDies,
        words: &["isboot.outage_limit=5"],
        ..RIGHT
    },
];

impl Fault {
    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FAULTS.iter().find(|fault| fault.name == name)
    }

    /// `plan` with this wrong. It starts without iPXE, which would notice most of it first.
    #[must_use]
    pub fn applied_to(&self, plan: &Plan) -> Plan {
        let words = self.words.iter().map(|word| (*word).to_owned());
        Plan {
            start: Start::Direct,
            table_fault: self.table,
            disturbance: self.disturbance,
            chap: self.chap,
            ip: Ip::V4,
            vlan: self.vlan,
            more_nics: self.more_nics,
            digest: self.digest.unwrap_or(plan.digest),
            target: self.target.clone().unwrap_or_else(|| plan.target.clone()),
            words: words.chain(plan.words.iter().cloned()).collect(),
            ..plan.clone()
        }
    }

    /// Everything that had to hold.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Vec<Check> {
        vec![
            Check::new("the guest ends with a failure", ending(seen)),
            Check::new("it notices at the right stage", self.stage(seen)),
            Check::new("its sentence says what and where", self.sentence(seen)),
            Check::new("inside the stated time", self.time(seen)),
        ]
    }

    fn stage(&self, seen: &Seen) -> Result<String, String> {
        let error = seen.errors.first().ok_or("it reported no error")?;
        if error.during == self.during {
            Ok(error.during.clone())
        } else {
            Err(format!("during `{}`, not during `{}`", error.during, self.during))
        }
    }

    fn sentence(&self, seen: &Seen) -> Result<String, String> {
        let error = seen.errors.first().ok_or("it reported no error")?;
        let text = error.text.to_lowercase();
        match self.says.iter().find(|words| !text.contains(&words.to_lowercase())) {
            None => Ok(error.text.clone()),
            Some(words) => Err(format!("no `{words}` in: {}", error.text)),
        }
    }

    fn time(&self, seen: &Seen) -> Result<String, String> {
        let verdict = seen
            .stage(Stage::Verdict)
            .and_then(|verdict| verdict.guest_micros)
            .ok_or("there is no verdict")?;
        let taken = Duration::from_micros(verdict);
        let text = format!("{:.1} s of {} s", taken.as_secs_f64(), self.limit.as_secs());
        if taken <= self.limit { Ok(text) } else { Err(text) }
    }
}

fn ending(seen: &Seen) -> Result<String, String> {
    match (&seen.end, seen.stage(Stage::Verdict).and_then(|verdict| verdict.field("result"))) {
        (End::Machine(Ending::Fail), Some("fail")) => {
            Ok("verdict and exit status say fail".to_owned())
        }
        (End::Machine(Ending::Fail), other) => {
            Err(format!("the verdict is {}", other.unwrap_or("missing")))
        }
        (End::Machine(ending), _) => Err(ending.describe()),
        (End::TimedOut(sentence), _) => Err(sentence.clone()),
        (End::Ipxe(what), _) => Err(format!("iPXE failed at {what}")),
        (End::Interrupted, _) => Err("interrupted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use crate::watch::tests::watched;

    const CONSOLE: &str = "\
@isboot stage=kernel us=0 loader=pvh
@isboot stage=error us=5100000 during=link text=\"no link on 00:03.0 within 5 s\"
@isboot stage=verdict us=5100100 result=fail
";

    fn failures(console: &str, end: End) -> Vec<String> {
        let checks = Fault::named("link-down").unwrap().judge(&watched(console).into_seen(end));
        checks.into_iter().filter(|check| !check.passed).map(|check| check.detail).collect()
    }

    #[test]
    fn a_right_failure_passes() {
        assert_eq!(failures(CONSOLE, End::Machine(Ending::Fail)), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_stage_sentence_time_or_ending_is_found() {
        let fail = End::Machine(Ending::Fail);
        for (from, to, words) in [
            ("during=link", "during=address", "not during `link`"),
            ("no link on", "nothing on", "no `link` in"),
            ("us=5100100", "us=15100100", "15.1 s of 15 s"),
            ("result=fail", "result=pass", "the verdict is pass"),
        ] {
            let failures = failures(&CONSOLE.replace(from, to), fail.clone());
            assert_eq!(failures.len(), 1, "{from}: {failures:?}");
            assert!(failures[0].contains(words), "{failures:?}");
        }
        assert_eq!(failures(CONSOLE, End::Machine(Ending::Pass)).len(), 1);
        assert_eq!(failures("", End::TimedOut("waited".to_owned())).len(), 4);
    }

    #[test]
    fn names_are_unique_and_plans_are_changed() {
        for fault in &FAULTS {
            assert!(std::ptr::eq(Fault::named(fault.name).unwrap(), fault));
            let changed = fault.applied_to(&plan());
            let is_wrong = changed.table_fault != TableFault::Right
                || changed.disturbance != Disturbance::Nothing;
            assert!(is_wrong && changed.start == Start::Direct, "{}", fault.name);
            assert!(!fault.says.is_empty() && !fault.during.is_empty());
        }
    }
}
