//! B-BT: what to boot from: root paths, and the targets of a table.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use isboot::boot::{
    BootPlan, ParameterError, Parameters, PlanError, RootPath, RootPathError, State, Status,
};
use isboot::login::{AddressProblem, Authentication, Host, Name, NameError};
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::session::{Error, LinkFailure};
use isboot::time::Instant;
use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{Ibft, MacAddress, Secret};
use isboot_tests::pair::{Break, MIB, NAME, Pair, Portal, Setting, Wire, target};
use isboot_tests::target::{Credentials, Handling, Lun, Target};

/// The name that most root paths end with.
const DISK: &str = "iqn.2001-04.com.example:d1";
const INITIATOR: &str = "iqn.2026-11.org.example:host";
const ISID: [u8; 6] = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];

fn read(text: &str) -> Result<RootPath, RootPathError> {
    text.parse()
}

#[track_caller]
fn refused(text: &str) -> RootPathError {
    // By the parameter too, which is left as it was.
    let mut parameters = Parameters::default();
    let error = read(text).expect_err(text);
    assert_eq!(parameters.set("root_path", text), Err(ParameterError::RootPath(error)), "{text}");
    assert_eq!(parameters, Parameters::default(), "{text}");
    error
}

fn parameters(root_path: &str) -> Parameters {
    let mut parameters = Parameters::default();
    parameters.set("root_path", root_path).expect(root_path);
    parameters
}

/// The plan of a machine without a table.
fn plan(root_path: &str) -> Result<BootPlan, PlanError> {
    BootPlan::from_parameters(&parameters(root_path), name(INITIATOR), ISID)
}

fn name(text: &str) -> Name {
    Name::new(text).expect(text)
}

// --- root paths ---

#[test]
fn b_bt_01_all_fields_are_taken() {
    let plan = plan(&format!("iscsi:192.0.2.2:6:3261:4752-3A4F-6b7e-2F99:{DISK}")).unwrap();
    assert_eq!(plan.portal, "192.0.2.2:3261".parse().unwrap());
    assert_eq!(plan.lun.to_bytes(), 0x4752_3a4f_6b7e_2f99_u64.to_be_bytes());
    assert_eq!((plan.target_name.as_str(), plan.initiator_name.as_str()), (DISK, INITIATOR));
}

#[test]
fn b_bt_02_what_is_left_out_has_its_default() {
    let path = read(&format!("iscsi:192.0.2.2::::{DISK}")).unwrap();
    assert_eq!(path.server, Host::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))));
    assert_eq!((path.port, path.lun), (3260, LogicalUnitNumber::ZERO));
    let plan = plan(&format!("iscsi:192.0.2.2::::{DISK}")).unwrap();
    assert_eq!((plan.portal, plan.lun.to_bytes()), ("192.0.2.2:3260".parse().unwrap(), [0; 8]));
}

#[test]
fn b_bt_03_an_ipv6_server_stands_in_brackets() {
    let plan = plan(&format!("iscsi:[2001:db8::5]::::{DISK}")).unwrap();
    assert_eq!(plan.portal, "[2001:db8::5]:3260".parse().unwrap());
    let plan = self::plan(&format!("iscsi:[2001:db8::5]:6:3261:1:{DISK}")).unwrap();
    assert_eq!(plan.portal, "[2001:db8::5]:3261".parse().unwrap());
    assert_eq!(plan.target_name.as_str(), DISK);
    for server in ["2001:db8::5", "[2001:db8::5", "[2001:db8::5]x", "[192.0.2.2]", "[]", "[::"] {
        read(&format!("iscsi:{server}::::{DISK}")).expect_err(server);
    }
}

#[test]
fn b_bt_04_a_host_name_is_left_for_who_can_resolve_it() {
    let text = format!("iscsi:store.example.com::3261::{DISK}");
    let path = read(&text).unwrap();
    assert_eq!(path.server, Host::Name("store.example.com".try_into().unwrap()));
    let mut plan = plan(&text).unwrap();
    assert_eq!(plan.server_name.as_deref(), Some("store.example.com"));
    assert!(plan.portal.ip().is_unspecified());
    plan.resolved("2001:db8::5".parse().unwrap());
    assert_eq!(plan.portal, "[2001:db8::5]:3261".parse().unwrap());
    assert_eq!(self::plan(&format!("iscsi:192.0.2.2::::{DISK}")).unwrap().server_name, None);
}

#[test]
fn b_bt_05_without_a_server_there_is_nobody_to_ask() {
    for text in [format!("iscsi:::::{DISK}"), format!("iscsi::6:3260:0:{DISK}")] {
        assert_eq!(refused(&text), RootPathError::NoServer);
    }
    assert!(RootPathError::NoServer.to_string().contains("discovery"));
    for server in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "[::]", "[ff02::1]"] {
        let error = refused(&format!("iscsi:{server}::::{DISK}"));
        assert_eq!(error, RootPathError::Server(AddressProblem::Forbidden), "{server}");
    }
}

#[test]
fn b_bt_06_short_luns_are_filled_up_at_the_end() {
    for (text, lun) in [
        ("6734-9-156f-127", 0x6734_0009_156f_0127_u64),
        ("4186-9", 0x4186_0009_0000_0000),
        ("1", 0x0001_0000_0000_0000),
        ("0", 0),
        ("", 0),
    ] {
        let path = read(&format!("iscsi:192.0.2.2:::{text}:{DISK}")).unwrap();
        assert_eq!(path.lun.to_bytes(), lun.to_be_bytes(), "{text}");
        assert_eq!(read(&path.to_string()), Ok(path), "{text}");
    }
}

#[test]
fn b_bt_07_a_bad_lun_is_refused() {
    for lun in ["12345", "1-2-3-4-5", "g", "1--2", "0x1", "-", "1-", "-1", "+1", " 1", "1 "] {
        assert_eq!(
            refused(&format!("iscsi:192.0.2.2:::{lun}:{DISK}")),
            RootPathError::Lun,
            "{lun}"
        );
    }
}

#[test]
fn b_bt_08_a_bad_protocol_or_port_is_refused() {
    for protocol in ["17", "0", "06", "tcp", " 6", "6 "] {
        let error = refused(&format!("iscsi:192.0.2.2:{protocol}:::{DISK}"));
        assert_eq!(error, RootPathError::Protocol, "{protocol}");
    }
    for port in ["0", "65536", "abc", "-1", "+1", "0x10", "4294970556"] {
        let error = refused(&format!("iscsi:192.0.2.2::{port}::{DISK}"));
        assert_eq!(error, RootPathError::Port, "{port}");
    }
}

#[test]
fn b_bt_09_a_missing_or_bad_target_is_refused() {
    let long = format!("iqn.2001-04.com.example:{}", "x".repeat(224 - 24));
    assert_eq!(long.len(), 224);
    for (target, error) in [
        ("", RootPathError::NoTarget),
        (&long, RootPathError::TargetName(NameError::TooLong(224))),
        ("disk1", RootPathError::TargetName(NameError::UnknownType)),
        ("com.example:disk", RootPathError::TargetName(NameError::UnknownType)),
        ("iqn.com.example", RootPathError::TargetName(NameError::BadDate)),
    ] {
        assert_eq!(refused(&format!("iscsi:192.0.2.2::::{target}")), error);
    }
    read(&format!("iscsi:192.0.2.2::::{}", &long[..223])).unwrap();
}

#[test]
fn b_bt_10_other_prefixes_and_pieces_are_not_taken_for_iscsi() {
    let whole = format!("iscsi:192.0.2.2:6:3260:0:{DISK}");
    for text in
        ["nfs:192.0.2.2:/export", "ISCSI:192.0.2.2::::x", "", "iscsi", "192.0.2.2", " iscsi:", ":"]
    {
        assert_eq!(refused(text), RootPathError::Prefix, "{text}");
    }
    assert_eq!(refused(&"x".repeat(255)), RootPathError::Prefix);
    for text in [&format!("iscsi:{}", "x".repeat(249)), "iscsi:", "iscsi:192.0.2.2:6:3260:0"] {
        assert_eq!(refused(text), RootPathError::Incomplete, "{text}");
    }
    assert!(matches!(refused(&format!("iscsi:{}", ":".repeat(249))), RootPathError::NoServer));
    // Every beginning of a good one is refused until its name is one.
    for end in 0..whole.len() - DISK.len() {
        refused(&whole[..end]);
    }
}

#[test]
fn b_bt_11_names_of_every_type_are_taken_in_lower_case() {
    for (given, taken) in [
        ("iqn.2001-04.com.example:disk", "iqn.2001-04.com.example:disk"),
        ("IQN.2001-04.COM.Example:Disk", "iqn.2001-04.com.example:disk"),
        ("eui.02004567a425678d", "eui.02004567a425678d"),
        ("EUI.02004567A425678D", "eui.02004567a425678d"),
        ("naa.52004567ba64678d", "naa.52004567ba64678d"),
        ("naa.52004567BA64678D", "naa.52004567ba64678d"),
        ("NAA.62004567BA64678D0123456789ABCDEF", "naa.62004567ba64678d0123456789abcdef"),
    ] {
        let plan = plan(&format!("iscsi:192.0.2.2::::{given}")).unwrap();
        assert_eq!(plan.target_name.as_str(), taken);
    }
}

/// Nothing is discovered, so nothing is in conflict: the port of the root path is the port.
#[test]
fn b_bt_12_the_port_is_that_of_the_root_path() {
    let mut pair = pair(&plan(&format!("iscsi:192.0.2.1::3261:0:{NAME}")).unwrap(), &[]);
    pair.become_ready();
    assert_eq!(pair.wire.portals(), ["192.0.2.1:3261".parse().unwrap()]);
    pair.log_out();
}

// --- the targets of a table ---

const FIRST: &str = "iqn.2001-04.com.example:first";
const PRIMARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 12);

fn entry(name: &'static str, address: Ipv4Addr) -> TargetRepr<'static> {
    TargetRepr { name: name.as_bytes(), address: Some(address.into()), ..TargetRepr::default() }
}

/// Two targets on one interface; the second one is that of [`target`].
fn entries() -> [TargetRepr<'static>; 2] {
    let second = TargetRepr { index: 1, ..entry(NAME, SECONDARY) };
    [entry(FIRST, PRIMARY), second]
}

/// What `take` makes of a table with these targets.
fn with_table<T>(targets: &[TargetRepr<'_>], take: impl FnOnce(&Ibft<'_>) -> T) -> T {
    let initiator = InitiatorRepr { name: INITIATOR.as_bytes(), ..InitiatorRepr::default() };
    let nic = |index| {
        let mac = MacAddress([0x52, 0x54, 0x00, 0x15, 0xb0, index]);
        NicRepr { index, mac, ..NicRepr::default() }
    };
    let nics = [nic(0), nic(1)];
    let table =
        TableRepr { initiator: Some(initiator), nics: &nics, targets, ..TableRepr::default() };
    let mut buffer = [0; 2048];
    table.emit(&mut buffer).expect("room for the table");
    take(&Ibft::new(&buffer).expect("a table"))
}

fn plan_of(targets: &[TargetRepr<'_>], set: &[(&str, &str)]) -> Result<BootPlan, PlanError> {
    let mut parameters = Parameters::default();
    set.iter().for_each(|(name, value)| parameters.set(name, value).expect(name));
    with_table(targets, |table| BootPlan::new(table, &parameters))
}

/// Both ends, for a plan.
fn pair(plan: &BootPlan, set: &[(&str, &str)]) -> Pair {
    pair_with(&target().build(), plan, set)
}

fn pair_with(target: &Target, plan: &BootPlan, set: &[(&str, &str)]) -> Pair {
    Pair::planned(target, plan, &Setting::new(set))
}

fn portal(address: Ipv4Addr) -> std::net::SocketAddr {
    (address, 3260).into()
}

/// What status by name tells of the target.
fn status(pair: &Pair, plan: &BootPlan) -> [String; 3] {
    let (target, disks) = (pair.isboot.target(), pair.isboot.disks());
    let status = Status { plan, target, nic: "net0", disks };
    ["name", "address", "lun"].map(|what| {
        let value = status.value(&format!("hw.ibft.target_{what}"));
        value.expect("a name of status").to_string()
    })
}

#[test]
fn b_bt_13_the_second_target_is_booted_from_when_the_first_is_dead() {
    let plan = plan_of(&entries(), &[]).unwrap();
    let alternative = plan.alternative.as_ref().unwrap();
    assert_eq!((plan.target_name.as_str(), alternative.target_name.as_str()), (FIRST, NAME));
    for closed in [Portal::Refuses, Portal::IsSilent] {
        for limit in [20_u64, 60, 120] {
            let mut pair = pair(&plan, &[("outage_limit", &limit.to_string())]);
            pair.wire.set_portal_at(portal(PRIMARY), closed);
            assert_eq!(status(&pair, &plan), [FIRST, &PRIMARY.to_string(), "0"]);
            pair.become_ready();
            assert_eq!(status(&pair, &plan), [NAME, &SECONDARY.to_string(), "0"]);
            let took = pair.now().since(Instant::ZERO);
            assert!(took < Duration::from_secs(limit), "{closed:?}, {limit} s: {took:?}");
            assert!(took >= Duration::from_secs(limit / 2 - 5), "{closed:?}, {limit} s: {took:?}");
            let portals = pair.wire.portals();
            let (last, before) = portals.split_last().unwrap();
            assert_eq!(*last, portal(SECONDARY));
            assert!(before.iter().all(|tried| *tried == portal(PRIMARY)), "{portals:?}");
            // The disk is the second target's from now on, whatever happens to it.
            pair.write(0, 0, &[7; 512]).unwrap();
            pair.wire.break_now(Break::Reset);
            assert_eq!(pair.read(0, 0, 512).unwrap(), [7; 512]);
            pair.log_out();
        }
    }
}

#[test]
fn b_bt_13_a_first_target_that_refuses_us_costs_no_time() {
    // The target knows neither the first name nor the first secret.
    let secrets = |first: &'static [u8]| {
        let chap = |target, name: &'static str, secret| TargetRepr {
            chap_type: 1,
            chap_name: name.as_bytes(),
            chap_secret: Secret::new(secret),
            ..target
        };
        let [one, other] = entries();
        let one = TargetRepr { name: NAME.as_bytes(), ..one };
        [chap(one, "user", first), chap(other, "user", b"initiatorsecret1")]
    };
    for first in [&b"initiatorsecret9"[..], b"short"] {
        let target = target().chap(Credentials::new("user", "initiatorsecret1")).build();
        let plan = plan_of(&secrets(first), &[]).unwrap();
        let mut pair = pair_with(&target, &plan, &[]);
        pair.become_ready();
        assert_eq!(pair.wire.portals(), [portal(PRIMARY), portal(SECONDARY)]);
        assert!(pair.now().as_millis() < 1000, "{} ms", pair.now().as_millis());
        assert!(target.statistics().last_login.unwrap().chap, "by its own secret");
        pair.log_out();
    }
}

#[test]
fn b_bt_13_the_second_target_has_a_boot_lun_of_its_own() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB)).lun(Lun::memory(MIB)).build();
    let [first, second] = entries();
    let first = TargetRepr { lun: isboot_ibft::Lun::new([0, 5, 0, 0, 0, 0, 0, 0]), ..first };
    let second = TargetRepr { lun: isboot_ibft::Lun::new([0, 1, 0, 0, 0, 0, 0, 0]), ..second };
    let plan = plan_of(&[first, second], &[]).unwrap();
    assert_eq!(plan.alternative.as_ref().unwrap().lun, LogicalUnitNumber::from_number(1).unwrap());
    target.on_request(|_, pdu| {
        // The LUN of the first target is not looked for at the second.
        assert_ne!(pdu.header.as_bytes()[8..10], [0, 5]);
        Handling::Proceed
    });
    let mut pair = pair_with(&target, &plan, &[]);
    pair.wire.set_portal_at(portal(PRIMARY), Portal::Refuses);
    pair.become_ready();
    assert_eq!(pair.isboot.disks().len(), 2);
    pair.log_out();
}

#[test]
fn b_bt_13_both_dead_is_an_error_within_the_overall_limit() {
    let plan = plan_of(&entries(), &[]).unwrap();
    for portal in [Portal::Refuses, Portal::IsSilent] {
        let mut pair = pair(&plan, &[("outage_limit", "60")]);
        pair.wire.set_portal(portal);
        let error = pair.end().unwrap();
        let refused = error == Error::Link(LinkFailure::Refused);
        assert_eq!(refused, portal == Portal::Refuses, "{error}");
        let took = pair.now().as_millis();
        assert!((50_000..71_000).contains(&took), "{took} ms");
        let portals = pair.wire.portals();
        let turn = portals.iter().position(|tried| *tried == self::portal(SECONDARY)).unwrap();
        assert!(portals[turn..].iter().all(|tried| *tried == self::portal(SECONDARY)));
        pair.pass(Duration::from_secs(600));
        assert_eq!(pair.wire.portals().len(), portals.len(), "nobody is asked any more");
    }
}

#[test]
fn b_bt_13_a_target_that_worked_is_not_left_for_another() {
    // Now the first one is that of the target at hand, and dies later.
    let entries = [entry(NAME, PRIMARY), TargetRepr { index: 1, ..entry(FIRST, SECONDARY) }];
    let plan = plan_of(&entries, &[]).unwrap();
    let target = target().build();
    let mut pair = pair_with(&target, &plan, &[("outage_limit", "30")]);
    pair.become_ready();
    pair.wire.set_portal_at(portal(PRIMARY), Portal::Refuses);
    pair.wire.break_now(Break::Reset);
    pair.pass(Duration::from_secs(300));
    assert!(!pair.wire.portals().contains(&portal(SECONDARY)));
    pair.wire.set_portal_at(portal(PRIMARY), Portal::Accepts);
    assert_eq!(pair.read(0, 0, 512).unwrap(), [0; 512]);
    // Not even when it does not let us in any more.
    target.refuse_logins(2, 1, usize::MAX >> 40);
    pair.wire.break_now(Break::Reset);
    pair.pass(Duration::from_secs(60));
    assert!(!pair.wire.portals().contains(&portal(SECONDARY)));
}

#[test]
fn b_bt_13_an_alternative_is_the_next_usable_target_of_the_same_interface() {
    let [first, second] = entries();
    let other_nic = TargetRepr { nic_association: 1, ..second.clone() };
    let invalid = TargetRepr { flags: 0, ..second.clone() };
    let nowhere = TargetRepr { address: None, ..second.clone() };
    for useless in [other_nic, nowhere] {
        let plan = plan_of(&[first.clone(), useless], &[]).unwrap();
        assert!(plan.alternative.is_none());
    }
    // Asked for by number: those before it do not count.
    let plan = plan_of(&entries(), &[("target", "1")]).unwrap();
    assert_eq!((plan.target_name.as_str(), plan.alternative.is_none()), (NAME, true));
    // Firmware clears flags of attempts that failed: still worth trying, but last.
    let plan = plan_of(&[invalid, first], &[]).unwrap();
    assert_eq!(plan.target_name.as_str(), FIRST);
}

#[test]
fn b_bt_13_who_lets_go_meanwhile_is_taken_at_his_word() {
    let plan = plan_of(&entries(), &[]).unwrap();
    let mut pair = pair(&plan, &[]);
    pair.wire.set_portal_at(portal(PRIMARY), Portal::IsSilent);
    pair.pass(Duration::from_secs(3));
    let now = pair.now();
    pair.isboot.detach(now);
    assert_eq!(pair.end(), None);
    pair.pass(Duration::from_secs(300));
    assert_eq!(pair.wire.portals(), [portal(PRIMARY)]);
    assert_eq!(pair.isboot.state(), State::Ended(None));
}

// --- nothing without being told ---

#[test]
fn b_bt_14_without_configuration_there_is_no_plan_and_so_no_traffic() {
    let defaults = Parameters::default();
    assert_eq!(defaults.root_path, None);
    let error = BootPlan::from_parameters(&defaults, name(INITIATOR), ISID).unwrap_err();
    assert_eq!(error, PlanError::NotConfigured);
    // No table at all, or one whose firmware attached nothing.
    assert!(Ibft::new(&[]).is_err());
    assert!(Ibft::new(&[0; 512]).is_err());
    assert_eq!(plan_of(&[], &[]).unwrap_err(), PlanError::NoTarget);
    let nowhere = TargetRepr { address: None, ..entry(NAME, PRIMARY) };
    assert_eq!(plan_of(&[nowhere], &[]).unwrap_err(), PlanError::NoTarget);
    let unnamed = TargetRepr { name: b"", ..entry(NAME, PRIMARY) };
    assert_eq!(plan_of(&[unnamed], &[]).unwrap_err(), PlanError::NoTarget);
    // And an initiator that is never polled, as all of them are made by a plan, sends nothing.
    let pair = pair(&plan_of(&entries(), &[]).unwrap(), &[]);
    assert!(pair.wire.portals().is_empty());
}

/// With a table, a root path says which disk, and the table says who we are and through which
/// interface.
#[test]
fn b_bt_01_a_root_path_stands_in_for_the_targets_of_a_table() {
    let chap = TargetRepr {
        chap_type: 1,
        chap_name: b"user",
        chap_secret: Secret::new(b"initiatorsecret1"),
        ..entry(NAME, PRIMARY)
    };
    let set = |root_path: &str| {
        plan_of(std::slice::from_ref(&chap), &[("root_path", root_path)]).unwrap()
    };
    let plan = set(&format!("iscsi:192.0.2.1::3261:5:{NAME}"));
    assert_eq!(plan.portal, "192.0.2.1:3261".parse().unwrap());
    assert_eq!(plan.initiator_name.as_str(), INITIATOR);
    assert_eq!(plan.lun, LogicalUnitNumber::from_number(5).unwrap());
    assert!(plan.alternative.is_none());
    // What the table knows of the target of this name is not given up.
    assert!(matches!(plan.authentication, Authentication::Chap { required: true, .. }));
    let plan = set(&format!("iscsi:192.0.2.1:::5:{DISK}"));
    assert!(matches!(plan.authentication, Authentication::None));
    // A table without targets is enough.
    let plan = plan_of(&[], &[("root_path", &format!("iscsi:192.0.2.1::::{NAME}"))]).unwrap();
    let mut pair = pair(&plan, &[]);
    pair.become_ready();
    assert_eq!(pair.wire.portals(), [Wire::PORTAL]);
    pair.log_out();
}
