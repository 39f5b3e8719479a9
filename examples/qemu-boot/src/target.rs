//! The target of a run: what it is started as, what the guest must see of it, and what it noted
//! about the sessions.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use isboot_tests::istgt::{self, Istgt};
use isboot_tests::process::RigError;
use isboot_tests::target::{self as builtin, Credentials, DigestPolicy, Server};

use crate::disk_image;
use crate::plan::{Chap, Disturbance, Ip, LunPlan, Plan, Start, TargetChoice};

/// Name of the built-in target.
const BUILTIN_NAME: &str = "iqn.2026-01.org.isboot:builtin";
/// What its INQUIRY says of every LUN.
const BUILTIN_PRODUCT: &str = "built-in disk";

/// CHAP name and secret of the initiator.
pub const CHAP_INITIATOR: (&str, &str) = ("qemu-boot", "initiator-secret");
/// CHAP name and secret of the target.
pub const CHAP_TARGET: (&str, &str) = ("istgt-unit", "target-secret-");

/// A target for one run; dropping it ends what was started.
#[derive(Debug)]
pub struct Target {
    kind: Kind,
    address: IpAddr,
    port: u16,
    name: String,
}

#[derive(Debug)]
enum Kind {
    Istgt(Box<Istgt>),
    Builtin(Server),
    External,
}

/// What the guest must find on one LUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedLun {
    /// Vendor, product and revision of INQUIRY.
    pub vendor: &'static str,
    /// Product.
    pub product: &'static str,
    /// Revision.
    pub revision: &'static str,
    /// Unit serial number.
    pub serial: String,
    /// Bytes of a block.
    pub block_bytes: u32,
    /// How many blocks.
    pub blocks: u64,
    /// Write protection.
    pub read_only: bool,
}

/// One session in the target's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedSession {
    /// Target session identifying handle.
    pub tsih: u16,
    /// The initiator's name.
    pub initiator: String,
    /// Header digest on.
    pub header_digest: bool,
    /// Data digest on.
    pub data_digest: bool,
    /// It ended with a Logout.
    pub logged_out: bool,
}

impl Target {
    /// Makes the images and starts the target in `directory`.
    ///
    /// # Errors
    /// What is missing, or what did not work.
    pub fn start(plan: &Plan, directory: &Path) -> Result<Self, RigError> {
        match &plan.target {
            TargetChoice::External(target) => Ok(Self {
                kind: Kind::External,
                address: target.address,
                port: target.port,
                name: target.name.clone(),
            }),
            TargetChoice::Istgt => Self::start_istgt(plan, directory),
            TargetChoice::Builtin => Self::start_builtin(plan, directory),
        }
    }

    /// Its address, as the guest sees it.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its iSCSI name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it logged so far: text for people.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.kind {
            Kind::Istgt(istgt) => istgt.log(),
            Kind::Builtin(server) => format!("{:#?}\n", server.target().statistics()),
            Kind::External => String::new(),
        }
    }

    /// The sessions so far, in the order of their logins; `None` when it keeps no account that we
    /// can read.
    #[must_use]
    pub fn sessions(&self) -> Option<Vec<LoggedSession>> {
        match &self.kind {
            Kind::Istgt(istgt) => Some(istgt_sessions(&istgt.log())),
            Kind::Builtin(server) => Some(builtin_sessions(&server.target().statistics())),
            Kind::External => None,
        }
    }

    /// Rules of the protocol that the guest broke; `None` when nobody watches.
    #[must_use]
    pub fn violations(&self, start: Start) -> Option<Vec<String>> {
        let Kind::Builtin(server) = &self.kind else { return None };
        // The first connection is iPXE's, which is not on trial.
        let first = if start == Start::Ipxe { 2 } else { 1 };
        let violations = server.target().violations();
        let own = violations.iter().filter(|violation| violation.connection >= first);
        Some(own.map(ToString::to_string).collect())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        match &mut self.kind {
            Kind::Istgt(istgt) => istgt.kill(),
            Kind::Builtin(server) => server.crash(),
            Kind::External => {}
        }
    }

    fn start_istgt(plan: &Plan, directory: &Path) -> Result<Self, RigError> {
        let images = make_images(plan, directory)?.into_iter().zip(plan.luns());
        let luns: Vec<_> =
            images.map(|(image, lun)| istgt::Lun { image, serial: lun.serial }).collect();
        let (user, secret) = (CHAP_INITIATOR.0.to_owned(), CHAP_INITIATOR.1.to_owned());
        let options = istgt::Options {
            block_length: plan.block_bytes,
            ipv6: plan.ip == Ip::V6,
            authentication: match plan.chap {
                None => istgt::Authentication::None,
                Some(Chap::OneWay) => istgt::Authentication::Chap { user, secret },
                Some(Chap::Mutual) => istgt::Authentication::MutualChap {
                    user,
                    secret,
                    target_user: CHAP_TARGET.0.to_owned(),
                    target_secret: CHAP_TARGET.1.to_owned(),
                },
            },
            ..istgt::Options::default()
        };
        let mut istgt = Istgt::start(&directory.join("istgt"), &luns, &options)?;
        if plan.disturbance == Disturbance::TargetRefuses {
            istgt.stop();
        }
        Ok(Self {
            address: plan.host_address(),
            port: istgt.portal().port(),
            name: istgt.target_name().to_owned(),
            kind: Kind::Istgt(Box::new(istgt)),
        })
    }
}

impl Target {
    fn start_builtin(plan: &Plan, directory: &Path) -> Result<Self, RigError> {
        let failed = |error: std::io::Error| {
            RigError::Failed(format!("starting the built-in target: {error}"))
        };
        let initiator = Credentials::new(CHAP_INITIATOR.0, CHAP_INITIATOR.1);
        let target = Credentials::new(CHAP_TARGET.0, CHAP_TARGET.1);
        let mut builder = builtin::Target::builder(BUILTIN_NAME);
        builder = match plan.chap {
            None => builder,
            Some(Chap::OneWay) => builder.chap(initiator),
            Some(Chap::Mutual) => builder.mutual_chap(initiator, target),
        };
        if plan.disturbance == Disturbance::DigestRefused {
            builder = builder.digests(DigestPolicy::Refuse);
        }
        for (image, lun) in make_images(plan, directory)?.into_iter().zip(plan.luns()) {
            builder = builder.lun(
                builtin::Lun::file(image)
                    .map_err(failed)?
                    .identity(istgt::VENDOR, BUILTIN_PRODUCT, istgt::REVISION)
                    .serial(&lun.serial)
                    .block_size(plan.block_bytes),
            );
        }
        let loopback = if plan.ip == Ip::V6 { "[::1]:0" } else { "127.0.0.1:0" };
        let mut server = builder.build().serve(loopback).map_err(failed)?;
        if plan.disturbance == Disturbance::TargetRefuses {
            server.stop_listening();
        }
        Ok(Self {
            address: plan.host_address(),
            port: server.port(),
            name: BUILTIN_NAME.to_owned(),
            kind: Kind::Builtin(server),
        })
    }
}

/// Makes the image of each LUN.
fn make_images(plan: &Plan, directory: &Path) -> Result<Vec<PathBuf>, RigError> {
    let make = |(number, lun): (usize, &LunPlan)| {
        let image = image_path(directory, number);
        match disk_image::create(&image, lun.bytes, lun.seed) {
            Ok(()) => Ok(image),
            Err(error) => {
                Err(RigError::Failed(format!("making the disk image {}: {error}", image.display())))
            }
        }
    };
    plan.luns().iter().enumerate().map(make).collect()
}

/// Where the image of a LUN is.
#[must_use]
pub fn image_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("lun{number}.img"))
}

/// What the guest must find, one entry for each LUN from 0.
#[must_use]
pub fn expected_luns(plan: &Plan) -> Vec<ExpectedLun> {
    let expected = |lun: &LunPlan| ExpectedLun {
        vendor: istgt::VENDOR,
        product: if plan.target == TargetChoice::Builtin {
            BUILTIN_PRODUCT
        } else {
            istgt::PRODUCT
        },
        revision: istgt::REVISION,
        serial: lun.serial.clone(),
        block_bytes: plan.block_bytes,
        blocks: lun.bytes / u64::from(plan.block_bytes),
        read_only: false,
    };
    plan.luns().iter().map(expected).collect()
}

/// The sessions by the built-in target's account, which knows the last one only.
fn builtin_sessions(statistics: &builtin::Statistics) -> Vec<LoggedSession> {
    let Some(login) = &statistics.last_login else { return Vec::new() };
    let last = LoggedSession {
        tsih: login.tsih,
        initiator: login.initiator.clone(),
        header_digest: login.parameters.header_digest,
        data_digest: login.parameters.data_digest,
        // iPXE never logs out.
        logged_out: statistics.logouts > 0,
    };
    let logins = usize::try_from(statistics.logins).unwrap_or(usize::MAX);
    vec![last; logins]
}

/// The sessions in istgt's log, in the order of their logins.
#[must_use]
pub fn istgt_sessions(log: &str) -> Vec<LoggedSession> {
    let mut sessions: Vec<LoggedSession> = Vec::new();
    for line in log.lines() {
        if let Some(session) = line.strip_prefix("Login from ").and_then(istgt_session) {
            sessions.push(session);
        } else if let Some(ended) = line.strip_prefix("Logout from ").and_then(istgt_session) {
            for session in sessions.iter_mut().filter(|session| session.tsih == ended.tsih) {
                session.logged_out = true;
            }
        }
    }
    sessions
}

fn istgt_session(line: &str) -> Option<LoggedSession> {
    let (initiator, rest) = line.split_once(" (")?;
    let value = |key: &str| {
        let (_, after) = rest.split_once(key)?;
        Some(after.split([',', ' ']).next().unwrap_or(after))
    };
    Some(LoggedSession {
        tsih: value("TSIH=")?.parse().ok()?,
        initiator: initiator.to_owned(),
        header_digest: value("HeaderDigest=")? == "on",
        data_digest: value("DataDigest=")? == "on",
        logged_out: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
istgt version 0.4 (20111008)
normal mode
Login from iqn.a:ipxe (127.0.0.1) on iqn.t:disk1 LU1 (127.0.0.1:13260,1), ISID=1, TSIH=1, CID=0, HeaderDigest=off, DataDigest=off
Login from iqn.a:guest (127.0.0.1) on iqn.t:disk1 LU1 (127.0.0.1:13260,1), ISID=2, TSIH=2, CID=0, HeaderDigest=on, DataDigest=off
istgt_iscsi.c:5223:worker: ***ERROR*** conn->state = 2
Logout from iqn.a:guest (127.0.0.1) on iqn.t:disk1 LU1 (127.0.0.1:13260,1), ISID=2, TSIH=2, CID=0, HeaderDigest=on, DataDigest=off
";

    #[test]
    fn logins_and_logouts_are_matched_by_their_handle() {
        let sessions = istgt_sessions(LOG);
        assert_eq!(sessions.len(), 2);
        assert_eq!((sessions[0].tsih, sessions[0].logged_out), (1, false));
        assert_eq!(
            sessions[1],
            LoggedSession {
                tsih: 2,
                initiator: "iqn.a:guest".to_owned(),
                header_digest: true,
                data_digest: false,
                logged_out: true,
            }
        );
    }
}
