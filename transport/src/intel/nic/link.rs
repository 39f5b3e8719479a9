//! The wire: brought up, looked at, and what follows when it changes.

use core::time::Duration;

use super::Nic;
use super::part::Part;
use crate::hal::{Hal, wait_until};
use crate::intel::descriptor::Format;
use crate::intel::ids::Media;
use crate::intel::phy::pause::{Agreement, resolve};
use crate::intel::phy::{Phy, PhyError};
use crate::intel::registers::{CTRL, RXCW, SCTL, STATUS, TXCW, ctrl, rxcw, sctl, status, txcw};
use crate::link::Link;
use crate::pci::ConfigSpace;

/// What is remembered of the wire.
#[derive(Debug, Default)]
pub(super) struct Wire {
    was_up: bool,
    /// What follows from the latest change of the link is not done yet.
    is_unfollowed: bool,
    /// When a link came up that cannot be used at once (82578).
    settling_since: Option<Duration>,
    /// The link was up before we came.
    is_kept: bool,
    /// When the other end of a fibre was first heard without negotiating.
    silent_since: Option<Duration>,
    /// The fibre's link is up because we say so: the other end does not negotiate.
    is_forced: bool,
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Reads the state of the wire: one register, so not for every poll. When it changed, the PHY
    /// is looked at too.
    pub fn link(&mut self) -> Link {
        let value = self.part.registers.read(STATUS);
        let link = match decode_link(value) {
            _ if self.watchdog.has_given_up() => Link::Gone,
            // The watchdog still hopes.
            Link::Gone if self.watchdog.is_trying() => Link::Down,
            Link::Gone => Link::Gone,
            link if self.part.drives_fibre() => self.wire.look_at_fibre(&self.part, link),
            link => self.wire.let_settle(&self.part, link),
        };
        let is_up = link.is_up();
        if is_up != self.wire.was_up && link != Link::Gone {
            self.adapt_to_speed(link);
            self.wire.is_unfollowed = true;
        }
        // The link carries frames before the PHY may be asked what its ends agreed on.
        if self.wire.is_unfollowed && link != Link::Gone && self.part.has_read_flash() {
            self.wire.is_unfollowed = false;
            self.part.follow(link);
        }
        if self.wire.was_up && !is_up {
            self.statistics.link_losses = self.statistics.link_losses.saturating_add(1);
        }
        self.wire.was_up = is_up;
        link
    }

    /// Keeps a link that is up, or whose PHY is about to have one; else negotiates anew.
    pub(super) fn start_link(&mut self) {
        self.wire = Wire { was_up: self.wire.was_up, ..Wire::default() };
        if self.part.drives_fibre() {
            self.part.start_fibre();
        }
        let is_up = decode_link(self.part.registers.read(STATUS)).is_up();
        self.wire.is_kept = is_up;
        // The reset took back what followed from a link that stayed up all the while.
        self.wire.is_unfollowed = is_up;
        if is_up || self.part.model.media != Media::Copper {
            let _ = self.link();
            return;
        }
        let negotiated = self.part.with_phy(|phy| {
            if phy.is_negotiating()? && self.part.hears_of_link() {
                return Ok(());
            }
            phy.negotiate()
        });
        // Without a PHY that answers, the link may still come: say so and go on.
        self.part.say_phy("start its link", negotiated);
    }
}

impl Wire {
    /// A fibre's other end may not negotiate: then the link is up when we say so (8254x §8.6.2).
    fn look_at_fibre<H: Hal + Clone, C: ConfigSpace>(
        &mut self,
        part: &Part<H, C>,
        link: Link,
    ) -> Link {
        /// Negotiation is over by then, one way or the other (802.3 §37.3.1.2).
        const PATIENCE: Duration = Duration::from_millis(500);
        if link.is_up() && !self.is_forced {
            self.silent_since = None;
            return link;
        }
        let heard = part.registers.read(RXCW);
        if self.is_forced {
            if heard & rxcw::C != 0 {
                self.is_forced = false;
                part.negotiate_fibre();
                return Link::Down;
            }
            return if heard & rxcw::SYNCH != 0 { link } else { Link::Down };
        }
        if heard & rxcw::SYNCH == 0 || heard & (rxcw::IV | rxcw::C) != 0 {
            self.silent_since = None;
            return link;
        }
        let now = part.hal.now();
        let since = *self.silent_since.get_or_insert(now);
        if now.saturating_sub(since) >= PATIENCE {
            self.is_forced = true;
            part.registers.update(TXCW, txcw::ANE, 0);
            part.registers.update(CTRL, 0, ctrl::SLU | ctrl::FD);
        }
        link
    }

    /// A fresh link of the 82578 at 1000 Mbit/s stalls unless it is left alone for 200 ms.
    fn let_settle<H: Hal + Clone, C: ConfigSpace>(
        &mut self,
        part: &Part<H, C>,
        link: Link,
    ) -> Link {
        const SETTLING: Duration = Duration::from_millis(200);
        let is_gigabit = matches!(link, Link::Up { megabits: 1000, .. });
        let is_fresh = is_gigabit && !self.was_up && !core::mem::take(&mut self.is_kept);
        if !is_fresh || !part.quirks().link_settles {
            self.settling_since = None;
            return link;
        }
        if self.settling_since.is_none() && !part.has_82578() {
            return link;
        }
        let now = part.hal.now();
        let since = *self.settling_since.get_or_insert(now);
        if now.saturating_sub(since) >= SETTLING {
            self.settling_since = None;
            link
        } else {
            Link::Down
        }
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Part<H, C> {
    /// Whether the controller itself speaks 1000BASE-X, through TXCW and RXCW. Parts with advanced
    /// descriptors have a block of its own for that, which negotiates by itself.
    pub(super) fn drives_fibre(&self) -> bool {
        matches!(self.model.media, Media::Fibre | Media::SerDes)
            && self.quirks().format != Format::Advanced
    }

    fn start_fibre(&self) {
        // A loopback of the SerDes survives every reset (82571).
        if self.quirks().spare_receive_address || self.quirks().elects {
            self.registers.write(SCTL, sctl::DISABLE_LOOPBACK);
        }
        self.negotiate_fibre();
    }

    fn negotiate_fibre(&self) {
        let word = txcw::ANE | txcw::FD | txcw::PAUSE | txcw::ASM_DIR;
        self.registers.write(TXCW, word);
        // With the link forced up there would be nothing to negotiate.
        self.registers.update(CTRL, ctrl::SLU | ctrl::LRST, 0);
    }

    /// Flow control and the PHY follow a link that came up or went down.
    fn follow(&self, link: Link) {
        if self.model.media != Media::Copper {
            // The hardware sets RFCE and TFCE as negotiated.
            return;
        }
        let agreed = self.with_phy(|phy| {
            phy.care_after_link_change(link)?;
            if link.is_up() && self.quirks().link_settles {
                phy.unstall_82578()?;
            }
            match link {
                Link::Up { full_duplex: true, .. } => phy.pause(),
                _ => Ok(None),
            }
        });
        let Agreement { send, obey } = match agreed {
            Ok(Some((ours, theirs))) => resolve(ours, theirs),
            _ => Agreement::default(),
        };
        let send = if send && !self.quirks().no_pause_sent { ctrl::TFCE } else { 0 };
        let obey = if obey { ctrl::RFCE } else { 0 };
        self.registers.update(CTRL, ctrl::RFCE | ctrl::TFCE, send | obey);
        self.say_phy("follow its link", agreed.map(drop));
    }

    fn has_82578(&self) -> bool {
        self.with_phy(|phy| Ok(phy.is_82578())) == Ok(true)
    }

    /// Whether the controller has the link that its PHY claims, at once or soon: QEMU's igb hears
    /// of it only when negotiation was started.
    fn hears_of_link(&self) -> bool {
        /// Since the reset: the PHY's word takes microseconds on the chip, and less than this
        /// between two chips.
        const LIMIT: Duration = Duration::from_millis(20);
        wait_until(&self.hal, LIMIT.saturating_sub(self.since_reset()), || {
            decode_link(self.registers.read(STATUS)).is_up()
        })
    }

    /// Lends the PHY, under its lock, once it may be touched.
    pub(super) fn with_phy<R>(
        &self,
        f: impl FnOnce(&Phy<'_, H>) -> Result<R, PhyError>,
    ) -> Result<R, PhyError> {
        self.await_flash();
        f(&Phy::open(&self.hal, &self.registers, self.quirks())?)
    }

    /// What the PHY did not do is no reason to stop: the link tells whether it matters.
    pub(super) fn say_phy(&self, what: &str, result: Result<(), PhyError>) {
        if let Err(error) = result {
            log::warn!("{} {}: the PHY did not {what}: {error}", self.model.name, self.address);
        }
    }
}

pub(super) fn decode_link(value: u32) -> Link {
    if value == u32::MAX {
        return Link::Gone;
    }
    if value & status::LU == 0 {
        return Link::Down;
    }
    let megabits = match value >> status::SPEED_SHIFT & 3 {
        0 => 10,
        1 => 100,
        _ => 1000,
    };
    Link::Up { megabits, full_duplex: value & status::FD != 0 }
}
