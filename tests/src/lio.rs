//! Linux's own target, LIO, in a guest: the kernel's modules, set up through configfs.
//!
//! The LUNs are virtio disks of the guest over files of the host, so that what was written can be
//! looked at from the outside. Killing the rig is pulling the plug of the machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::istgt::Authentication;
use crate::linux_guest::{LinuxGuest, RunningGuest};
use crate::ports::free_port;
use crate::process::RigError;

/// The target's iSCSI name.
pub const TARGET_NAME: &str = "iqn.2026-11.org.example:lio";

/// A guest under emulation boots in seconds, on a loaded machine in many.
const START: Duration = Duration::from_secs(180);
/// What the guest's script prints when the target listens.
const READY: &str = "@lio listens";

/// What differs from LIO's defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files below the portal group's `param` folder and their contents: keys of RFC 7143 §13.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// Who may log in.
    pub authentication: Authentication,
}

/// One LUN: a file, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Lun {
    /// The file, whose size is the LUN's. An absolute path.
    pub image: PathBuf,
    /// Unit serial number (VPD page 80h).
    pub serial: String,
}

/// The guest has no modprobe: what LIO asks for by name is loaded before.
const MODULES: [&str; 10] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "crc32c_generic",
    "md5",
    "sha1_generic",
    "sha256_generic",
    "sha3_generic",
    "target_core_iblock",
    "iscsi_target_mod",
];

/// A running guest; dropping it ends it.
#[derive(Debug)]
pub struct Lio {
    port: u16,
    luns: Vec<Lun>,
    options: Options,
    guest: Option<RunningGuest>,
}

impl Lio {
    /// Boots a guest that serves `luns` as LUN 0, 1, …; returns when the target listens.
    ///
    /// # Errors
    /// [`RigError::Missing`] when QEMU or busybox is not installed, otherwise what went wrong.
    pub fn start(luns: &[Lun], options: &Options) -> Result<Self, RigError> {
        let port =
            free_port().map_err(|e| RigError::Failed(format!("finding a free port: {e}")))?;
        let (luns, options) = (luns.to_owned(), options.clone());
        let mut lio = Self { port, luns, options, guest: None };
        lio.plug_in()?;
        lio.wait()?;
        Ok(lio)
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn portal(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The machine is gone at once.
    pub fn pull_the_plug(&mut self) {
        self.guest = None;
    }

    /// The machine boots again; [`wait`](Self::wait) tells when the target listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn plug_in(&mut self) -> Result<(), RigError> {
        let network = format!("user,id=network,hostfwd=tcp:127.0.0.1:{}-:3260", self.port);
        let mut guest = LinuxGuest::new(&script(&self.luns, &self.options))
            .timeout(Duration::from_secs(3600))
            .qemu(&["-netdev", &network, "-device", "virtio-net-pci,netdev=network"]);
        for module in MODULES {
            guest = guest.module(module);
        }
        for lun in &self.luns {
            let image = lun.image.display();
            let drive = format!("file={image},format=raw,if=virtio,cache=writethrough");
            guest = guest.qemu(&["-drive", &drive]);
        }
        self.guest = None;
        self.guest = Some(guest.start()?);
        Ok(())
    }

    /// Console.
    pub fn log(&self) -> String {
        self.guest.as_ref().unwrap().log()
    }

    /// Waits until the target listens.
    ///
    /// # Errors
    /// When it does not, with the guest's console.
    pub fn wait(&self) -> Result<(), RigError> {
        match &self.guest {
            Some(guest) => guest.wait_for_within(READY, START),
            None => Err(RigError::Failed("the machine is not plugged in".to_owned())),
        }
    }
}

/// Sets the target up and then sleeps.
fn script(luns: &[Lun], options: &Options) -> String {
    let mut script = format!(
        "set -e\n\
         ifconfig lo 127.0.0.1 up\n\
         ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up\n\
         mount -t configfs none /sys/kernel/config\n\
         cd /sys/kernel/config/target\n\
         mkdir -p iscsi\n\
         group=iscsi/{TARGET_NAME}/tpgt_1\n\
         mkdir -p $group\n\
         echo 0 > $group/attrib/demo_mode_write_protect\n\
         echo 1 > $group/attrib/generate_node_acls\n\
         echo 1 > $group/attrib/cache_dynamic_acls\n"
    );
    for (number, lun) in luns.iter().enumerate() {
        let disk = char::from(b'a' + number as u8);
        let serial = &lun.serial;
        script += &format!(
            "mkdir -p core/iblock_{number}/disk\n\
             echo udev_path=/dev/vd{disk} > core/iblock_{number}/disk/control\n\
             echo 1 > core/iblock_{number}/disk/enable\n\
             echo {serial} > core/iblock_{number}/disk/wwn/vpd_unit_serial\n\
             mkdir -p $group/lun/lun_{number}\n\
             ln -s /sys/kernel/config/target/core/iblock_{number}/disk $group/lun/lun_{number}/disk\n"
        );
    }
    for (name, value) in &options.parameters {
        script += &format!("echo {value} > $group/param/{name}\n");
    }
    let authentication = match &options.authentication {
        Authentication::None => Vec::new(),
        Authentication::Chap { user, secret } => vec![("userid", user), ("password", secret)],
        Authentication::MutualChap { user, secret, target_user, target_secret } => vec![
            ("userid", user),
            ("password", secret),
            ("userid_mutual", target_user),
            ("password_mutual", target_secret),
        ],
    };
    let demanded = u8::from(!authentication.is_empty());
    script += &format!("echo {demanded} > $group/attrib/authentication\n");
    for (file, value) in authentication {
        script += &format!("echo -n {value} > $group/auth/{file}\n");
    }
    script += &format!(
        "mkdir -p $group/np/0.0.0.0:3260\n\
         echo 1 > $group/enable\n\
         echo '{READY}'\n\
         while true; do sleep 60; done\n"
    );
    script
}
