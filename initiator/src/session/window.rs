//! The command window: which CmdSN may be sent now (RFC 7143 §4.2.2.1).

use crate::pdu::serial::SerialNumber;

/// Answers "may I send a command?": CmdSN to use next, ExpCmdSN and MaxCmdSN of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandWindow {
    cmd_sn: SerialNumber,
    exp_cmd_sn: SerialNumber,
    max_cmd_sn: SerialNumber,
}

impl CommandWindow {
    /// A closed window before `cmd_sn`: the login is immediate, and its last response opens it.
    #[must_use]
    pub fn new(cmd_sn: SerialNumber) -> Self {
        Self { cmd_sn, exp_cmd_sn: cmd_sn, max_cmd_sn: cmd_sn.previous() }
    }

    /// The CmdSN that the next request carries; an immediate request does not consume it.
    #[must_use]
    pub fn current(&self) -> SerialNumber {
        self.cmd_sn
    }

    /// Whether a non-immediate request may be sent now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.cmd_sn.is_at_or_before(self.max_cmd_sn)
    }

    /// Takes the next CmdSN for a non-immediate request, or `None` while the window is closed.
    pub fn take(&mut self) -> Option<SerialNumber> {
        if !self.is_open() {
            return None;
        }
        let taken = self.cmd_sn;
        self.cmd_sn = taken.next();
        Some(taken)
    }

    /// The request with this CmdSN was rejected: whether a number can be had for it again. The
    /// same number, unless the target has counted it; that leaves no gap (RFC 7143 §7.3).
    pub fn give_back(&mut self, cmd_sn: SerialNumber) -> bool {
        if cmd_sn.is_before(self.exp_cmd_sn) {
            return true;
        }
        let last = cmd_sn.next() == self.cmd_sn;
        if last {
            self.cmd_sn = cmd_sn;
        }
        last
    }

    /// Learns ExpCmdSN and MaxCmdSN from a response.
    ///
    /// A pair with MaxCmdSN < ExpCmdSN − 1 is ignored; otherwise each is taken only when it is
    /// ahead of the local value (§4.2.2.1). An ExpCmdSN beyond what was sent is ignored: no
    /// unsent command counts as acknowledged.
    pub fn update(&mut self, exp_cmd_sn: SerialNumber, max_cmd_sn: SerialNumber) {
        if max_cmd_sn.next().is_before(exp_cmd_sn) {
            return;
        }
        if self.exp_cmd_sn.is_before(exp_cmd_sn) && exp_cmd_sn.is_at_or_before(self.cmd_sn) {
            self.exp_cmd_sn = exp_cmd_sn;
        }
        if self.max_cmd_sn.is_before(max_cmd_sn) {
            self.max_cmd_sn = max_cmd_sn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sn(value: u32) -> SerialNumber {
        SerialNumber(value)
    }

    #[test]
    fn closes_after_max_cmd_sn_and_reopens() {
        let mut window = CommandWindow::new(sn(7));
        assert_eq!(window.take(), None, "closed until the target opens it");
        window.update(sn(7), sn(7));
        assert_eq!(window.take(), Some(sn(7)));
        assert_eq!(window.take(), None);
        window.update(sn(8), sn(9));
        assert_eq!((window.take(), window.take(), window.take()), (Some(sn(8)), Some(sn(9)), None));
    }

    #[test]
    fn max_below_exp_minus_one_is_ignored_as_a_pair() {
        let mut window = CommandWindow::new(sn(10));
        window.update(sn(10), sn(20));
        window.take();
        window.update(sn(11), sn(9)); // MaxCmdSN < ExpCmdSN − 1
        assert_eq!(window.exp_cmd_sn, sn(10));
        window.update(sn(11), sn(10)); // exactly closed: legal, but MaxCmdSN never goes back
        assert_eq!((window.exp_cmd_sn, window.max_cmd_sn), (sn(11), sn(20)));
    }

    #[test]
    fn wraps_through_zero() {
        let mut window = CommandWindow::new(sn(u32::MAX));
        window.update(sn(u32::MAX), sn(1));
        assert_eq!(window.take(), Some(sn(u32::MAX)));
        assert_eq!(window.take(), Some(sn(0)));
        assert_eq!(window.take(), Some(sn(1)));
        assert_eq!(window.take(), None);
    }

    #[test]
    fn a_rejected_request_leaves_no_gap() {
        let mut window = CommandWindow::new(sn(5));
        window.update(sn(5), sn(8));
        window.take();
        assert!(window.give_back(sn(5)));
        assert_eq!(window.current(), sn(5), "not counted: the same number again");
        window.take();
        window.update(sn(6), sn(8));
        assert!(window.give_back(sn(5)));
        assert_eq!(window.current(), sn(6), "counted: the next number");
        window.take();
        window.take();
        assert!(!window.give_back(sn(6)), "a later request went out");
        assert_eq!(window.current(), sn(8));
    }

    #[test]
    fn acknowledging_the_unsent_is_ignored() {
        let mut window = CommandWindow::new(sn(5));
        window.update(sn(9), sn(12));
        assert_eq!(window.exp_cmd_sn, sn(5));
        assert!(window.is_open());
    }
}
