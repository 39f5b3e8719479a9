//! The real istgt as a target for tests: a unit with any number of LUNs on a free loopback port.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::ports::{free_port, is_listening_at};
use crate::process::{Process, RigError, within};

/// The name that istgt puts before the unit's own.
const NODE_BASE: &str = "iqn.2007-09.jp.ne.peach.istgt";
/// istgt listens within milliseconds; a loaded machine gets a hundred times that.
const START: Duration = Duration::from_secs(10);
/// Somebody may take the free port before istgt does.
const PORT_ATTEMPTS: usize = 3;

/// What istgt says in every INQUIRY of the unit.
pub const VENDOR: &str = "ISBOOT";
/// The product of every LUN.
pub const PRODUCT: &str = "istgt boot disk";
/// The revision of every LUN.
pub const REVISION: &str = "0001";

/// One unit of istgt. Start from [`Default`] and name what differs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the unit, after the node base.
    pub unit: String,
    /// Which digests the target takes.
    pub digest: DigestPolicy,
    /// Who may log in.
    pub authentication: Authentication,
    /// `ReadOnly Yes`: every LUN of the unit is write-protected.
    pub read_only: bool,
    /// Bytes of a block: 512, 1024, 2048 or 4096.
    pub block_length: u32,
    /// Commands that it takes at once (0 turns queuing off).
    pub queue_depth: u8,
    /// `ImmediateData` as it proposes it.
    pub immediate_data: bool,
    /// `FirstBurstLength` in bytes.
    pub first_burst_length: u32,
    /// `MaxBurstLength` in bytes.
    pub max_burst_length: u32,
    /// `MaxRecvDataSegmentLength` in bytes.
    pub max_recv_data_segment_length: u32,
    /// Seconds between its NOP-Ins when idle.
    pub nop_in_interval: u32,
    /// Address to listen on.
    pub address: Ipv4Addr,
    /// Port to listen on; a free one of loopback when there is none.
    pub port: Option<u16>,
    /// Listen on IPv6's loopback, too.
    pub ipv6: bool,
    /// Another unit, with a target name of its own: its name, and its LUN 0.
    pub other_unit: Option<(String, Lun)>,
    /// glibc keeps what istgt frees. By itself it gives a session's memory back with each command, to
    /// be faulted in again with the next, or it does not: as the last of its heap happens to lie.
    pub keeps_memory: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unit: "disk1".to_owned(),
            digest: DigestPolicy::Auto,
            authentication: Authentication::None,
            read_only: false,
            block_length: 512,
            queue_depth: 32,
            immediate_data: true,
            first_burst_length: 65_536,
            max_burst_length: 262_144,
            max_recv_data_segment_length: 262_144,
            nop_in_interval: 20,
            address: Ipv4Addr::LOCALHOST,
            port: None,
            ipv6: false,
            other_unit: None,
            keeps_memory: false,
        }
    }
}

/// `UseDigest` of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestPolicy {
    /// The initiator chooses.
    Auto,
    /// Header digest on whatever the initiator offers.
    Header,
    /// Data digest on whatever the initiator offers.
    Data,
    /// Both on whatever the initiator offers.
    HeaderData,
}

/// `AuthMethod` of the unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Everybody, without CHAP.
    #[default]
    None,
    /// CHAP, the initiator shows that it knows the secret.
    Chap {
        /// CHAP name of the initiator.
        user: String,
        /// Its secret.
        secret: String,
    },
    /// CHAP both ways.
    MutualChap {
        /// CHAP name of the initiator.
        user: String,
        /// Its secret.
        secret: String,
        /// CHAP name of the target.
        target_user: String,
        /// Its secret.
        target_secret: String,
    },
}

/// One LUN: a file, and the serial number that it answers.
#[derive(Clone, Debug)]
pub struct Lun {
    /// The file, whose size is the LUN's.
    pub image: PathBuf,
    /// Unit serial number (VPD page 80h).
    pub serial: String,
}

/// A running istgt; dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Istgt {
    directory: PathBuf,
    target_name: String,
    portal: SocketAddrV4,
    process: Process,
    keeps_memory: bool,
    /// Logs of the processes before a restart.
    earlier_log: String,
}

impl Istgt {
    /// Writes a configuration with `luns` as LUN 0, 1, … into `directory` (created here, removed
    /// on drop) and starts istgt on it; returns when it listens.
    ///
    /// # Errors
    /// [`RigError::Missing`] when istgt is not installed, otherwise what istgt said.
    pub fn start(directory: &Path, luns: &[Lun], options: &Options) -> Result<Self, RigError> {
        fs::create_dir_all(directory).map_err(|error| {
            RigError::Failed(format!("creating {}: {error}", directory.display()))
        })?;
        let mut attempt = 1;
        loop {
            let port = match options.port {
                Some(port) => port,
                None => free_port()
                    .map_err(|error| RigError::Failed(format!("finding a free port: {error}")))?,
            };
            write_configuration(directory, port, luns, options).map_err(|error| {
                RigError::Failed(format!(
                    "writing istgt's configuration to {}: {error}",
                    directory.display()
                ))
            })?;
            let portal = SocketAddrV4::new(options.address, port);
            match launch(directory, portal, options.keeps_memory) {
                Ok(process) => {
                    return Ok(Self {
                        directory: directory.to_owned(),
                        target_name: Self::name_of(&options.unit),
                        portal,
                        process,
                        keeps_memory: options.keeps_memory,
                        earlier_log: String::new(),
                    });
                }
                Err(RigError::Failed(_)) if options.port.is_none() && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn portal(&self) -> SocketAddr {
        self.portal.into()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The iSCSI name of the unit.
    #[must_use]
    pub fn target_name(&self) -> &str {
        &self.target_name
    }

    /// The iSCSI name of a unit of this name, as of [`Options::other_unit`].
    #[must_use]
    pub fn name_of(unit: &str) -> String {
        format!("{NODE_BASE}:{unit}")
    }

    /// Everything that it logged, restarts included: one line for each login and logout, with
    /// the digests of the session.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}{}", self.earlier_log, self.process.log())
    }

    /// Whether the log holds `text` so far.
    #[must_use]
    pub fn log_contains(&self, text: &str) -> bool {
        self.earlier_log.contains(text) || self.process.log_contains(text)
    }

    /// Waits until the log holds `text`; false when `limit` passed first.
    #[must_use]
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> bool {
        within(limit, || self.log_contains(text))
    }

    /// Ends istgt in good order.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends istgt at once, as a crash would: its connections are reset by the system.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts istgt again on the same port with the same configuration, ending the running one.
    ///
    /// # Errors
    /// What istgt said.
    pub fn restart(&mut self) -> Result<(), RigError> {
        self.process.stop();
        self.earlier_log.push_str(&self.process.log());
        self.process = launch(&self.directory, self.portal, self.keeps_memory)?;
        Ok(())
    }
}

impl Drop for Istgt {
    fn drop(&mut self) {
        self.process.stop();
        for file in FILES {
            let _ = fs::remove_file(self.directory.join(file));
        }
        // Fails when the caller keeps files of its own there, which is as it should be.
        let _ = fs::remove_dir(&self.directory);
    }
}

const CONFIGURATION: &str = "istgt.conf";
const SECRETS: &str = "auth.conf";
const PID_FILE: &str = "istgt.pid";
const FILES: [&str; 3] = [CONFIGURATION, SECRETS, PID_FILE];
/// mallopt(3): no heap is trimmed, it grows by 16 MiB, and no command's data has a mapping of its own.
const KEEPING_MEMORY: [(&str, &str); 3] = [
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "16777216"),
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
];

fn launch(directory: &Path, portal: SocketAddrV4, keeps_memory: bool) -> Result<Process, RigError> {
    let mut command = Command::new("istgt");
    // Debian puts it into /usr/sbin, which an unprivileged user's PATH may lack.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin"));
    command.arg("-c").arg(directory.join(CONFIGURATION)).arg("-D");
    if keeps_memory {
        command.envs(KEEPING_MEMORY);
    }
    let mut process = Process::spawn(command, "istgt")?;
    let mut ended = false;
    let listens = within(START, || {
        ended = process.exited().is_some();
        ended || is_listening_at(*portal.ip(), portal.port())
    });
    if ended {
        process.kill();
        return Err(process.failed("ended instead of listening"));
    }
    if !listens {
        process.kill();
        return Err(process.failed(&format!("did not listen on {portal} within {START:?}")));
    }
    Ok(process)
}

fn write_configuration(
    directory: &Path,
    port: u16,
    luns: &[Lun],
    options: &Options,
) -> std::io::Result<()> {
    let secrets = directory.join(SECRETS);
    fs::write(&secrets, secrets_text(&options.authentication))?;
    // istgt refuses a file of secrets that others can read.
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600))?;
    fs::write(directory.join(CONFIGURATION), configuration_text(directory, port, luns, options))
}

fn configuration_text(directory: &Path, port: u16, luns: &[Lun], options: &Options) -> String {
    let directory = directory.display();
    let mut text = format!(
        "[Global]\n\
         \x20 NodeBase \"{NODE_BASE}\"\n\
         \x20 PidFile \"{directory}/{PID_FILE}\"\n\
         \x20 AuthFile \"{directory}/{SECRETS}\"\n\
         \x20 LogFacility \"local7\"\n\
         \x20 Timeout 30\n\
         \x20 NopInInterval {nop_in_interval}\n\
         \x20 DiscoveryAuthMethod Auto\n\
         \x20 MaxSessions 32\n\
         \x20 MaxConnections 4\n\
         {terms}\
         [UnitControl]\n\
         [PortalGroup1]\n\
         \x20 Portal DA1 {address}:{port}\n\
         {portal_v6}\
         [InitiatorGroup1]\n\
         \x20 InitiatorName \"ALL\"\n\
         \x20 Netmask {address}/8\n\
         {netmask_v6}",
        portal_v6 =
            if options.ipv6 { format!("  Portal DA2 [::1]:{port}\n") } else { String::new() },
        netmask_v6 = if options.ipv6 { "  Netmask [::1]/128\n" } else { "" },
        address = options.address,
        nop_in_interval = options.nop_in_interval,
        terms = terms_text(options),
    );
    text += &unit_text(1, &options.unit, luns, options);
    if let Some((unit, lun)) = &options.other_unit {
        text += &unit_text(2, unit, std::slice::from_ref(lun), options);
    }
    text
}

/// What it answers in a login; it wants to be told both of all units and of each.
fn terms_text(options: &Options) -> String {
    format!(
        "  FirstBurstLength {}\n  MaxBurstLength {}\n  MaxRecvDataSegmentLength {}\n  \
         InitialR2T Yes\n  ImmediateData {}\n",
        options.first_burst_length,
        options.max_burst_length,
        options.max_recv_data_segment_length,
        yes_no(options.immediate_data),
    )
}

const fn yes_no(on: bool) -> &'static str {
    if on { "Yes" } else { "No" }
}

fn unit_text(number: u32, unit: &str, luns: &[Lun], options: &Options) -> String {
    let auth_method = match options.authentication {
        Authentication::None => "Auto",
        Authentication::Chap { .. } => "CHAP",
        Authentication::MutualChap { .. } => "CHAP Mutual",
    };
    let auth_group = match options.authentication {
        Authentication::None => "None",
        _ => "AuthGroup1",
    };
    let digest = match options.digest {
        DigestPolicy::Auto => "Auto",
        DigestPolicy::Header => "Header",
        DigestPolicy::Data => "Data",
        DigestPolicy::HeaderData => "Header Data",
    };
    let mut text = format!(
        "[LogicalUnit{number}]\n\
         \x20 TargetName \"{unit}\"\n\
         \x20 Mapping PortalGroup1 InitiatorGroup1\n\
         \x20 AuthMethod {auth_method}\n\
         \x20 AuthGroup {auth_group}\n\
         \x20 UseDigest {digest}\n\
         \x20 ReadOnly {read_only}\n\
         \x20 UnitType Disk\n\
         \x20 UnitInquiry \"{VENDOR}\" \"{PRODUCT}\" \"{REVISION}\" \"ISBOOT-UNIT\"\n\
         \x20 BlockLength {block_length}\n\
         \x20 QueueDepth {queue_depth}\n\
         {terms}",
        read_only = yes_no(options.read_only),
        block_length = options.block_length,
        queue_depth = options.queue_depth,
        terms = terms_text(options),
    );
    for (number, lun) in luns.iter().enumerate() {
        let _ = write!(
            text,
            "  LUN{number} Storage \"{}\" Auto\n  LUN{number} Option Serial \"{}\"\n",
            lun.image.display(),
            lun.serial
        );
    }
    text
}

fn secrets_text(authentication: &Authentication) -> String {
    match authentication {
        Authentication::None => String::new(),
        Authentication::Chap { user, secret } => {
            format!("[AuthGroup1]\n  Auth \"{user}\" \"{secret}\"\n")
        }
        Authentication::MutualChap { user, secret, target_user, target_secret } => format!(
            "[AuthGroup1]\n  Auth \"{user}\" \"{secret}\" \"{target_user}\" \"{target_secret}\"\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::scratch::Scratch;

    fn lun(directory: &Path, name: &str, bytes: u64) -> Lun {
        let image = directory.join(name);
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        Lun { image, serial: name.to_owned() }
    }

    #[test]
    fn it_listens_logs_restarts_on_its_port_and_leaves_nothing() {
        let scratch = Scratch::beside_the_test();
        let images = scratch.path();
        let luns = [lun(images, "one", 1 << 20), lun(images, "two", 2 << 20)];
        let own = images.join("istgt");
        let mut target = Istgt::start(&own, &luns, &Options::default()).unwrap();
        let portal = target.portal();
        assert!(target.wait_for_log("LUN1 4096 blocks, 512 bytes/block", Duration::from_secs(2)));
        assert!(TcpStream::connect(portal).is_ok());
        assert_eq!(target.target_name(), "iqn.2007-09.jp.ne.peach.istgt:disk1");

        target.kill();
        assert!(TcpStream::connect(portal).is_err());
        target.restart().unwrap();
        assert_eq!(target.portal(), portal);
        assert!(TcpStream::connect(portal).is_ok());

        drop(target);
        assert!(TcpStream::connect(portal).is_err());
        assert!(!own.exists());
    }

    #[test]
    fn one_that_keeps_its_memory_is_told_so_again_after_a_restart() {
        let scratch = Scratch::beside_the_test();
        let luns = [lun(scratch.path(), "one", 1 << 20)];
        for keeps_memory in [false, true] {
            let options = Options { keeps_memory, ..Options::default() };
            let own = scratch.path().join("istgt");
            let mut target = Istgt::start(&own, &luns, &options).unwrap();
            let is_told = |target: &Istgt| {
                let told = fs::read(format!("/proc/{}/environ", target.id())).unwrap();
                let told = String::from_utf8_lossy(&told).into_owned();
                KEEPING_MEMORY.map(|(name, value)| told.contains(&format!("{name}={value}\0")))
            };
            assert_eq!(is_told(&target), [keeps_memory; 3]);
            target.restart().unwrap();
            assert_eq!(is_told(&target), [keeps_memory; 3]);
        }
    }

    #[test]
    fn a_configuration_that_it_refuses_is_an_error_with_its_words() {
        let scratch = Scratch::beside_the_test();
        let images = scratch.path();
        let missing = Lun { image: images.join("absent"), serial: "none".to_owned() };
        let error =
            Istgt::start(&images.join("istgt"), &[missing], &Options::default()).unwrap_err();
        assert!(error.to_string().contains("ended instead of listening"), "{error}");
    }

    #[test]
    fn secrets_go_into_a_file_that_only_the_owner_reads() {
        let scratch = Scratch::beside_the_test();
        let own = scratch.path();
        let options = Options {
            authentication: Authentication::MutualChap {
                user: "guest".to_owned(),
                secret: "guest-secret".to_owned(),
                target_user: "target".to_owned(),
                target_secret: "target-secret".to_owned(),
            },
            ..Options::default()
        };
        write_configuration(own, 3260, &[], &options).unwrap();
        let mode = fs::metadata(own.join(SECRETS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let configuration = fs::read_to_string(own.join(CONFIGURATION)).unwrap();
        assert!(configuration.contains("AuthMethod CHAP Mutual"));
        assert!(!configuration.contains("guest-secret"));
    }
}
