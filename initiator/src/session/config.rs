//! What a session is made with.

use core::net::SocketAddr;

use super::escalation::Escalation;
use crate::login::LoginConfig;
use crate::pdu::digest::Crc32cFunction;
use crate::pdu::serial::SerialNumber;
use crate::time::Duration;

/// Everything a session needs to know beforehand.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where the target listens.
    pub portal: SocketAddr,
    /// Names, authentication, digests and offers.
    pub login: LoginConfig,
    /// Bounds of every wait.
    pub timeouts: Timeouts,
    /// What is asked of the target when a command hangs, before the session is renewed.
    pub escalation: Escalation,
    /// CmdSN of the leading login; any value will do.
    pub initial_cmd_sn: SerialNumber,
    /// Who computes CRC32C.
    pub crc32c: Crc32cFunction,
}

/// Bounds of every wait of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For TCP to be accepted.
    pub connect: Duration,
    /// For the login phase, first request to last response.
    pub login: Duration,
    /// Silence after which the target is pinged.
    pub ping_interval: Duration,
    /// For the answer to a ping.
    pub ping: Duration,
    /// For a PDU to end, once its first byte has come.
    pub pdu: Duration,
    /// For the response to a command that was sent.
    pub command: Duration,
    /// For the response to a task management function.
    pub task_management: Duration,
    /// For each Text Response; a whole answer may take eight times as long.
    pub text: Duration,
    /// For the Logout Response.
    pub logout: Duration,
    /// Time without a session after which waiting commands fail, and a session that never
    /// logged in is given up.
    pub outage: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            login: Duration::from_secs(15),
            ping_interval: Duration::from_secs(5),
            ping: Duration::from_secs(5),
            pdu: Duration::from_secs(30),
            command: Duration::from_secs(30),
            task_management: Duration::from_secs(15),
            text: Duration::from_secs(15),
            logout: Duration::from_secs(5),
            outage: Duration::from_secs(120),
        }
    }
}
