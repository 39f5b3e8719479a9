//! What one run is to do: the machine, the target, and what goes wrong on purpose.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::disk_image::Written;
use crate::machine::NIC_SLOT;

/// The MAC address of the machine's NIC.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x15, 0xb0, 0x07];
/// The address that user networking gives to the guest.
pub const GUEST_ADDRESS: [u8; 4] = [10, 0, 2, 15];
/// The host's loopback, as the guest sees it through user networking.
pub const HOST_ADDRESS: [u8; 4] = [10, 0, 2, 2];
/// The guest's address in user networking's IPv6, where it chooses one itself.
pub const GUEST_ADDRESS_V6: [u16; 8] = [0xfec0, 0, 0, 0, 0, 0, 0, 0x15];
/// The host's loopback there.
pub const HOST_ADDRESS_V6: [u16; 8] = [0xfec0, 0, 0, 0, 0, 0, 0, 2];
/// The initiator's name in iPXE and in tables of ours.
pub const INITIATOR_NAME: &str = "iqn.2026-01.org.isboot:qemu-boot";

const MIB: u64 = 1 << 20;
/// Blocks of LUN 1 before the pattern: no burst length divides it.
const WRITE_OFFSET_BLOCKS: u64 = 1237;
/// Bytes of the pattern, to which three blocks come.
const WRITE_BYTES: u64 = 16 * MIB;

/// Where the machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// SeaBIOS: iPXE leaves the table in low memory.
    Bios,
    /// OVMF: iPXE leaves the table with ACPI.
    Uefi,
}

/// The NIC of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    /// 82540EM.
    E1000,
    /// 82544GC.
    #[value(name = "e1000-82544gc")]
    #[serde(rename = "e1000-82544gc")]
    I82544gc,
    /// 82545EM.
    #[value(name = "e1000-82545em")]
    #[serde(rename = "e1000-82545em")]
    I82545em,
    /// 82574L.
    E1000e,
    /// 82576, which QEMU has since 8.0.
    Igb,
}

/// How the NIC is to tell the kernel that there is work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interrupts {
    /// Not at all: the kernel polls.
    #[default]
    None,
    /// By the line of its slot.
    Intx,
    /// By one message.
    Msi,
    /// By messages from a table of its own.
    Msix,
}

/// The digests that the session must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// Neither.
    None,
    /// CRC32C over headers.
    Header,
    /// CRC32C over data.
    Data,
    /// Both.
    Both,
}

/// Who starts the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Firmware and iPXE: `sanhook` writes the table, `kernel` starts the image.
    Ipxe,
    /// QEMU itself, with a table of ours.
    Direct,
}

/// The target to boot from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetChoice {
    /// istgt, started for the run.
    Istgt,
    /// The target built into the tests, started for the run.
    Builtin,
    /// Somebody else's; it is only read.
    External(ExternalTarget),
}

/// A target that is there already: `iscsi:ADDRESS:[6]:[PORT]:[LUN]:NAME`, as in a root path of
/// RFC 4173. The address is as the guest sees it: 10.0.2.2 is the host's loopback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExternalTarget {
    /// Where it listens.
    pub address: IpAddr,
    /// Its TCP port.
    pub port: u16,
    /// The LUN that iPXE hooks.
    pub lun: String,
    /// Its iSCSI name.
    pub name: String,
}

/// The version of IP that the guest speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ip {
    /// IPv4.
    #[default]
    V4,
    /// IPv6, which needs a table of ours.
    V6,
}

/// CHAP, in a table of ours and at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chap {
    /// The initiator proves itself.
    OneWay,
    /// Both prove themselves.
    Mutual,
}

/// How a table of ours differs from the right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableFault {
    /// Not at all.
    #[default]
    Right,
    /// There is none.
    Absent,
    /// Its bytes do not sum to zero.
    BadChecksum,
    /// Its NIC has a MAC address that no NIC of the machine has.
    OtherMac,
    /// It gives no address, so the guest must ask by DHCP.
    NoAddress,
    /// It names a target that the portal does not have.
    OtherTarget,
    /// Its CHAP secret is not the target's.
    OtherSecret,
    /// The target's CHAP secret in it is another than the target has.
    OtherTargetSecret,
}

/// What the world does to the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbance {
    /// Nothing.
    #[default]
    Nothing,
    /// The cable is out from the start.
    LinkDown,
    /// There is link, but nobody else on the wire.
    NobodyAnswers,
    /// Nobody listens on the target's port.
    TargetRefuses,
    /// The target ends while the read runs.
    TargetDies,
    /// The switch takes the frames of the VLAN, and forgets the tag of those that it brings.
    TagForgotten,
    /// The target takes no digest; the built-in one can be told so.
    DigestRefused,
    /// The processor has no local APIC.
    NoLocalApic,
    /// The processor has no random numbers.
    NoEntropy,
    /// The processor has no random numbers, but the machine has a device for them, and firmware a
    /// driver for that.
    FirmwareEntropy,
    /// The kernel breaks the NIC's way to interrupt while it works; see [`Breakage`].
    Broken(Breakage),
}

/// What the kernel itself does to interrupts, on request: `demo.break=<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breakage {
    /// Messages go where nobody listens, from the start.
    NoMessages,
    /// Neither messages nor the line reach the processor, from the start.
    Deaf,
    /// It masks the MSI-X table's entries.
    MaskedVector,
    /// It writes another address into the MSI-X table's entries.
    LostVector,
    /// Its handler lets the interrupt line stay asserted.
    Storm,
}

/// Everything that one run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the machine starts.
    pub firmware: Firmware,
    /// Its NIC.
    pub nic: Nic,
    /// The digests asked for.
    pub digest: Digest,
    /// How the NIC is to interrupt.
    pub interrupts: Interrupts,
    /// Attach, log in and read once more after the detach.
    pub twice: bool,
    /// Who starts the kernel.
    pub start: Start,
    /// What it boots from.
    pub target: TargetChoice,
    /// CHAP, which needs a table of ours.
    pub chap: Option<Chap>,
    /// The version of IP.
    pub ip: Ip,
    /// The VLAN that the guest must speak in, which needs a table of ours.
    pub vlan: Option<u16>,
    /// Other NICs besides, which must be let alone; needs a table of ours.
    pub more_nics: bool,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Bytes of LUN 0, which is read whole.
    pub lun_bytes: u64,
    /// Bytes of a block at the target.
    pub block_bytes: u32,
    /// More words for the kernel's command line.
    pub words: Vec<String>,
    /// Where the kernel's images are.
    pub images: PathBuf,
    /// The QEMU to run; `None`: the one in PATH, or the newer one where the NIC needs it.
    pub qemu: Option<PathBuf>,
    /// Where a newer QEMU than that in PATH may be.
    pub newer_qemu: PathBuf,
    /// Where the files of the run go.
    pub directory: PathBuf,
    /// Leave image, log and capture.
    pub keep: bool,
    /// No run takes longer.
    pub limit: Duration,
    /// How the table is wrong.
    pub table_fault: TableFault,
    /// What is done to the run.
    pub disturbance: Disturbance,
}

/// One LUN as the run makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunPlan {
    /// Its size.
    pub bytes: u64,
    /// The seed of its content.
    pub seed: u64,
    /// Its serial number.
    pub serial: String,
    /// What the guest writes to it.
    pub write: Option<Written>,
}

impl Firmware {
    /// Memory that a machine must have, in MiB: UEFI needs most of it for itself.
    #[must_use]
    pub const fn least_memory_mib(self) -> u32 {
        match self {
            Self::Bios => 32,
            Self::Uefi => 256,
        }
    }

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

impl Nic {
    /// As on the command line, and QEMU's own name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::I82544gc => "e1000-82544gc",
            Self::I82545em => "e1000-82545em",
            Self::E1000e => "e1000e",
            Self::Igb => "igb",
        }
    }

    /// Whether QEMU's model is the one that receives nothing for a second after each write of RCTL.
    #[must_use]
    pub const fn pauses(self) -> bool {
        matches!(self, Self::E1000 | Self::I82544gc | Self::I82545em)
    }
}

impl Interrupts {
    /// As on the command line, and in the kernel's parameter and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Intx => "intx",
            Self::Msi => "msi",
            Self::Msix => "msix",
        }
    }
}

impl Breakage {
    /// As in the kernel's `demo.break`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMessages => "no-messages",
            Self::Deaf => "deaf",
            Self::MaskedVector => "masked-vector",
            Self::LostVector => "lost-vector",
            Self::Storm => "storm",
        }
    }
}

impl Digest {
    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Header => "header",
            Self::Data => "data",
            Self::Both => "both",
        }
    }

    /// Whether headers are to be covered.
    #[must_use]
    pub const fn header(self) -> bool {
        matches!(self, Self::Header | Self::Both)
    }

    /// Whether data is to be covered.
    #[must_use]
    pub const fn data(self) -> bool {
        matches!(self, Self::Data | Self::Both)
    }

    /// The value of a digest parameter or key.
    #[must_use]
    pub const fn value(on: bool) -> &'static str {
        if on { "crc32c" } else { "none" }
    }
}

impl TargetChoice {
    /// Whether the run makes the LUNs, and so knows every byte of them.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        !matches!(self, Self::External(_))
    }
}

impl fmt::Display for TargetChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Istgt => out.write_str("istgt"),
            Self::Builtin => out.write_str("builtin"),
            Self::External(target) => write!(
                out,
                "iscsi:{}:6:{}:{}:{}",
                target.address, target.port, target.lun, target.name
            ),
        }
    }
}

impl FromStr for TargetChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = match text {
            "istgt" => return Ok(Self::Istgt),
            "builtin" => return Ok(Self::Builtin),
            _ => text.strip_prefix("iscsi:").ok_or_else(|| {
                "a target is `istgt`, `builtin` or `iscsi:ADDRESS::PORT:LUN:NAME`".to_owned()
            })?,
        };
        // An IPv6 address stands in brackets, so that its colons are its own.
        let (address, rest) = match path.strip_prefix('[') {
            Some(path) => path.split_once("]:"),
            None => path.split_once(':'),
        }
        .ok_or("after the address comes `:`")?;
        let mut parts = rest.splitn(4, ':');
        let mut part = || parts.next().ok_or("there are fewer than five parts between colons");
        let protocol = part()?;
        if !matches!(protocol, "" | "6" | "0x6" | "tcp") {
            return Err(format!("iSCSI runs over TCP (6), not over `{protocol}`"));
        }
        let port = match part()? {
            "" => 3260,
            port => port.parse().map_err(|error| format!("the port `{port}`: {error}"))?,
        };
        let lun = match part()? {
            "" => "0",
            lun => lun,
        };
        let name = part()?;
        if name.is_empty() {
            return Err("the target's name is missing at the end".to_owned());
        }
        let address =
            address.parse().map_err(|error| format!("the address `{address}`: {error}"))?;
        Ok(Self::External(ExternalTarget {
            address,
            port,
            lun: lun.to_owned(),
            name: name.to_owned(),
        }))
    }
}

impl Plan {
    /// The LUNs that the run makes: one to read whole, one to write into, and a small one that
    /// must be listed all the same.
    #[must_use]
    pub fn luns(&self) -> Vec<LunPlan> {
        if !self.target.is_ours() {
            return Vec::new();
        }
        let block = u64::from(self.block_bytes);
        let write_to = (self.lun_bytes / 2).max(32 * MIB);
        let write = Written {
            offset: WRITE_OFFSET_BLOCKS * block,
            bytes: WRITE_BYTES + 3 * block,
            seed: 0x6973_626f_6f74,
        };
        let lun = |number: u64, bytes, write| LunPlan {
            bytes,
            seed: (number + 1) << 48,
            serial: format!("ISBOOT-LUN-{number}"),
            write,
        };
        vec![lun(0, self.lun_bytes, None), lun(1, write_to, Some(write)), lun(2, 8 * MIB, None)]
    }

    /// Everything on the kernel's command line.
    #[must_use]
    pub fn kernel_words(&self) -> Vec<String> {
        let mut words = vec![
            format!("isboot.header_digest={}", Digest::value(self.digest.header())),
            format!("isboot.data_digest={}", Digest::value(self.digest.data())),
            format!("isboot.interrupts={}", self.interrupts.name()),
            "demo.read=0".to_owned(),
        ];
        for (number, lun) in self.luns().iter().enumerate() {
            if let Some(Written { offset, bytes, seed }) = lun.write {
                words.push(format!("demo.write={number},{offset},{bytes},{seed}"));
            }
        }
        if self.has_firmware_nic() {
            words.push(format!("isboot.nic=00:{NIC_SLOT:02x}.0"));
        }
        if self.twice {
            words.push("demo.twice=yes".to_owned());
        }
        if let Disturbance::Broken(breakage) = self.disturbance {
            words.push(format!("demo.break={}", breakage.name()));
        }
        words.extend(self.words.iter().cloned());
        words
    }

    /// Whether firmware and iPXE use a NIC of their own: iPXE's driver gives an 82576 legacy
    /// descriptors, which QEMU's igb does not serve, and waits for a link that its PHY was not told
    /// to negotiate. The kernel is told then to use the other NIC than the table names.
    #[must_use]
    pub fn has_firmware_nic(&self) -> bool {
        self.nic == Nic::Igb && self.start == Start::Ipxe
    }

    /// The function of the NIC: the second of a board, where there are others.
    #[must_use]
    pub fn nic_function(&self) -> u8 {
        self.more_nics.into()
    }

    /// The guest's address in a table of ours, and its prefix.
    #[must_use]
    pub fn guest_address(&self) -> (IpAddr, u8) {
        match self.ip {
            Ip::V4 => (GUEST_ADDRESS.into(), 24),
            Ip::V6 => (GUEST_ADDRESS_V6.into(), 64),
        }
    }

    /// The host, as the guest sees it: its router, and the targets that are ours.
    #[must_use]
    pub fn host_address(&self) -> IpAddr {
        match self.ip {
            Ip::V4 => HOST_ADDRESS.into(),
            Ip::V6 => HOST_ADDRESS_V6.into(),
        }
    }

    /// Whether every frame that comes while the guest sleeps must wake it.
    #[must_use]
    pub const fn loses_no_interrupt(&self) -> bool {
        !matches!(self.disturbance, Disturbance::Broken(_))
    }

    /// How the NIC interrupts at first, and when the work is done: what was asked for, unless
    /// that cannot be had, or breaks.
    #[must_use]
    pub fn expected_modes(&self) -> (Interrupts, Interrupts) {
        let asked = self.interrupts;
        match self.disturbance {
            Disturbance::NoLocalApic | Disturbance::Broken(Breakage::Deaf) => {
                (Interrupts::None, Interrupts::None)
            }
            Disturbance::Broken(Breakage::NoMessages) => (Interrupts::Intx, Interrupts::Intx),
            Disturbance::Broken(Breakage::LostVector) => (asked, Interrupts::Msi),
            Disturbance::Broken(Breakage::Storm) => (asked, Interrupts::None),
            _ => (asked, asked),
        }
    }

    /// The command that repeats this run.
    #[must_use]
    pub fn command(&self) -> String {
        format!(
            "cargo xtask boot --firmware {} --nic {} --digest {} --target {}{}",
            self.firmware.name(),
            self.nic.name(),
            self.digest.name(),
            self.target,
            self.further_options()
        )
    }

    /// The options besides firmware, NIC, digest and target, each after a space.
    #[must_use]
    pub fn further_options(&self) -> String {
        let mut command = String::new();
        if let Some(qemu) = &self.qemu {
            command.push_str(&format!(" --qemu {}", qemu.display()));
        }
        if self.start == Start::Direct {
            command.push_str(" --start direct");
        }
        if self.interrupts != Interrupts::None {
            command.push_str(&format!(" --interrupts {}", self.interrupts.name()));
        }
        if self.twice {
            command.push_str(" --twice");
        }
        match self.chap {
            Some(Chap::OneWay) => command.push_str(" --chap one-way"),
            Some(Chap::Mutual) => command.push_str(" --chap mutual"),
            None => {}
        }
        if self.ip == Ip::V6 {
            command.push_str(" --ip v6");
        }
        if let Some(vlan) = self.vlan {
            command.push_str(&format!(" --vlan {vlan}"));
        }
        if self.more_nics {
            command.push_str(" --more-nics");
        }
        if self.block_bytes != 512 {
            command.push_str(&format!(" --block-size {}", self.block_bytes));
        }
        if self.lun_bytes != 64 * MIB {
            command.push_str(&format!(" --lun-size {}", self.lun_bytes));
        }
        if !self.words.is_empty() {
            command.push_str(" -- ");
            command.push_str(&self.words.join(" "));
        }
        command
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn plan() -> Plan {
        Plan {
            firmware: Firmware::Bios,
            nic: Nic::E1000,
            digest: Digest::Header,
            interrupts: Interrupts::None,
            twice: false,
            start: Start::Ipxe,
            target: TargetChoice::Istgt,
            chap: None,
            ip: Ip::V4,
            vlan: None,
            more_nics: false,
            memory_mib: 32,
            lun_bytes: 64 * MIB,
            block_bytes: 512,
            words: Vec::new(),
            images: PathBuf::from("images"),
            qemu: None,
            newer_qemu: PathBuf::from("qemu"),
            directory: PathBuf::from("run"),
            keep: false,
            limit: Duration::from_secs(300),
            table_fault: TableFault::Right,
            disturbance: Disturbance::Nothing,
        }
    }

    #[test]
    fn root_paths_are_read() {
        let target: TargetChoice =
            "iscsi:10.0.2.2::3261:1:iqn.2001-04.com.example:disk".parse().unwrap();
        let TargetChoice::External(external) = &target else { panic!("{target:?}") };
        assert_eq!(external.address, IpAddr::from([10, 0, 2, 2]));
        assert_eq!((external.port, external.lun.as_str()), (3261, "1"));
        assert_eq!(external.name, "iqn.2001-04.com.example:disk");
        assert_eq!(target.to_string().parse(), Ok(target));

        let short: TargetChoice = "iscsi:[fec0::2]::::iqn.x:y".parse().unwrap();
        assert!(matches!(short, TargetChoice::External(target)
            if target.port == 3260 && target.lun == "0" && target.address.is_ipv6()));
    }

    #[test]
    fn what_is_no_root_path_is_said() {
        for (text, word) in [
            ("lio", "istgt"),
            ("iscsi:10.0.2.2", "after the address"),
            ("iscsi:10.0.2.2:17:3260:0:iqn.x", "TCP"),
            ("iscsi:10.0.2.2::port:0:iqn.x", "port"),
            ("iscsi:10.0.2.2::3260:0:", "name"),
            ("iscsi:10.0.2.2::3260", "fewer"),
            ("iscsi:somewhere::3260:0:iqn.x", "somewhere"),
        ] {
            let error = text.parse::<TargetChoice>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn the_write_is_long_unaligned_and_inside_its_lun() {
        for block_bytes in [512, 4096] {
            let plan = Plan { block_bytes, ..plan() };
            let luns = plan.luns();
            assert!(luns[0].bytes >= 64 * MIB && luns.len() >= 2);
            let write = luns[1].write.unwrap();
            assert!(write.bytes >= 16 * MIB && write.offset + write.bytes < luns[1].bytes);
            assert_eq!(
                (write.offset % u64::from(block_bytes), write.bytes % u64::from(block_bytes)),
                (0, 0)
            );
            for burst in [8192, 65_536, 262_144] {
                assert!(!write.offset.is_multiple_of(burst) && !write.bytes.is_multiple_of(burst));
            }
        }
    }

    #[test]
    fn the_kernel_is_asked_for_exactly_the_digests() {
        let words = |digest| Plan { digest, ..plan() }.kernel_words().join(" ");
        assert!(
            words(Digest::Header).contains("isboot.header_digest=crc32c isboot.data_digest=none")
        );
        assert!(
            words(Digest::Data).contains("isboot.header_digest=none isboot.data_digest=crc32c")
        );
        assert!(words(Digest::None).contains("demo.write=1,633344,16778752,"));
    }
}
