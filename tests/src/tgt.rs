//! The real tgt as a target for tests: one target with any number of disks on a free loopback port.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use crate::istgt::Authentication;
use crate::ports::{free_port, is_listening};
use crate::process::{Process, RigError, within};

/// The target's iSCSI name.
pub const TARGET_NAME: &str = "iqn.2026-11.org.example:tgt";
/// The vendor of every disk.
pub const VENDOR: &str = "ISBOOT";
/// The product of every disk.
pub const PRODUCT: &str = "tgt boot disk";
/// The revision of every disk.
pub const REVISION: &str = "0001";

/// tgtd answers within milliseconds; a loaded machine gets a hundred times that.
const START: Duration = Duration::from_secs(10);
/// Somebody may take the free port before tgtd does.
const PORT_ATTEMPTS: usize = 3;
const PACKAGE: &str = "tgt";

/// What differs from tgt's defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// Parameters of the target as `tgtadm` and RFC 7143 §13 name them, `InitialR2T` for one.
    ///
    /// A digest at `CRC32C`, the default here, is one that the initiator may choose; at `None`
    /// it is refused.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// Who may log in.
    pub authentication: Authentication,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parameters: vec![("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")],
            authentication: Authentication::None,
        }
    }
}

impl Options {
    /// The defaults and these parameters.
    #[must_use]
    pub fn with(parameters: &[(&'static str, &'static str)]) -> Self {
        let mut options = Self::default();
        options.parameters.extend(parameters);
        options
    }
}

/// One disk: a file, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Lun {
    /// The file, whose size is the LUN's. An absolute path.
    pub image: PathBuf,
    /// Unit serial number (VPD page 80h).
    pub serial: String,
    /// Bytes of a block.
    pub block_size: u32,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether blocks can be released.
    pub thin: bool,
}

/// A running tgtd; dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Tgt {
    directory: PathBuf,
    port: u16,
    luns: Vec<Lun>,
    options: Options,
    process: Process,
}

impl Tgt {
    /// Starts tgtd with `luns` as LUN 1, 2, … (LUN 0 is tgt's controller) and its control socket
    /// in `directory` (created here, removed on drop); returns when it listens.
    ///
    /// # Errors
    /// [`RigError::Missing`] when tgt is not installed, otherwise what tgtd or tgtadm said.
    pub fn start(directory: &Path, luns: &[Lun], options: &Options) -> Result<Self, RigError> {
        fs::create_dir_all(directory).map_err(|error| {
            RigError::Failed(format!("creating {}: {error}", directory.display()))
        })?;
        let mut attempt = 1;
        loop {
            let port = free_port()
                .map_err(|error| RigError::Failed(format!("finding a free port: {error}")))?;
            match launch(directory, port, luns, options) {
                Ok(process) => {
                    return Ok(Self {
                        directory: directory.to_owned(),
                        port,
                        luns: luns.to_owned(),
                        options: options.clone(),
                        process,
                    });
                }
                Err(RigError::Failed(_)) if attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => {
                    remove_files(directory);
                    return Err(error);
                }
            }
        }
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn portal(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Everything that it logged since the latest start.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How many connections are logged in.
    ///
    /// # Errors
    /// What tgtadm said.
    pub fn connections(&self) -> Result<usize, RigError> {
        let shown = tgtadm(&self.directory, "show", "conn", &["--tid", TARGET_ID])?;
        Ok(shown.matches("Connection:").count())
    }

    /// Ends tgtd at once, as a crash would: its connections are reset by the system.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts tgtd again on the same port with the same target, ending the running one.
    ///
    /// # Errors
    /// What tgtd or tgtadm said.
    pub fn restart(&mut self) -> Result<(), RigError> {
        self.process.kill();
        self.process = launch(&self.directory, self.port, &self.luns, &self.options)?;
        Ok(())
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        // SIGTERM is ignored for as long as there are targets.
        self.process.kill();
        remove_files(&self.directory);
    }
}

const TARGET_ID: &str = "1";
/// tgtd appends its control port, 0, to the socket's name.
const SOCKET: &str = "control";
const FILES: [&str; 2] = ["control.0", "control.0.lock"];

fn remove_files(directory: &Path) {
    for file in FILES {
        let _ = fs::remove_file(directory.join(file));
    }
    // Fails when the caller keeps files of its own there, which is as it should be.
    let _ = fs::remove_dir(directory);
}

/// Runs tgtd or tgtadm with a control socket that belongs to `directory` alone, whatever other
/// tgtd there is. A relative name: a Unix socket's path may be no longer than 107 bytes.
fn command(directory: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    // Debian puts both into /usr/sbin, which an unprivileged user's PATH may lack.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin"));
    command.env("TGT_IPC_SOCKET", SOCKET).current_dir(directory);
    command
}

fn launch(
    directory: &Path,
    port: u16,
    luns: &[Lun],
    options: &Options,
) -> Result<Process, RigError> {
    let _ = fs::remove_file(directory.join(FILES[0]));
    let mut daemon = command(directory, "tgtd");
    // It must have a portal from the start, so it gets one on a port that nobody knows: the real
    // one comes last, so that nobody finds a target that is not there yet.
    daemon.args(["-f", "--iscsi", "portal=127.0.0.1:0"]);
    let mut process = Process::spawn(daemon, PACKAGE)?;
    let mut ended = false;
    let answers = within(START, || {
        ended = process.exited().is_some();
        ended
            || directory.join(FILES[0]).exists() && tgtadm(directory, "show", "target", &[]).is_ok()
    });
    let outcome = if ended {
        Err(process.failed("ended instead of answering"))
    } else if !answers {
        Err(process.failed(&format!("did not answer within {START:?}")))
    } else {
        configure(directory, port, luns, options).and_then(|()| {
            let listens = is_listening(port);
            if listens { Ok(()) } else { Err(process.failed(&format!("ignores port {port}"))) }
        })
    };
    if let Err(error) = outcome {
        process.kill();
        return Err(error);
    }
    Ok(process)
}

fn configure(directory: &Path, port: u16, luns: &[Lun], options: &Options) -> Result<(), RigError> {
    let of_target = |operation, mode, words: &[&str]| {
        let words: Vec<&str> = ["--tid", TARGET_ID].iter().chain(words).copied().collect();
        tgtadm(directory, operation, mode, &words).map(drop)
    };
    of_target("new", "target", &["--targetname", TARGET_NAME])?;
    for (lun, number) in luns.iter().zip(1u32..) {
        let (number, block_size) = (number.to_string(), lun.block_size.to_string());
        let image = lun.image.to_string_lossy();
        let new = ["--lun", &number, "--backing-store", &image, "--bstype", "rdwr"];
        of_target("new", "logicalunit", &[&new[..], &["--blocksize", &block_size]].concat())?;
        let (read_only, thin) = (u8::from(lun.read_only), u8::from(lun.thin));
        let words = format!(
            "vendor_id={VENDOR},product_id={PRODUCT},product_rev={REVISION},scsi_sn={},readonly={read_only},thin_provisioning={thin}",
            lun.serial
        );
        of_target("update", "logicalunit", &["--lun", &number, "--params", &words])?;
    }
    for (name, value) in &options.parameters {
        of_target("update", "target", &["--name", name, "--value", value])?;
    }
    let account = |user: &str, secret: &str, bind: &[&str]| {
        tgtadm(directory, "new", "account", &["--user", user, "--password", secret])?;
        of_target("bind", "account", &[&["--user", user], bind].concat())
    };
    match &options.authentication {
        Authentication::None => {}
        Authentication::Chap { user, secret } => account(user, secret, &[])?,
        Authentication::MutualChap { user, secret, target_user, target_secret } => {
            account(user, secret, &[])?;
            account(target_user, target_secret, &["--outgoing"])?;
        }
    }
    of_target("bind", "target", &["--initiator-address", "ALL"])?;
    let portal = format!("portal=127.0.0.1:{port}");
    tgtadm(directory, "new", "portal", &["--param", &portal]).map(drop)
}

/// What tgtadm printed.
fn tgtadm(
    directory: &Path,
    operation: &str,
    mode: &str,
    words: &[&str],
) -> Result<String, RigError> {
    let mut command = command(directory, "tgtadm");
    command.args(["--lld", "iscsi", "--op", operation, "--mode", mode]).args(words);
    let mut process = Process::spawn(command, PACKAGE)?;
    let mut status = None;
    within(START, || {
        status = process.exited();
        status.is_some()
    });
    process.kill();
    match status {
        Some(status) if status.success() => Ok(process.log()),
        // Not the words themselves: there may be a secret among them.
        Some(_) => Err(process.failed(&format!("refused `--op {operation} --mode {mode}`"))),
        None => Err(process
            .failed(&format!("took longer than {START:?} for `--op {operation} --mode {mode}`"))),
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
        Lun { image, serial: name.to_owned(), block_size: 512, read_only: false, thin: false }
    }

    #[test]
    fn it_listens_restarts_on_its_port_and_leaves_nothing() {
        let scratch = Scratch::beside_the_test();
        let images = scratch.path();
        let own = images.join("tgt");
        let luns = [lun(images, "one", 1 << 20), lun(images, "two", 2 << 20)];
        let mut target = Tgt::start(&own, &luns, &Options::default()).unwrap();
        let portal = target.portal();
        assert!(TcpStream::connect(portal).is_ok());
        assert_eq!(target.connections().unwrap(), 0);
        let shown = tgtadm(&own, "show", "target", &[]).unwrap();
        for text in [TARGET_NAME, "LUN: 2", "SCSI SN: two", "Size: 2 MB"] {
            assert!(shown.contains(text), "{text} in {shown}");
        }

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
    fn what_it_refuses_is_an_error_that_keeps_secrets() {
        let scratch = Scratch::beside_the_test();
        let images = scratch.path();
        let own = images.join("tgt");
        let missing = Lun { image: images.join("absent"), ..lun(images, "one", 1 << 20) };
        let error = Tgt::start(&own, &[missing], &Options::default()).unwrap_err();
        assert!(error.to_string().contains("--op new --mode logicalunit"), "{error}");
        assert!(!own.exists());
        let options = Options::with(&[("NoSuchParameter", "hidden")]);
        let error = Tgt::start(&own, &[], &options).unwrap_err();
        assert!(error.to_string().contains("--op update --mode target"), "{error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}
