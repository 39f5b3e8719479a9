//! QEMU's monitor in its machine-readable form, for what a run does to its machine from outside.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// QEMU answers at once; it may still be starting.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection to the monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to QEMU's socket, waiting until it is there, and leaves capability negotiation.
    ///
    /// # Errors
    /// When nobody answers within ten seconds.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let end = Instant::now() + LIMIT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read()?; // the greeting
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Plugs the cable of a NIC in or out.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn set_link(&mut self, device: &str, up: bool) -> io::Result<()> {
        self.execute("set_link", &json!({ "name": device, "up": up }))
    }

    /// Holds the machine: it takes no processor time, and its clocks stand still.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn pause(&mut self) -> io::Result<()> {
        self.execute("stop", &json!({}))
    }

    /// Lets a machine that was started paused, or was paused since, run.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn resume(&mut self) -> io::Result<()> {
        self.execute("cont", &json!({}))
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<()> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        loop {
            let answer = self.read()?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refused `{command}`: {error}")));
            }
            // Anything else is an event that happened meanwhile.
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::other("QEMU closed its monitor"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}
