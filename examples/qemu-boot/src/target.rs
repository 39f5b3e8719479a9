//! The target of a run: what it is started as, what the guest must see of it, and what it noted
//! about the sessions.

use std::net::IpAddr;
use std::path::Path;

use isboot_tests::istgt::{self, Istgt};
use isboot_tests::process::RigError;

use crate::disk_image;
use crate::plan::{Chap, Disturbance, HOST_ADDRESS, LunPlan, Plan, TargetChoice};

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
            TargetChoice::Builtin => {
                Err(RigError::Failed("there is no built-in target in this build".to_owned()))
            }
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

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.kind {
            Kind::Istgt(istgt) => istgt.log(),
            Kind::External => String::new(),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Kind::Istgt(istgt) = &mut self.kind {
            istgt.kill();
        }
    }

    fn start_istgt(plan: &Plan, directory: &Path) -> Result<Self, RigError> {
        let mut luns = Vec::new();
        for (number, lun) in plan.luns().into_iter().enumerate() {
            let image = image_path(directory, number);
            disk_image::create(&image, lun.bytes, lun.seed).map_err(|error| {
                RigError::Failed(format!("making the disk image {}: {error}", image.display()))
            })?;
            luns.push(istgt::Lun { image, serial: lun.serial });
        }
        let (user, secret) = (CHAP_INITIATOR.0.to_owned(), CHAP_INITIATOR.1.to_owned());
        let options = istgt::Options {
            block_length: plan.block_bytes,
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
            address: HOST_ADDRESS.into(),
            port: istgt.portal().port(),
            name: istgt.target_name().to_owned(),
            kind: Kind::Istgt(Box::new(istgt)),
        })
    }
}

/// Where the image of a LUN is.
#[must_use]
pub fn image_path(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(format!("lun{number}.img"))
}

/// What the guest must find, one entry for each LUN from 0.
#[must_use]
pub fn expected_luns(plan: &Plan) -> Vec<ExpectedLun> {
    let expected = |lun: &LunPlan| ExpectedLun {
        vendor: istgt::VENDOR,
        product: istgt::PRODUCT,
        revision: istgt::REVISION,
        serial: lun.serial.clone(),
        block_bytes: plan.block_bytes,
        blocks: lun.bytes / u64::from(plan.block_bytes),
        read_only: false,
    };
    plan.luns().iter().map(expected).collect()
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
