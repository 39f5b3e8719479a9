//! The plan of a boot: what the iBFT and the parameters together ask for, in owned values.
//!
//! Made once; the table's memory is not needed afterwards, and can be wiped of its secrets.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use heapless::String;
use isboot_ibft::{ChapType, Ibft, LunEncoding, MacAddress, Nic, Target, Text};
use isboot_transport::netstack::{Addressing, Configuration, link_local};
use isboot_transport::vlan::VlanId;

use super::nic::{NicFound, NoSuchNic, WantedNic};
use super::parameters::{AddressSource, NicChoice, Parameters, VlanChoice};
use super::root_path::RootPath;
use crate::login::{
    Authentication, Credentials, Host, LoginConfig, Name, NameError, Secret, SecretError,
};
use crate::pdu::digest::Crc32cFunction;
use crate::pdu::serial::SerialNumber;
use crate::scsi::lun::LogicalUnitNumber;
use crate::session::SessionConfig;

/// Everything that a boot needs to know.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// This node's iSCSI name.
    pub initiator_name: Name,
    /// The target's iSCSI name.
    pub target_name: Name,
    /// Where the target listens. Its address is unspecified while nobody has resolved
    /// [`server_name`](Self::server_name), if there is one.
    pub portal: SocketAddr,
    /// The host name of the target's server, when a root path gives that and no address: for
    /// whoever has a network to [resolve](Self::resolved) before a session begins.
    pub server_name: Option<HostName>,
    /// The logical unit to boot from.
    pub lun: LogicalUnitNumber,
    /// Which network interface to use.
    pub nic: WantedNic,
    /// Initiator part of the session identifier: the interface's own, so that a login replaces
    /// the session that a crash left behind.
    pub isid: [u8; 6],
    /// Where the address comes from.
    pub addressing: Addressing,
    /// The VLAN to speak in; `None` for untagged frames.
    pub vlan: Option<VlanId>,
    /// Who proves what to whom.
    pub authentication: Authentication,
    /// The target to boot from instead when this one never lets us in: the next of the table that
    /// is reached through the same interface.
    pub alternative: Option<BootTarget>,
}

/// A host name as text.
pub type HostName = String<{ Host::MAX_NAME_LENGTH }>;

/// A target of a table, and the disk to boot from there.
#[derive(Clone, Debug)]
pub struct BootTarget {
    /// The target's iSCSI name.
    pub target_name: Name,
    /// Where it listens.
    pub portal: SocketAddr,
    /// The logical unit to boot from.
    pub lun: LogicalUnitNumber,
    /// Who proves what to whom.
    pub authentication: Authentication,
}

/// Why a table is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The table has no initiator structure, or one without a usable name.
    InitiatorName(Option<NameError>),
    /// The table has no usable target at all.
    NoTarget,
    /// The parameters ask for a target that the table does not have.
    NoSuchTarget {
        /// What was asked for.
        wanted: u8,
        /// How many usable targets the table has.
        have: u8,
    },
    /// The target's name is unusable.
    TargetName(NameError),
    /// CHAP is asked for in a way that nobody defines: to log in without would lower the policy.
    ChapType(ChapType),
    /// CHAP is asked for, and its name or secret is missing or unusable.
    Credentials(&'static str),
    /// Neither a table nor a root path says what to boot from: nothing is sent anywhere.
    NotConfigured,
    /// The table's VLAN is none: to speak without a tag would be to speak to another network.
    Vlan(u16),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitiatorName(None) => f.write_str("the iBFT names no initiator"),
            Self::InitiatorName(Some(error)) => {
                write!(f, "the iBFT's initiator name is unusable: {error}")
            }
            Self::NoTarget => f.write_str(
                "the iBFT has no usable target; did the firmware attach a disk before booting?",
            ),
            Self::NoSuchTarget { wanted, have } => {
                write!(
                    f,
                    "the iBFT has {have} usable targets, and parameter target asks for number {wanted}"
                )
            }
            Self::TargetName(error) => write!(f, "the iBFT's target name is unusable: {error}"),
            Self::ChapType(kind) => {
                write!(f, "the iBFT asks for an authentication that is not known: {kind}")
            }
            Self::Credentials(what) => {
                write!(f, "the iBFT asks for CHAP, and the {what} is missing or unusable")
            }
            Self::NotConfigured => f.write_str(
                "there is no iBFT and parameter root_path is not set: nothing to boot from",
            ),
            Self::Vlan(field) => write!(
                f,
                "the iBFT asks for VLAN {field}, and VLANs are 1 to 4094; parameter vlan chooses \
                 another, or 0 for none"
            ),
        }
    }
}

impl core::error::Error for PlanError {}

impl BootPlan {
    /// Makes a plan of a table, or of its initiator and interface and parameter `root_path`.
    ///
    /// The root path's target is logged in to with what the table has for a target of that name,
    /// and without authentication when it has none.
    ///
    /// # Errors
    /// [`PlanError`] says what the table lacks.
    pub fn new(table: &Ibft<'_>, parameters: &Parameters) -> Result<Self, PlanError> {
        let initiator_name = table
            .initiator()
            .and_then(|initiator| initiator.name().ok())
            .filter(|name| !name.is_empty())
            .ok_or(PlanError::InitiatorName(None))?;
        let initiator_name =
            name(&initiator_name).map_err(|error| PlanError::InitiatorName(Some(error)))?;
        let mut targets = table.targets_in_order().skip(usize::from(parameters.target));
        let (nic, target, alternative) = match (&parameters.root_path, targets.next()) {
            (Some(root_path), first) => {
                let nic = match first {
                    Some(first) => table.nic_for(&first),
                    None => table.nics().find(|nic| nic.header().is_usable()),
                };
                (nic, BootTarget::of_root_path(root_path, Some(table))?, None)
            }
            (None, Some(first)) => {
                let nic = table.nic_for(&first);
                let mut reached = targets.filter(|other| {
                    table.nic_for(other).map(|nic| nic.index()) == nic.map(|nic| nic.index())
                });
                let alternative = reached.next().map(|other| BootTarget::new(&other)).transpose();
                let alternative = alternative.unwrap_or_else(|error| {
                    log::warn!("passing over the iBFT's next target: {error}");
                    None
                });
                (nic, BootTarget::new(&first)?, alternative)
            }
            (None, None) => {
                return Err(match u8::try_from(table.targets_in_order().count()) {
                    Ok(0) => PlanError::NoTarget,
                    have => PlanError::NoSuchTarget {
                        wanted: parameters.target,
                        have: have.unwrap_or(u8::MAX),
                    },
                });
            }
        };
        let isid = isid(nic.map_or(MacAddress([0x02, 0, 0, 0, 0, 1]), |nic| nic.mac()));
        Ok(Self {
            nic: wanted_nic(nic.as_ref(), parameters),
            addressing: addressing(nic.as_ref(), parameters, target.portal),
            server_name: server_name(parameters),
            vlan: vlan(nic.as_ref(), parameters)?,
            alternative,
            ..target.plan(initiator_name, isid)
        })
    }

    /// A plan for a machine without a table: the boot disk is that of parameter `root_path`, the
    /// interface the first there is, the address DHCP's.
    ///
    /// # Errors
    /// [`PlanError::NotConfigured`] when the parameter is not set.
    pub fn from_parameters(
        parameters: &Parameters,
        initiator_name: Name,
        isid: [u8; 6],
    ) -> Result<Self, PlanError> {
        let root_path = parameters.root_path.as_ref().ok_or(PlanError::NotConfigured)?;
        let target = BootTarget::of_root_path(root_path, None)?;
        let nic = wanted_nic(None, parameters);
        let vlan = vlan(None, parameters)?;
        let addressing = addressing(None, parameters, target.portal);
        Ok(Self {
            nic,
            vlan,
            addressing,
            server_name: server_name(parameters),
            ..target.plan(initiator_name, isid)
        })
    }

    /// A plan for a process with sockets of its own: no table and no network interface; LUN 0, and
    /// no authentication. Change what differs.
    #[must_use]
    pub fn without_table(
        initiator_name: Name,
        target_name: Name,
        portal: SocketAddr,
        isid: [u8; 6],
    ) -> Self {
        Self {
            initiator_name,
            target_name,
            portal,
            server_name: None,
            lun: LogicalUnitNumber::ZERO,
            nic: WantedNic::Any,
            isid,
            addressing: Addressing::Dhcp,
            vlan: None,
            authentication: Authentication::None,
            alternative: None,
        }
    }

    /// The address of [`server_name`](Self::server_name), as a name server gave it.
    pub fn resolved(&mut self, address: IpAddr) {
        self.portal.set_ip(address);
    }

    /// Which of the interfaces found is wanted: its place. The plan takes its identity from that
    /// interface.
    ///
    /// # Errors
    /// [`NoSuchNic`] says what is wanted and what there is.
    pub fn choose_nic<'a>(&mut self, found: &'a [NicFound]) -> Result<usize, NoSuchNic<'a>> {
        let place = self.nic.choose(found)?;
        if let Some(mac) = found.get(place).and_then(|nic| nic.mac) {
            self.isid = isid(mac);
        }
        Ok(place)
    }

    /// The network that this plan asks for, on the interface with this MAC address.
    ///
    /// `random_seed` is unpredictable: TCP's sequence numbers and source ports come from it.
    #[must_use]
    pub fn network(
        &self,
        mac: [u8; 6],
        random_seed: u64,
        parameters: &Parameters,
    ) -> Configuration {
        let addressing = match (self.addressing, self.portal.ip()) {
            // No router has to say anything first.
            (Addressing::Slaac, IpAddr::V6(portal)) if portal.is_unicast_link_local() => {
                let address = IpAddr::V6(link_local(mac));
                Addressing::Static { address, prefix: 64, gateway: None, dns: None }
            }
            (addressing, _) => addressing,
        };
        Configuration {
            vlan: self.vlan,
            mtu: parameters.mtu,
            address_check: parameters.address_check,
            dns: parameters.dns,
            ..Configuration::new(mac, addressing, random_seed)
        }
    }

    /// The session that this plan asks for.
    #[must_use]
    pub fn session_config(&self, parameters: &Parameters, crc32c: Crc32cFunction) -> SessionConfig {
        let target = (&self.target_name, self.portal, &self.authentication);
        let mut config = self.session_config_for(target, parameters, crc32c);
        config.login.target_portal_group_tag = parameters.target_portal_group_tag;
        config
    }

    /// The session with the alternative target, when there is one.
    pub(super) fn alternative_config(
        &self,
        parameters: &Parameters,
        crc32c: Crc32cFunction,
    ) -> Option<(SessionConfig, LogicalUnitNumber)> {
        let BootTarget { target_name, portal, lun, authentication } = self.alternative.as_ref()?;
        let target = (target_name, *portal, authentication);
        Some((self.session_config_for(target, parameters, crc32c), *lun))
    }

    fn session_config_for(
        &self,
        (target_name, portal, authentication): (&Name, SocketAddr, &Authentication),
        parameters: &Parameters,
        crc32c: Crc32cFunction,
    ) -> SessionConfig {
        let (initiator_name, target_name) = (self.initiator_name.clone(), target_name.clone());
        let isid = parameters.isid.unwrap_or(self.isid);
        let mut login = LoginConfig::new(initiator_name, target_name, isid);
        login.authentication = authentication.clone();
        login.chap_algorithms = parameters.chap_algorithms;
        login.allow_short_secrets = parameters.allow_short_secrets;
        login.header_digest = parameters.header_digest;
        login.data_digest = parameters.data_digest;
        login.offer = parameters.offer;
        SessionConfig {
            portal,
            login,
            timeouts: parameters.timeouts,
            escalation: parameters.escalation.clone(),
            initial_cmd_sn: SerialNumber(1),
            crc32c,
        }
    }
}

impl BootTarget {
    fn new(target: &Target<'_>) -> Result<Self, PlanError> {
        let target_name = target.name().map_err(|_| PlanError::NoTarget)?;
        if let LunEncoding::LittleEndian(number) = target.lun().encoding() {
            log::warn!("the iBFT's LUN reads as the little-endian number {number}; taking it so");
        }
        Ok(Self {
            target_name: name(&target_name).map_err(PlanError::TargetName)?,
            portal: target.portal().ok_or(PlanError::NoTarget)?,
            lun: LogicalUnitNumber::from_bytes(target.lun().to_wire()),
            authentication: authentication(target)?,
        })
    }

    fn of_root_path(root_path: &RootPath, table: Option<&Ibft<'_>>) -> Result<Self, PlanError> {
        let named = |target: &Target<'_>| {
            target.name().ok().and_then(|text| name(&text).ok()).as_ref()
                == Some(&root_path.target_name)
        };
        let known = table.and_then(|table| table.targets_in_order().find(named));
        let address = match root_path.server {
            Host::Address(address) => address,
            Host::Name(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        Ok(Self {
            target_name: root_path.target_name.clone(),
            portal: SocketAddr::new(address, root_path.port),
            lun: root_path.lun,
            authentication: known
                .map_or(Ok(Authentication::None), |known| authentication(&known))?,
        })
    }

    fn plan(self, initiator_name: Name, isid: [u8; 6]) -> BootPlan {
        let Self { target_name, portal, lun, authentication } = self;
        let plan = BootPlan::without_table(initiator_name, target_name, portal, isid);
        BootPlan { lun, authentication, ..plan }
    }
}

/// The host name in the root path, if there is one.
fn server_name(parameters: &Parameters) -> Option<HostName> {
    match &parameters.root_path.as_ref()?.server {
        Host::Name(name) => Some(name.clone()),
        Host::Address(_) => None,
    }
}

/// The ISID of an interface: OUI format, the qualifier being the rest of its MAC address (RFC
/// 7143 §11.12.5).
fn isid(MacAddress([o0, o1, o2, n0, n1, n2]): MacAddress) -> [u8; 6] {
    // T is 00b; A and B hold the OUI without its group and local bits.
    [o0 >> 2, o1, o2, n0, n1, n2]
}

fn name(text: &Text<'_>) -> Result<Name, NameError> {
    Name::new(text.as_str().ok_or(NameError::BadCharacter(char::REPLACEMENT_CHARACTER))?)
}

fn wanted_nic(nic: Option<&Nic<'_>>, parameters: &Parameters) -> WantedNic {
    match (parameters.nic, nic) {
        (NicChoice::Mac(mac), _) => WantedNic::Mac(mac),
        (NicChoice::At(pci), _) => WantedNic::At(pci),
        (NicChoice::Number(number), _) => WantedNic::Number(number),
        (NicChoice::Any, _) => WantedNic::Any,
        (NicChoice::Ibft, Some(nic)) => WantedNic::Table { mac: nic.mac(), pci: nic.pci_address() },
        (NicChoice::Ibft, None) => WantedNic::Any,
    }
}

/// The VLAN that a parameter names, or else the table. Priority bits may stand above it.
fn vlan(nic: Option<&Nic<'_>>, parameters: &Parameters) -> Result<Option<VlanId>, PlanError> {
    const VLAN_ID: u16 = 0x0fff;
    match (parameters.vlan, nic.map(Nic::vlan_tag)) {
        (VlanChoice::Untagged, _) | (VlanChoice::Ibft, None) => Ok(None),
        (VlanChoice::Tagged(vlan), _) => Ok(Some(vlan)),
        (VlanChoice::Ibft, Some(tag)) => match tag & VLAN_ID {
            0 => Ok(None),
            number => VlanId::new(number).map(Some).ok_or(PlanError::Vlan(number)),
        },
    }
}

/// The table's address, if it is wanted and there; else one that is asked for, in the portal's own
/// family.
fn addressing(nic: Option<&Nic<'_>>, parameters: &Parameters, portal: SocketAddr) -> Addressing {
    match (parameters.address, nic) {
        (AddressSource::Dhcp, _) => return Addressing::Dhcp,
        (AddressSource::Slaac, _) => return Addressing::Slaac,
        (AddressSource::Ibft, Some(nic)) => {
            if let (Some(address), Some(prefix)) = (nic.address(), nic.prefix()) {
                let (gateway, dns) = (nic.gateway(), nic.primary_dns());
                return Addressing::Static { address, prefix, gateway, dns };
            }
        }
        (AddressSource::Ibft, None) => {}
    }
    if portal.is_ipv6() { Addressing::Slaac } else { Addressing::Dhcp }
}

/// CHAP that the table asks for is required: nothing that a target offers lowers it.
fn authentication(target: &Target<'_>) -> Result<Authentication, PlanError> {
    let initiator = || {
        let name = target.chap_name().map_err(|_| PlanError::Credentials("CHAP name"))?;
        let secret = target.chap_secret().map_err(|_| PlanError::Credentials("CHAP secret"))?;
        credentials(&name, secret.expose(), "CHAP name", "CHAP secret")
    };
    match target.chap_type() {
        ChapType::None => Ok(Authentication::None),
        ChapType::OneWay => Ok(Authentication::Chap { initiator: initiator()?, required: true }),
        ChapType::Mutual => {
            let (what_name, what_secret) = ("reverse CHAP name", "reverse CHAP secret");
            let name = target.reverse_chap_name().map_err(|_| PlanError::Credentials(what_name))?;
            let secret =
                target.reverse_chap_secret().map_err(|_| PlanError::Credentials(what_secret))?;
            let target = credentials(&name, secret.expose(), what_name, what_secret)?;
            Ok(Authentication::MutualChap { initiator: initiator()?, target })
        }
        unknown => Err(PlanError::ChapType(unknown)),
    }
}

fn credentials(
    name: &Text<'_>,
    secret: &[u8],
    what_name: &'static str,
    what_secret: &'static str,
) -> Result<Credentials, PlanError> {
    let text = name.as_str().ok_or(PlanError::Credentials(what_name))?;
    let name = match text {
        "" => None,
        text => Some(String::try_from(text).map_err(|_| PlanError::Credentials(what_name))?),
    };
    let secret =
        Secret::new(secret).map_err(|_: SecretError| PlanError::Credentials(what_secret))?;
    Ok(Credentials { name, secret })
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use isboot_ibft::PciAddress;
    use isboot_ibft::Secret as IbftSecret;
    use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
    use isboot_transport::netstack::AddressCheck;

    use super::*;

    fn plan() -> BootPlan {
        let name = |name| Name::new(name).unwrap();
        BootPlan::without_table(
            name("iqn.2026-11.org.example:host"),
            name("iqn.2001-04.com.example:disks"),
            "192.0.2.1:3260".parse().unwrap(),
            [0x80, 0, 0, 0, 0, 1],
        )
    }

    fn login(plan: &BootPlan, settings: &[(&str, &str)]) -> LoginConfig {
        let mut parameters = Parameters::default();
        for (name, value) in settings {
            parameters.set(name, value).unwrap();
        }
        plan.session_config(&parameters, Crc32cFunction::default()).login
    }

    /// RFC 7143 §11.12.5: T is 00b, and the group and local bits of the OUI are left out.
    #[test]
    fn the_isid_is_the_interfaces_unless_a_parameter_names_another() {
        let mut plan = plan();
        let pci = PciAddress { bus: 0, device: 3, function: 0 };
        let mac = Some(MacAddress([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]));
        let found = [NicFound { name: Ok("82540EM"), mac, pci, has_link: true }];
        assert_eq!(plan.choose_nic(&found), Ok(0));
        assert_eq!(login(&plan, &[]).isid, [0x14, 0x54, 0x00, 0x12, 0x34, 0x56]);
        assert_eq!(login(&plan, &[("isid", "80000a0b0c0d")]).isid, [0x80, 0, 10, 11, 12, 13]);
        assert!(login(&plan, &[]).check().is_ok());
    }

    /// Without a table: the portal's own family is asked for an address, unless a parameter says
    /// which; the link's own needs nobody.
    #[test]
    fn an_address_that_nobody_gives_is_asked_for_in_the_portals_family() {
        let network = |server: &str, settings: &[(&str, &str)]| {
            let mut parameters = Parameters::default();
            let path = std::format!("iscsi:{server}::::iqn.2001-04.com.example:disks");
            for (name, value) in [("root_path", path.as_str())].iter().chain(settings) {
                parameters.set(name, value).unwrap();
            }
            let initiator = Name::new("iqn.2026-11.org.example:host").unwrap();
            let plan = BootPlan::from_parameters(&parameters, initiator, [0x80, 0, 0, 0, 0, 1]);
            plan.unwrap().network([0x52, 0x54, 0, 0x12, 0x34, 0x56], 1, &parameters)
        };
        assert_eq!(network("192.0.2.2", &[]).addressing, Addressing::Dhcp);
        assert_eq!(network("[2001:db8::2]", &[]).addressing, Addressing::Slaac);
        assert_eq!(network("disks.example.org", &[]).addressing, Addressing::Dhcp);
        let slaac = ("address", "slaac");
        assert_eq!(network("disks.example.org", &[slaac]).addressing, Addressing::Slaac);
        assert_eq!(network("[2001:db8::2]", &[("address", "dhcp")]).addressing, Addressing::Dhcp);
        let Addressing::Static { address, prefix: 64, gateway: None, dns: None } =
            network("[fe80::2]", &[]).addressing
        else {
            panic!("a target on the link is reached without a router");
        };
        assert_eq!(address.to_string(), "fe80::5054:ff:fe12:3456");
        let settings = [("dns", "192.0.2.53"), ("address_check", "probe")];
        let network = network("192.0.2.2", &settings);
        assert_eq!(network.dns, Some("192.0.2.53".parse().unwrap()));
        assert_eq!(network.address_check, AddressCheck::Probe);
    }

    #[test]
    fn a_parameter_names_the_portal_group() {
        assert_eq!(login(&plan(), &[]).target_portal_group_tag, None);
        assert_eq!(login(&plan(), &[("portal_group", "7")]).target_portal_group_tag, Some(7));
    }

    /// The plan of a table with this interface and target.
    fn plan_of(
        nic: NicRepr<'_>,
        target: TargetRepr<'_>,
        parameters: &Parameters,
    ) -> Result<BootPlan, PlanError> {
        let initiator =
            InitiatorRepr { name: b"iqn.2026-11.org.example:host", ..Default::default() };
        let targets = [TargetRepr {
            address: Some("192.0.2.1".parse().unwrap()),
            name: b"iqn.2001-04.com.example:disks",
            ..target
        }];
        let table = TableRepr {
            initiator: Some(initiator),
            nics: &[nic],
            targets: &targets,
            ..TableRepr::default()
        };
        let mut buffer = [0; 1024];
        let length = table.emit(&mut buffer).unwrap();
        BootPlan::new(&Ibft::new(&buffer[..length]).unwrap(), parameters)
    }

    /// The authentication that a table with this target plans.
    fn planned(target: TargetRepr<'_>) -> Result<Authentication, PlanError> {
        plan_of(NicRepr::default(), target, &Parameters::default()).map(|plan| plan.authentication)
    }

    #[test]
    fn the_vlan_is_the_tables_unless_a_parameter_names_another() {
        let planned = |vlan, setting: Option<&str>| {
            let mut parameters = Parameters::default();
            if let Some(value) = setting {
                parameters.set("vlan", value).unwrap();
            }
            let nic = NicRepr { vlan, ..NicRepr::default() };
            let plan = plan_of(nic, TargetRepr::default(), &parameters)?;
            let network = plan.network([0x52, 0x54, 0, 0, 0, 1], 1, &parameters);
            assert_eq!(network.vlan, plan.vlan);
            Ok(plan.vlan.map(VlanId::number))
        };
        assert_eq!(planned(0, None), Ok(None));
        assert_eq!(planned(4094, None), Ok(Some(4094)));
        assert_eq!(planned(0xe007, None), Ok(Some(7)), "priority bits are not the VLAN's");
        assert_eq!(planned(0xe000, None), Ok(None));
        assert_eq!(planned(4095, None), Err(PlanError::Vlan(4095)));
        assert_eq!(planned(4095, Some("0")), Ok(None));
        assert_eq!(planned(7, Some("0")), Ok(None));
        assert_eq!(planned(7, Some("8")), Ok(Some(8)));
        assert_eq!(planned(0, Some("8")), Ok(Some(8)));
    }

    #[test]
    fn without_a_table_parameters_choose_vlan_and_interface() {
        let mut parameters = Parameters::default();
        let disk = "iscsi:192.0.2.1::::iqn.2001-04.com.example:disk";
        for (name, value) in [("root_path", disk), ("vlan", "8"), ("nic", "52:54:00:12:34:56")] {
            parameters.set(name, value).unwrap();
        }
        let host = Name::new("iqn.2026-11.org.example:host").unwrap();
        let plan = BootPlan::from_parameters(&parameters, host, [0x80, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!(plan.vlan, VlanId::new(8));
        let mac = MacAddress([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
        assert_eq!(plan.nic, WantedNic::Mac(mac));
    }

    fn mutual<'a>() -> TargetRepr<'a> {
        TargetRepr {
            chap_type: 2,
            chap_name: b"operator",
            chap_secret: IbftSecret::new(b"initiatorsecret1"),
            reverse_chap_name: b"disks",
            reverse_chap_secret: IbftSecret::new(b"targetsecret0002"),
            ..TargetRepr::default()
        }
    }

    #[test]
    fn mutual_chap_is_planned_with_each_sides_own_credentials() {
        let Ok(Authentication::MutualChap { initiator, target }) = planned(mutual()) else {
            panic!("the table asks for mutual CHAP");
        };
        assert_eq!(initiator.name.as_deref(), Some("operator"));
        assert_eq!(target.name.as_deref(), Some("disks"));
        assert_eq!(initiator.secret, Secret::new(b"initiatorsecret1").unwrap());
        assert_eq!(target.secret, Secret::new(b"targetsecret0002").unwrap());
        // A table that gives the target no name leaves it to the target.
        let Ok(Authentication::MutualChap { target, .. }) =
            planned(TargetRepr { reverse_chap_name: b"", ..mutual() })
        else {
            panic!("a name is not needed");
        };
        assert_eq!(target.name, None);
    }

    /// What is missing lowers nothing: there is no plan.
    #[test]
    fn chap_that_lacks_something_is_no_plan() {
        let none = IbftSecret::default;
        for (what, target) in [
            ("CHAP secret", TargetRepr { chap_secret: none(), ..mutual() }),
            ("reverse CHAP secret", TargetRepr { reverse_chap_secret: none(), ..mutual() }),
            ("CHAP name", TargetRepr { chap_name: b"\xff", ..mutual() }),
            ("reverse CHAP name", TargetRepr { reverse_chap_name: b"\xff", ..mutual() }),
        ] {
            assert_eq!(planned(target).err(), Some(PlanError::Credentials(what)), "{what}");
        }
        let unknown = planned(TargetRepr { chap_type: 3, ..mutual() });
        assert_eq!(unknown.err(), Some(PlanError::ChapType(ChapType::Unknown(3))));
    }
}
