//! The judgement of a run: what the guest claims against what the host knows.

use std::net::SocketAddr;

use serde::Serialize;

use crate::boot::{End, Seen};
use crate::knock;
use crate::machine::{Ending, NIC_SLOT, mac_text};
use crate::plan::{Digest, Firmware, GUEST_MAC, Interrupts, Plan, Start};
use crate::stage::{GUEST_STAGES, SECOND_ATTACH, Stage};
use crate::watch::Sighting;

/// From kernel entry to the first block, under emulation; istgt itself sleeps one second of it.
const FIRST_BLOCK_LIMIT_MICROS: u64 = 2_000_000;
/// QEMU's 82540EM receives nothing for one second after its receiver was switched on: nobody's
/// fault in the guest, so it is not counted.
const E1000_PAUSE_MICROS: u64 = 1_000_000;

/// Frames that must have come for the NIC once it was silent. The guest watches for 100 ms, in
/// which ten come.
const KNOCKS: usize = 5;

/// One thing that had to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it held.
    pub passed: bool,
    /// What was found, in a sentence.
    pub detail: String,
}

impl Check {
    pub(crate) fn new(name: &'static str, result: Result<String, String>) -> Self {
        let passed = result.is_ok();
        let detail = match result {
            Ok(detail) | Err(detail) => detail,
        };
        Self { name, passed, detail }
    }
}

/// Everything that had to hold in a run that must succeed.
#[must_use]
pub fn judge(plan: &Plan, seen: &Seen) -> Vec<Check> {
    let mut checks = vec![
        Check::new("the guest passes", ending(seen)),
        Check::new("every stage is seen, in order", order(plan, seen)),
        Check::new("the table is where this firmware leaves it", table_place(plan, seen)),
        Check::new("the NIC is the one that it shall use", nic(plan, seen)),
        Check::new("the NIC interrupts as it was asked to", interrupts(plan, seen)),
        Check::new("the processor sleeps when the NIC interrupts, and only then", idle(plan, seen)),
        Check::new("the digests are those asked for", digests(plan, seen)),
        Check::new(
            "the first block comes in 2 s, the emulated NIC's own pause aside",
            first_block(plan, seen),
        ),
    ];
    if plan.start == Start::Direct {
        checks.push(Check::new("addresses are those of the table", addresses(plan, seen)));
    }
    if let Some(vlan) = plan.vlan {
        checks.push(Check::new("every frame of the guest has the VLAN's tag", tags(vlan, seen)));
    }
    if plan.target.is_ours() {
        checks.push(Check::new("every LUN is listed as it is", luns(plan, seen)));
        checks.push(Check::new("the whole LUN was read right", read(plan, seen)));
        checks
            .push(Check::new("the pattern is in the file, the rest untouched", write(plan, seen)));
        checks.push(Check::new("the target saw the logout", logout_at_target(plan, seen)));
        if let Some(violations) = &seen.violations {
            checks.push(Check::new("the guest broke no rule of the protocol", rules(violations)));
        }
    } else {
        checks.push(Check::new("a LUN was read", read_of_stranger(seen)));
    }
    checks.push(Check::new("the guest logged out cleanly", logout_at_guest(seen)));
    checks.push(Check::new("the NIC is quiet afterwards", quiet(seen)));
    checks
}

/// What has to hold in a run that was only asked something, such as `isboot.help`.
#[must_use]
pub fn judge_answer(seen: &Seen) -> Vec<Check> {
    vec![Check::new("the guest passes", ending(seen))]
}

/// How the machine ended, and no error on the way.
fn ending(seen: &Seen) -> Result<String, String> {
    if let Some(error) = seen.errors.first() {
        return Err(format!("during {}: {}", error.during, error.text));
    }
    if let Some(malformed) = seen.malformed.first() {
        return Err(format!("an event line is broken: {malformed}"));
    }
    match &seen.end {
        End::Machine(Ending::Pass) => {}
        End::Machine(ending) => return Err(ending.describe()),
        End::TimedOut(sentence) => return Err(sentence.clone()),
        End::Ipxe(what) => return Err(format!("iPXE failed at {what}")),
        End::Interrupted => return Err("interrupted".to_owned()),
    }
    match seen.stage(Stage::Verdict).and_then(|verdict| verdict.field("result")) {
        Some("pass") => Ok("verdict and exit status say pass".to_owned()),
        other => Err(format!("the verdict is {}", other.unwrap_or("missing"))),
    }
}

fn order(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let mut wanted = Vec::new();
    if plan.start == Start::Ipxe {
        wanted.extend([Stage::Firmware, Stage::Ipxe, Stage::Hook]);
    }
    let writes = plan.luns().iter().any(|lun| lun.write.is_some());
    wanted.extend(
        GUEST_STAGES
            .into_iter()
            .filter(|stage| writes || !matches!(stage, Stage::Write | Stage::Flush)),
    );
    if plan.twice {
        let verdict = wanted.pop();
        wanted.extend(SECOND_ATTACH.into_iter().chain(verdict));
    }
    let found: Vec<Stage> = seen
        .sightings
        .iter()
        .map(|sighting| sighting.stage)
        .filter(|stage| *stage != Stage::Disk)
        // Direct starts pass through SeaBIOS too, whose text is of no matter there.
        .filter(|stage| plan.start == Start::Ipxe || *stage >= Stage::Kernel)
        .collect();
    if found == wanted {
        return Ok(format!("{} stages", found.len()));
    }
    let names =
        |stages: &[Stage]| stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" ");
    if let Some(missing) = wanted.iter().find(|stage| !found.contains(stage)) {
        return Err(format!("`{}` is missing among: {}", missing.name(), names(&found)));
    }
    Err(format!("they came as: {}", names(&found)))
}

fn table_place(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let wanted = match (plan.start, plan.firmware) {
        (Start::Ipxe, Firmware::Bios) => "low-memory",
        (Start::Ipxe, Firmware::Uefi) | (Start::Direct, _) => "acpi",
    };
    let ibft = stage(seen, Stage::Ibft)?;
    let via = field(ibft, "via")?;
    let place = format!("{via}, at {}", ibft.field("address").unwrap_or("?"));
    if via == wanted { Ok(place) } else { Err(format!("found by {place}, not by {wanted}")) }
}

fn nic(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let nic = stage(seen, Stage::Nic)?;
    let mac = field(nic, "mac")?;
    let name = nic.field("name").unwrap_or("?");
    let place = format!("00:{NIC_SLOT:02x}.{}", plan.nic_function());
    if plan.start == Start::Direct && field(nic, "bdf")? != place {
        return Err(format!("{name} at {}, not at {place}", field(nic, "bdf")?));
    }
    if mac.eq_ignore_ascii_case(&mac_text(GUEST_MAC)) {
        Ok(format!("{name} with {mac}"))
    } else {
        Err(format!("{name} with {mac}, but the machine's has {}", mac_text(GUEST_MAC)))
    }
}

fn addresses(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let (address, prefix) = plan.guest_address();
    let wanted = format!("{address}/{prefix}");
    let found = field(stage(seen, Stage::Address)?, "ip")?;
    let asks_elsewhere = plan.words.iter().any(|word| word.starts_with("isboot.address="));
    if found != wanted && !asks_elsewhere {
        return Err(format!("the guest's address is {found}, not {wanted}"));
    }
    let portal = field(stage(seen, Stage::Tcp)?, "portal")?;
    let host: SocketAddr = portal.parse().map_err(|_| format!("{portal} is no portal"))?;
    if plan.target.is_ours() && host.ip() != plan.host_address() {
        return Err(format!("the guest went to {host}, not to {}", plan.host_address()));
    }
    Ok(format!("{found}, to {portal}"))
}

fn tags(vlan: u16, seen: &Seen) -> Result<String, String> {
    let capture = seen.capture.as_ref().ok_or("there is no capture of the frames")?;
    let own: Vec<_> = capture.frames.iter().filter(|frame| frame.is_from(GUEST_MAC)).collect();
    match own.iter().find(|frame| frame.vlan() != Some(vlan)) {
        Some(frame) => Err(format!("{} has the tag of {:?}", frame.describe(), frame.vlan())),
        None if own.is_empty() => Err("the capture holds no frame of the guest at all".to_owned()),
        None => Ok(format!("all {} of them, VLAN {vlan}", own.len())),
    }
}

/// The mode that the guest settled on, in every attach, and the one that it ended with.
fn interrupts(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let (first, last) = plan.expected_modes();
    stage(seen, Stage::Interrupts)?;
    for settled in seen.stages(Stage::Interrupts) {
        let (wanted, mode) = (field(settled, "wanted")?, field(settled, "mode")?);
        if wanted != plan.interrupts.name() || mode != first.name() {
            return Err(format!(
                "{} was asked for; the guest wanted {wanted} and got {mode}",
                plan.interrupts.name()
            ));
        }
    }
    match field(stage(seen, Stage::Idle)?, "mode")? {
        mode if mode != last.name() => {
            Err(format!("it was {} at first, and {mode} at the end", first.name()))
        }
        mode if first != last => Ok(format!("{}, and {mode} at the end", first.name())),
        mode => Ok(mode.to_owned()),
    }
}

fn idle(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let (first, last) = plan.expected_modes();
    let idle = stage(seen, Stage::Idle)?;
    let count = idle.number("interrupts").ok_or("the event does not count interrupts")?;
    let share: f64 =
        field(idle, "share")?.parse().map_err(|_| "the event's share is no number".to_owned())?;
    let overslept = idle.number("overslept").ok_or("the event does not count lost interrupts")?;
    let text = format!("{share} % of the time, {count} interrupts, {overslept} missed");
    if overslept > 0 && plan.loses_no_interrupt() {
        return Err(text);
    }
    let right = match first {
        Interrupts::None => count == 0 && share == 0.0,
        _ => count > 0 && (share > 0.0 || last == Interrupts::None) && share <= 100.0,
    };
    if right { Ok(text) } else { Err(text) }
}

fn digests(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let login = stage(seen, Stage::Login)?;
    let wanted = [("header_digest", plan.digest.header()), ("data_digest", plan.digest.data())];
    for (name, on) in wanted {
        let value = field(login, name)?;
        if !value.eq_ignore_ascii_case(Digest::value(on)) {
            return Err(format!("the guest reports {name}={value}, not {}", Digest::value(on)));
        }
    }
    let target = field(login, "target")?;
    if !seen.target_name.is_empty() && target != seen.target_name {
        return Err(format!("the guest logged in to {target}, not to {}", seen.target_name));
    }
    if let Some(sessions) = &seen.sessions {
        let session = sessions.last().ok_or("the target logged no session")?;
        if (session.header_digest, session.data_digest)
            != (plan.digest.header(), plan.digest.data())
        {
            return Err(format!(
                "the target logged header digest {}, data digest {}",
                on_off(session.header_digest),
                on_off(session.data_digest)
            ));
        }
    }
    Ok(format!("{}, by the guest's and the target's account", plan.digest.name()))
}

fn first_block(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let micros = stage(seen, Stage::FirstBlock)?.guest_micros.ok_or("the event has no time")?;
    let seconds = |micros: u64| micros as f64 / 1e6;
    let mut text = format!("{:.3} s after kernel entry", seconds(micros));
    let mut own = micros;
    if plan.nic.pauses() {
        own = micros.saturating_sub(E1000_PAUSE_MICROS);
        let pause = seconds(E1000_PAUSE_MICROS);
        text.push_str(&format!(", {pause:.0} s of which the emulated NIC receives nothing"));
    }
    if own < FIRST_BLOCK_LIMIT_MICROS { Ok(text) } else { Err(text) }
}

fn luns(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let disks: Vec<&Sighting> = seen.disks().collect();
    let again = seen.stages(Stage::Disk).count() - disks.len();
    if again != if plan.twice { disks.len() } else { 0 } {
        return Err(format!("{} disks are listed at first, {again} again", disks.len()));
    }
    if disks.len() != seen.luns.len() {
        return Err(format!(
            "{} disks are listed, the target has {}",
            disks.len(),
            seen.luns.len()
        ));
    }
    let count = stage(seen, Stage::Luns)?.number("count");
    if count != Some(seen.luns.len() as u64) {
        return Err(format!("the guest counts {count:?} LUNs, the target has {}", seen.luns.len()));
    }
    for (number, wanted) in seen.luns.iter().enumerate() {
        let disk = disks
            .iter()
            .find(|disk| disk.number("lun") == Some(number as u64))
            .ok_or(format!("LUN {number} is not listed"))?;
        let block_bytes = wanted.block_bytes.to_string();
        let blocks = wanted.blocks.to_string();
        let read_only = if wanted.read_only { "yes" } else { "no" };
        for (name, wanted) in [
            ("vendor", wanted.vendor),
            ("product", wanted.product),
            ("revision", wanted.revision),
            ("serial", &wanted.serial),
            ("block_size", &block_bytes),
            ("blocks", &blocks),
            ("read_only", read_only),
        ] {
            let found = field(disk, name)?;
            if found != wanted {
                return Err(format!("LUN {number}: {name} is `{found}`, not `{wanted}`"));
            }
        }
    }
    Ok(format!("{} LUNs", disks.len()))
}

fn read(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let read = stage(seen, Stage::Read)?;
    let luns = plan.luns();
    let lun = luns.first().ok_or("the plan has no LUN to read")?;
    let image = seen.images.first().ok_or("the image was not looked at")?;
    let bytes = read.number("bytes");
    if bytes != Some(lun.bytes) {
        return Err(format!("{bytes:?} bytes were read, the LUN has {}", lun.bytes));
    }
    image.content.clone().map_err(|what| format!("the image of LUN 0 changed: {what}"))?;
    let hash = field(read, "sha256")?;
    if hash != image.sha256 {
        return Err(format!("SHA-256 is {hash}, the file's is {}", image.sha256));
    }
    Ok(format!("{} MiB, SHA-256 {}…", lun.bytes >> 20, hash.get(..16).unwrap_or(hash)))
}

fn read_of_stranger(seen: &Seen) -> Result<String, String> {
    let read = stage(seen, Stage::Read)?;
    let bytes = read.number("bytes").ok_or("the event has no byte count")?;
    Ok(format!("{bytes} bytes, SHA-256 {} (nothing to compare it with)", field(read, "sha256")?))
}

fn write(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let mut detail = "no write was asked for".to_owned();
    for (number, lun) in plan.luns().iter().enumerate() {
        let image = seen.images.get(number).ok_or("the image was not looked at")?;
        if let Some(wanted) = lun.write {
            let event = stage(seen, Stage::Write)?;
            stage(seen, Stage::Flush)?;
            for (name, wanted) in
                [("offset", wanted.offset), ("bytes", wanted.bytes), ("seed", wanted.seed)]
            {
                if event.number(name) != Some(wanted) {
                    return Err(format!(
                        "the guest reports {name}={}, asked for {wanted}",
                        event.field(name).unwrap_or("nothing")
                    ));
                }
            }
            detail = format!("{} bytes at offset {} of LUN {number}", wanted.bytes, wanted.offset);
        }
        image.content.clone().map_err(|what| format!("LUN {number}: {what}"))?;
    }
    Ok(detail)
}

fn logout_at_guest(seen: &Seen) -> Result<String, String> {
    stage(seen, Stage::Detach)?;
    for detach in seen.stages(Stage::Detach) {
        match field(detach, "logout")? {
            "clean" => {}
            other => return Err(format!("logout={other}")),
        }
    }
    Ok("logout=clean".to_owned())
}

fn logout_at_target(plan: &Plan, seen: &Seen) -> Result<String, String> {
    let sessions = seen.sessions.as_ref().ok_or("the target keeps no log")?;
    // Under iPXE the first session is iPXE's own.
    let wanted = 1 + usize::from(plan.start == Start::Ipxe) + usize::from(plan.twice);
    if sessions.len() != wanted {
        return Err(format!("the target logged {} logins, not {wanted}", sessions.len()));
    }
    let session = sessions.last().ok_or("the target logged no session")?;
    if !session.logged_out {
        return Err(format!("session {} has no logout in the target's log", session.tsih));
    }
    Ok(format!("session {} of {}", session.tsih, session.initiator))
}

fn rules(violations: &[String]) -> Result<String, String> {
    match violations.first() {
        None => Ok("by the built-in target's account".to_owned()),
        Some(first) => Err(format!("{} violations, the first one: {first}", violations.len())),
    }
}

fn quiet(seen: &Seen) -> Result<String, String> {
    stage(seen, Stage::Detach)?;
    for detach in seen.stages(Stage::Detach) {
        match field(detach, "nic")? {
            "quiet" => {}
            other => return Err(format!("the guest reports nic={other}")),
        }
    }
    let capture = seen.capture.as_ref().ok_or("there is no capture of the frames")?;
    let detach = capture.bytes_at_detach.ok_or("the detach was not seen in the capture")?;
    let from_guest = capture.frames.iter().filter(|frame| frame.is_from(GUEST_MAC));
    let last = from_guest.clone().next_back().map_or(0, |frame| frame.file_offset);
    let knocks = capture
        .frames
        .iter()
        .filter(|frame| frame.file_offset > last && frame.is_datagram_for(GUEST_MAC, knock::PORT))
        .count();
    let late: Vec<_> = from_guest.clone().filter(|frame| frame.file_offset >= detach).collect();
    match late.first() {
        Some(frame) => Err(format!(
            "{} frames left the NIC after the detach, the first one {}",
            late.len(),
            frame.describe()
        )),
        None if from_guest.clone().next().is_none() => {
            Err("the capture holds no frame of the guest at all".to_owned())
        }
        None if seen.stage(Stage::Flush).is_some() && knocks < KNOCKS => Err(format!(
            "only {knocks} frames came for the NIC after its last: that it is quiet proves little"
        )),
        None => Ok(format!(
            "{} frames of the guest, none after the detach, though {knocks} came for it",
            from_guest.count()
        )),
    }
}

fn stage(seen: &Seen, stage: Stage) -> Result<&Sighting, String> {
    seen.stage(stage).ok_or_else(|| format!("the stage `{}` was never reached", stage.name()))
}

fn field<'a>(sighting: &'a Sighting, name: &str) -> Result<&'a str, String> {
    let missing = || format!("the event `{}` has no `{name}`", sighting.stage.name());
    sighting.field(name).ok_or_else(missing)
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Capture, ImageFinding};
    use crate::pcap::Frame;
    use crate::plan::Nic;
    use crate::plan::tests::plan;
    use crate::target::{LoggedSession, expected_luns};
    use crate::watch::tests::watched;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const CONSOLE: &str = include_str!("../data/good-console.txt");

    fn frame(file_offset: u64, source: [u8; 6]) -> Frame {
        let mut bytes = vec![0; 60];
        bytes[6..12].copy_from_slice(&source);
        Frame { file_offset, bytes }
    }

    /// A datagram that knocks at the guest's NIC.
    fn knock(file_offset: u64) -> Frame {
        let mut bytes = vec![0; 60];
        bytes[..6].copy_from_slice(&GUEST_MAC);
        bytes[12] = 0x08;
        bytes[23] = 17;
        bytes[36..38].copy_from_slice(&knock::PORT.to_be_bytes());
        Frame { file_offset, bytes }
    }

    /// A run in which everything held, with its console changed by `change`.
    fn seen(change: impl Fn(String) -> String) -> Seen {
        let session = |tsih, header_digest, logged_out| LoggedSession {
            tsih,
            initiator: "iqn.guest".to_owned(),
            header_digest,
            data_digest: false,
            logged_out,
        };
        let image = |sha256: &str| ImageFinding { sha256: sha256.to_owned(), content: Ok(()) };
        Seen {
            target_name: "iqn.2007-09.jp.ne.peach.istgt:disk1".to_owned(),
            sessions: Some(vec![session(1, false, false), session(2, true, true)]),
            luns: expected_luns(&plan()),
            images: vec![image(HASH), image(""), image("")],
            capture: Some(Capture {
                frames: [frame(24, GUEST_MAC), frame(1000, [2; 6])]
                    .into_iter()
                    .chain((0..KNOCKS as u64).map(|number| knock(400 + number)))
                    .collect(),
                bytes_at_detach: Some(900),
            }),
            ..watched(&change(CONSOLE.to_owned())).into_seen(End::Machine(Ending::Pass))
        }
    }

    fn failures(seen: &Seen) -> Vec<(&'static str, String)> {
        let failed = |check: Check| (!check.passed).then_some((check.name, check.detail));
        judge(&plan(), seen).into_iter().filter_map(failed).collect()
    }

    /// Exactly one check fails, and its sentence holds `words`.
    #[track_caller]
    fn fails_with(seen: &Seen, words: &str) {
        let failures = failures(seen);
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(failures[0].1.contains(words), "{failures:?}");
    }

    fn replaced(from: &'static str, to: &'static str) -> Seen {
        assert!(CONSOLE.contains(from), "{from}");
        seen(move |console| console.replace(from, to))
    }

    #[test]
    fn a_good_run_passes() {
        assert_eq!(failures(&seen(|console| console)), []);
    }

    #[test]
    fn a_lie_about_the_read_is_found() {
        fails_with(&replaced("sha256=9f86", "sha256=0000"), "SHA-256 is 0000");
        fails_with(&replaced("bytes=67108864", "bytes=67108352"), "67108352");
    }

    #[test]
    fn a_wrong_byte_in_an_image_is_found_on_every_lun() {
        for lun in 0..3 {
            let mut seen = seen(|console| console);
            seen.images[lun].content = Err("byte 7 is wrong".to_owned());
            assert!(failures(&seen).iter().any(|(_, detail)| detail.contains("byte 7 is wrong")));
        }
    }

    #[test]
    fn a_write_elsewhere_or_unflushed_is_found() {
        fails_with(&replaced("offset=633344", "offset=633856"), "offset=633856");
        let without_flush = seen(|console| console.replace("stage=flush", "stage=read"));
        assert!(failures(&without_flush).iter().any(|(_, detail)| detail.contains("`flush`")));
    }

    #[test]
    fn digests_must_be_those_asked_for_at_both_ends() {
        fails_with(&replaced("header_digest=crc32c", "header_digest=none"), "header_digest=none");
        fails_with(&replaced("data_digest=none", "data_digest=crc32c"), "data_digest=crc32c");
        let mut seen = seen(|console| console);
        seen.sessions.as_mut().unwrap()[1].header_digest = false;
        fails_with(&seen, "the target logged header digest off");
    }

    #[test]
    fn interrupts_are_as_asked_for_and_the_processor_sleeps() {
        let asked = Plan { interrupts: Interrupts::Msix, ..plan() };
        let driven = |from: &'static str, to: &'static str| {
            let seen = seen(move |console| {
                let console = console.replace("wanted=none mode=none", "wanted=msix mode=msix");
                let idle = "share=31.4 mode=msix interrupts=700 overslept=0";
                let console = console.replace("share=0.0 mode=none interrupts=0 overslept=0", idle);
                assert!(console.contains(from), "{from}");
                console.replace(from, to)
            });
            let failed = |check: Check| (!check.passed).then_some(check.detail);
            judge(&asked, &seen).into_iter().filter_map(failed).collect::<Vec<_>>()
        };
        assert_eq!(driven("", ""), [""; 0]);
        for (from, to, words) in [
            ("wanted=msix mode=msix", "wanted=msix mode=msi", "got msi"),
            ("wanted=msix mode=msix", "wanted=none mode=msix", "the guest wanted none"),
            ("mode=msix interrupts", "mode=none interrupts", "none at the end"),
            ("share=31.4", "share=0.0", "0 % of the time"),
            ("interrupts=700", "interrupts=0", "0 interrupts"),
            ("overslept=0", "overslept=3", "3 missed"),
        ] {
            let failures = driven(from, to);
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(failures[0].contains(words), "{failures:?}");
        }
        fails_with(&replaced("share=0.0", "share=0.1"), "0.1 % of the time");
        fails_with(&replaced("interrupts=0", "interrupts=1"), "1 interrupts");
    }

    #[test]
    fn a_second_attach_is_held_to_all_that_the_first_was() {
        let twice = Plan { twice: true, ..plan() };
        let again = |from: &'static str, to: &'static str| {
            let mut seen = seen(move |console| {
                let second: String = console
                    .lines()
                    .filter(|line| {
                        let word =
                            |stage: &Stage| line.contains(&format!("stage={} ", stage.name()));
                        SECOND_ATTACH.iter().chain(&[Stage::Disk]).any(word)
                    })
                    .map(|line| format!("{line}\n"))
                    .collect();
                let second = if from.is_empty() { second } else { second.replace(from, to) };
                console.replace("@isboot stage=verdict", &(second + "@isboot stage=verdict"))
            });
            let sessions = seen.sessions.as_mut().unwrap();
            sessions.push(sessions[1].clone());
            let failed = |check: Check| (!check.passed).then_some(check.detail);
            judge(&twice, &seen).into_iter().filter_map(failed).collect::<Vec<_>>()
        };
        assert_eq!(again("", ""), [""; 0]);
        for (from, to, words) in [
            ("nic=quiet", "nic=\"wrote to 0x1000\"", "wrote to"),
            ("logout=clean", "logout=timeout", "logout=timeout"),
            ("stage=first-block", "stage=disk", "came as"),
            ("wanted=none mode=none", "wanted=none mode=intx", "got intx"),
        ] {
            let failures = again(from, to);
            assert!(failures.iter().any(|failure| failure.contains(words)), "{failures:?}");
        }
        let once = judge(&twice, &seen(|console| console));
        assert!(once.iter().any(|check| !check.passed), "one attach is too few");
    }

    #[test]
    fn every_property_of_every_lun_counts() {
        for (from, to) in [
            (
                "vendor=ISBOOT product=\"istgt boot disk\" revision=0001 serial=ISBOOT-LUN-2",
                "vendor=OTHER product=\"istgt boot disk\" revision=0001 serial=ISBOOT-LUN-2",
            ),
            ("serial=ISBOOT-LUN-1", "serial=ISBOOT-LUN-0"),
            ("blocks=16384", "blocks=16383"),
            ("blocks=131072 read_only=no", "blocks=131072 read_only=yes"),
            ("index=0 lun=0", "index=0 lun=3"),
            ("count=3", "count=2"),
        ] {
            assert_eq!(failures(&replaced(from, to)).len(), 1, "{from} → {to}");
        }
    }

    #[test]
    fn a_table_found_elsewhere_is_found_out() {
        fails_with(&replaced("via=low-memory", "via=acpi"), "not by low-memory");
    }

    #[test]
    fn a_foreign_nic_is_found_out() {
        fails_with(
            &replaced("mac=52:54:00:15:b0:07", "mac=52:54:00:00:00:00"),
            "52:54:00:00:00:00",
        );
    }

    #[test]
    fn a_logout_needs_both_accounts() {
        fails_with(&replaced("logout=clean", "logout=timeout"), "logout=timeout");
        let mut seen = seen(|console| console);
        seen.sessions.as_mut().unwrap()[1].logged_out = false;
        fails_with(&seen, "no logout");
    }

    #[test]
    fn a_broken_rule_is_found_where_somebody_watches() {
        let mut watched = seen(|console| console);
        watched.violations = Some(Vec::new());
        assert_eq!(failures(&watched), []);
        watched.violations = Some(vec!["connection 2: a reserved bit is set".to_owned()]);
        fails_with(&watched, "a reserved bit is set");
    }

    #[test]
    fn a_frame_after_the_detach_is_found() {
        let mut chatty = seen(|console| console);
        chatty.capture.as_mut().unwrap().frames.push(frame(900, GUEST_MAC));
        fails_with(&chatty, "after the detach");
        let mut silent = seen(|console| console);
        silent.capture.as_mut().unwrap().frames.remove(0);
        fails_with(&silent, "no frame of the guest");
        fails_with(&replaced("nic=quiet", "nic=busy"), "nic=busy");
        let mut unasked = seen(|console| console);
        unasked.capture.as_mut().unwrap().frames.pop();
        fails_with(&unasked, "proves little");
    }

    #[test]
    fn a_slow_first_block_is_found() {
        let failed = |nic, us: &'static str| {
            let checks = judge(&Plan { nic, ..plan() }, &replaced("us=1301000", us));
            checks.iter().filter(|check| !check.passed).count()
        };
        assert_eq!((failed(Nic::E1000, "us=2999999"), failed(Nic::E1000, "us=3000000")), (0, 1));
        assert_eq!((failed(Nic::E1000e, "us=1999999"), failed(Nic::E1000e, "us=2000000")), (0, 1));
    }

    #[test]
    fn an_error_a_broken_line_or_a_bad_exit_fails_the_run() {
        let error = seen(|console| {
            console.replace(
                "@isboot stage=verdict",
                "@isboot stage=error us=9 during=detach text=\"x y\"\n@isboot stage=verdict",
            )
        });
        fails_with(&error, "during detach: x y");
        fails_with(
            &replaced("@isboot stage=verdict", "@isboot broken\n@isboot stage=verdict"),
            "broken",
        );
        fails_with(&replaced("result=pass", "result=fail"), "the verdict is fail");
        let mut reset = seen(|console| console);
        reset.end = End::Machine(Ending::Reset);
        fails_with(&reset, "triple fault");
        assert!(
            judge_answer(&seen(|console| console))[0].passed && !judge_answer(&reset)[0].passed
        );
    }

    #[test]
    fn a_missing_or_repeated_stage_is_named() {
        let repeated = seen(|console| {
            console.replace("@isboot stage=link", "@isboot stage=link us=1\n@isboot stage=link")
        });
        fails_with(&repeated, "link link");
        let missing = seen(|console| console.replace("stage=address", "stage=disk"));
        assert!(
            failures(&missing).iter().any(|(_, detail)| detail.contains("`address` is missing"))
        );
    }
}
