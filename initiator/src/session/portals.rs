//! Which portal to connect to: the configured one, and those to which redirections lead from it
//! (RFC 7143 §11.13.5).

use core::net::SocketAddr;

use heapless::Deque;

use super::error::Error;
use crate::login::{Excerpt, Host, Redirection};

/// Redirections followed between two full feature phases.
const REDIRECTION_LIMIT: u8 = 8;

/// The portal in use, and the ways on and back from it.
#[derive(Debug)]
pub(super) struct Portals {
    /// Where every way begins: as configured, or where a permanent move led.
    home: SocketAddr,
    present: SocketAddr,
    /// Further addresses of the last redirection, for when `present` does not let us in.
    detours: Deque<SocketAddr, { Redirection::MAX_ADDRESSES }>,
    followed: u8,
    /// Permanent moves alone led from `home` to `present`, which has not answered yet.
    moved_for_good: bool,
    configured: SocketAddr,
}

impl Portals {
    pub(super) fn new(configured: SocketAddr) -> Self {
        Self {
            home: configured,
            present: configured,
            detours: Deque::new(),
            followed: 0,
            moved_for_good: false,
            configured,
        }
    }

    /// The portal to connect to.
    pub(super) fn present(&self) -> SocketAddr {
        self.present
    }

    /// The present portal said where else to log in.
    pub(super) fn follow(&mut self, redirection: &Redirection) -> Result<(), Error> {
        self.settle();
        if self.followed >= REDIRECTION_LIMIT {
            return Err(Error::TooManyRedirections);
        }
        self.followed = self.followed.saturating_add(1);
        self.detours.clear();
        let mut name = Excerpt::of(b"");
        for address in &redirection.addresses {
            let portal = match &address.host {
                Host::Address(host) => SocketAddr::new(*host, address.port),
                Host::Name(host) => {
                    name = Excerpt::of(host.as_bytes());
                    continue;
                }
            };
            if is_loopback(portal) && !is_loopback(self.configured) {
                return Err(Error::RedirectedToLoopback(portal));
            }
            // As long as the list: it cannot be full.
            let _ = self.detours.push_back(self.in_scope(portal));
        }
        let portal = self.detours.pop_front().ok_or(Error::RedirectedToAName(name))?;
        self.moved_for_good = redirection.permanent && self.present == self.home;
        self.present = portal;
        Ok(())
    }

    /// Full feature phase at the present portal.
    pub(super) fn logged_in(&mut self) {
        self.settle();
        self.followed = 0;
        self.detours.clear();
    }

    /// The present portal does not accept, or the session with it was lost: the next address of
    /// the redirection. After the last, a temporary move is over.
    pub(super) fn lost(&mut self) {
        self.present = self.detours.pop_front().unwrap_or_else(|| {
            self.followed = 0;
            self.moved_for_good = false;
            self.home
        });
    }

    /// The present portal answered: a permanent move to it is one to a target that is there.
    fn settle(&mut self) {
        if core::mem::take(&mut self.moved_for_good) {
            self.home = self.present;
        }
    }

    /// A link-local address without its scope means the link of the configured portal.
    fn in_scope(&self, portal: SocketAddr) -> SocketAddr {
        match (portal, self.configured) {
            (SocketAddr::V6(mut portal), SocketAddr::V6(configured))
                if portal.ip().is_unicast_link_local() =>
            {
                portal.set_scope_id(configured.scope_id());
                SocketAddr::V6(portal)
            }
            _ => portal,
        }
    }
}

fn is_loopback(portal: SocketAddr) -> bool {
    portal.ip().to_canonical().is_loopback()
}
