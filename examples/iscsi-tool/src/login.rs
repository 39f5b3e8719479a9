//! The options about the login: who we are, what proves it, and the library's parameters.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use isboot::boot::{ParameterError, Parameters};
use isboot::login::{Authentication, Credentials, Name, Secret};

use crate::failure::Failure;
use crate::initiator::Identity;
use crate::url::Url;

/// Holds the CHAP secret, where no option does.
pub(crate) const SECRET_VARIABLE: &str = "ISBOOT_CHAP_SECRET";
/// Holds the target's CHAP secret, where no option does.
const MUTUAL_SECRET_VARIABLE: &str = "ISBOOT_CHAP_MUTUAL_SECRET";

/// The library's parameters about the boot path; here the host's own network is used.
const BOOT_ONLY: [&str; 11] = [
    "instance",
    "target",
    "root_path",
    "nic",
    "interrupts",
    "vlan",
    "address",
    "address_check",
    "mtu",
    "link_timeout",
    "address_timeout",
];

#[derive(Args, Debug)]
#[command(next_help_heading = "Login")]
pub(crate) struct LoginOptions {
    /// This end's iSCSI name
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "iqn.2026-01.org.isboot:iscsi-tool"
    )]
    pub(crate) initiator_name: Name,
    /// This end's CHAP name, instead of that in the URL; the initiator name when neither says
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// File with the CHAP secret, which the variable ISBOOT_CHAP_SECRET may hold instead; in the
    /// URL (user%secret@) other users of this host can see it
    #[arg(long, global = true, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The target's CHAP name, for mutual CHAP; any name when left out
    #[arg(long, global = true, value_name = "NAME")]
    mutual_user: Option<String>,
    /// File with the target's CHAP secret, which the variable ISBOOT_CHAP_MUTUAL_SECRET may hold
    /// instead: the target must prove that it knows it
    #[arg(long, global = true, value_name = "FILE")]
    mutual_secret_file: Option<PathBuf>,
    /// Acceptable CHAP algorithms, best first [default: sha3-256,sha256,sha1,md5]
    #[arg(long, global = true, value_name = "LIST")]
    chap_algorithm: Option<String>,
    /// Acceptable header digests, best first: none, crc32c, or both [default: none,crc32c]
    #[arg(long, global = true, value_name = "LIST")]
    header_digest: Option<String>,
    /// Acceptable data digests, best first: none, crc32c, or both [default: none,crc32c]
    #[arg(long, global = true, value_name = "LIST")]
    data_digest: Option<String>,
    /// SCSI commands outstanding at a time, 1 to 1024 [default: 32]
    #[arg(long, global = true, value_name = "NUMBER")]
    queue_depth: Option<String>,
    /// Give up when the disks are not found after so many seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// A parameter of the library; `-p help` lists them all. May be repeated
    #[arg(short = 'p', long = "parameter", global = true, value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

impl LoginOptions {
    /// Whether `-p help` asks for the table of parameters.
    pub(crate) fn wants_parameter_help(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter == "help")
    }

    /// Who we are to be.
    pub(crate) fn identity(
        &self,
        url: &Url,
        depth: Option<u16>,
        quiet: bool,
    ) -> Result<Identity, Failure> {
        Ok(Identity {
            initiator_name: self.initiator_name.clone(),
            authentication: self.authentication(url)?,
            parameters: self.parameters(depth)?,
            give_up_at: Instant::now() + Duration::from_secs(self.timeout),
            quiet,
        })
    }

    /// The parameters, with room for `depth` requests unless the command line says otherwise.
    fn parameters(&self, depth: Option<u16>) -> Result<Parameters, Failure> {
        let mut parameters = defaults();
        parameters.queue_depth = parameters.queue_depth.max(depth.unwrap_or(0));
        for (option, parameter, value) in [
            ("--chap-algorithm", "chap_algorithms", &self.chap_algorithm),
            ("--header-digest", "header_digest", &self.header_digest),
            ("--data-digest", "data_digest", &self.data_digest),
            ("--queue-depth", "queue_depth", &self.queue_depth),
        ] {
            if let Some(value) = value {
                parameters
                    .set(parameter, value)
                    .map_err(|error| Failure::Usage(format!("{option} {value}: {error}")))?;
            }
        }
        for text in &self.parameters {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("-p {text}: a parameter is given as NAME=VALUE"))
            })?;
            if BOOT_ONLY.contains(&name) {
                return Err(Failure::Usage(format!(
                    "-p {name}: this parameter is about booting; here the host's own network is used"
                )));
            }
            parameters.set(name, value).map_err(|error| {
                Failure::Usage(match error {
                    ParameterError::Unknown => {
                        format!("-p {name}: there is no such parameter; -p help lists them all")
                    }
                    ParameterError::OutOfRange(_) | ParameterError::RootPath(_) => {
                        format!("-p {text}: {error}")
                    }
                })
            })?;
        }
        Ok(parameters)
    }

    /// Who proves what to whom.
    fn authentication(&self, url: &Url) -> Result<Authentication, Failure> {
        let user = self.user.as_deref().or(url.user.as_deref());
        let secret = match (&self.secret_file, &url.secret) {
            (Some(path), _) => Some(secret_from(path)?),
            (None, Some(secret)) => {
                eprintln!(
                    "iscsi-tool: other users of this host can see the secret in the URL; \
                     --secret-file and {SECRET_VARIABLE} keep it"
                );
                Some(secret.clone())
            }
            (None, None) => secret_in(SECRET_VARIABLE)?,
        };
        let mutual = match &self.mutual_secret_file {
            Some(path) => Some(secret_from(path)?),
            None => secret_in(MUTUAL_SECRET_VARIABLE)?,
        };
        let mutual = match mutual {
            Some(secret) => Some(credentials(self.mutual_user.as_deref(), secret)?),
            None if self.mutual_user.is_some() => {
                return Err(Failure::Usage(format!(
                    "--mutual-user needs the target's secret: --mutual-secret-file FILE, or the \
                     variable {MUTUAL_SECRET_VARIABLE}"
                )));
            }
            None => None,
        };
        match (secret, mutual) {
            (Some(secret), None) => {
                Ok(Authentication::Chap { initiator: credentials(user, secret)?, required: true })
            }
            (Some(secret), Some(target)) => {
                Ok(Authentication::MutualChap { initiator: credentials(user, secret)?, target })
            }
            (None, None) if user.is_none() => Ok(Authentication::None),
            (None, _) => Err(Failure::Usage(format!(
                "CHAP needs this end's secret: --secret-file FILE, or the variable {SECRET_VARIABLE}"
            ))),
        }
    }
}

fn credentials(name: Option<&str>, secret: Secret) -> Result<Credentials, Failure> {
    let name = name
        .map(heapless::String::try_from)
        .transpose()
        .map_err(|_| Failure::Usage("a CHAP name has at most 255 bytes".to_owned()))?;
    Ok(Credentials { name, secret })
}

/// The secret in an environment variable.
fn secret_in(variable: &str) -> Result<Option<Secret>, Failure> {
    let Some(value) = std::env::var_os(variable) else { return Ok(None) };
    let bytes = std::os::unix::ffi::OsStringExt::into_vec(value);
    let secret = Secret::new(&bytes);
    secret.map(Some).map_err(|error| Failure::Usage(format!("the secret in {variable}: {error}")))
}

/// Reads a secret; the line end that editors leave is not part of it.
fn secret_from(path: &Path) -> Result<Secret, Failure> {
    let shown = path.display();
    let failed = |error| Failure::doing(format_args!("cannot read the secret in {shown}"), error);
    let bytes = fs::read(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        eprintln!("iscsi-tool: other users can read the secret in {shown}; chmod 600 it");
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Secret::new(line)
        .map_err(|error| Failure::doing(format_args!("the secret in {shown} is unusable"), error))
}

/// The parameters unless they are given. A read is one command here, as a write is: the host's kernel
/// receives while its disk is read, and over its loopback each command costs more than it brings.
fn defaults() -> Parameters {
    let defaults = Parameters::default();
    Parameters { read_limit: defaults.transfer_limit, ..defaults }
}

/// The parameters as a table.
pub(crate) fn parameter_help() -> String {
    let defaults = defaults();
    let rows = Parameters::list().iter().filter(|info| !BOOT_ONLY.contains(&info.name));
    let width = rows.clone().map(|info| info.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:11}  {:42}  {:8}  MEANING\n",
        "PARAMETER", "DEFAULT", "RANGE", "UNIT"
    );
    for info in rows {
        let _ = writeln!(
            text,
            "{:width$}  {:11}  {:42}  {:8}  {}",
            info.name,
            defaults.value(info),
            info.range,
            info.unit,
            info.meaning
        );
    }
    let _ = write!(
        text,
        "\nGiven as -p NAME=VALUE. The parameters of the boot path have no meaning here: {}.\n",
        BOOT_ONLY.join(", ")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_parameter_and_boot_only_ones_exist() {
        let text = parameter_help();
        for info in Parameters::list() {
            assert!(text.contains(info.name), "{}", info.name);
        }
        for name in BOOT_ONLY {
            assert!(Parameters::list().iter().any(|info| info.name == name), "{name}");
        }
    }
}
