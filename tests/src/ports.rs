//! Loopback ports for targets: a free one, and whether somebody listens on it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// A TCP port of 127.0.0.1 that nobody uses now.
///
/// Somebody else may take it before the caller does: a target that then cannot listen fails,
/// and its rig tries again with another port.
///
/// # Errors
/// When the system gives out no port at all.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether somebody listens on this port of 127.0.0.1.
#[must_use]
pub fn is_listening(port: u16) -> bool {
    is_listening_at(Ipv4Addr::LOCALHOST, port)
}

/// Whether somebody listens on this port of an address, in the network of this thread.
///
/// Reads the kernel's table where there is one: a probing connection would be a session to
/// targets that log and count them.
#[must_use]
pub fn is_listening_at(address: Ipv4Addr, port: u16) -> bool {
    match std::fs::read_to_string("/proc/thread-self/net/tcp") {
        Ok(table) => table.lines().any(|line| listens(line, address, port)),
        Err(_) => {
            let portal = (address, port).into();
            TcpStream::connect_timeout(&portal, Duration::from_millis(100)).is_ok()
        }
    }
}

/// Whether this line of /proc/net/tcp is a listener (state 0A) on `port` of `address` or of any.
fn listens(line: &str, address: Ipv4Addr, port: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let local = words.next().unwrap_or_default();
    let state = words.nth(1).unwrap_or_default();
    let on_port = |address: &str| local.eq_ignore_ascii_case(&format!("{address}:{port:04X}"));
    // The kernel prints the four bytes as a number of its own order.
    let address = format!("{:08X}", u32::from_ne_bytes(address.octets()));
    state == "0A" && (on_port(&address) || on_port("00000000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_its_end_too() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_listening(port));
        drop(listener);
        assert!(!is_listening(port));
    }

    #[test]
    fn only_listening_sockets_count() {
        let line = "   0: 0100007F:0CBC 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert!(listens(line, Ipv4Addr::LOCALHOST, 3260));
        assert!(!listens(line, Ipv4Addr::LOCALHOST, 3261));
        assert!(!listens(&line.replace(" 0A ", " 01 "), Ipv4Addr::LOCALHOST, 3260));
        assert!(!listens(&line.replace("0100007F", "0200007F"), Ipv4Addr::LOCALHOST, 3260));
    }
}
