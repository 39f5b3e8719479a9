//! Says what an iSCSI Boot Firmware Table (iBFT) holds, in several ways, and makes tables from
//! options. The command line in main.rs only chooses among these.

pub mod build;
pub mod explain;
pub mod json;
pub mod source;
pub mod sysfs;

use isboot_ibft::Secret;

/// Whether CHAP secrets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// As `[hidden]`.
    Hide,
    /// As they are.
    Show,
}

impl Secrets {
    /// A secret as it is to be printed; empty when there is none.
    pub fn print(self, secret: Secret<'_>) -> String {
        match self {
            Secrets::Show => String::from_utf8_lossy(secret.expose()).into_owned(),
            Secrets::Hide if secret.is_empty() => String::new(),
            Secrets::Hide => "[hidden]".into(),
        }
    }
}
