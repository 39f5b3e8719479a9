//! A gate between a handler that may run at any moment and an owner that wants to end.
//!
//! The owner opens it and hands tickets out; whoever enters with a valid ticket is counted. Once
//! the owner has shut it, nobody new gets in, and it waits for those who are inside. Only atomic
//! loads, stores and additions: both sides may run in interrupt context, on any processor.

use core::sync::atomic::{AtomicU32, Ordering};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The only valid ticket; one more with every opening and shutting.
    ticket: AtomicU32,
    inside: AtomicU32,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { ticket: AtomicU32::new(0), inside: AtomicU32::new(0) }
    }

    /// Opens it for a new ticket; earlier ones are no longer valid.
    pub(crate) fn open(&self) -> u32 {
        self.ticket.fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    pub(crate) fn is_valid(&self, ticket: u32) -> bool {
        self.ticket.load(Ordering::SeqCst) == ticket
    }

    /// Ends a ticket, unless a later opening did.
    pub(crate) fn shut(&self, ticket: u32) {
        let next = ticket.wrapping_add(1);
        let _ = self.ticket.compare_exchange(ticket, next, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether nobody is inside.
    pub(crate) fn is_empty(&self) -> bool {
        self.inside.load(Ordering::SeqCst) == 0
    }

    /// Goes in, for as long as the result lives, or not when the ticket is no longer valid.
    ///
    /// First counted, then checked, and the owner first shuts and then counts: in the one order
    /// that both agree on, one of them sees the other.
    pub(crate) fn enter(&self, ticket: u32) -> Option<Inside<'_>> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(self);
        self.is_valid(ticket).then_some(inside)
    }
}

/// Somebody inside a [`Gate`].
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ticket_opens() {
        let gate = Gate::new();
        assert!(gate.enter(gate.open().wrapping_add(7)).is_none());
        let first = gate.open();
        let inside = gate.enter(first);
        assert!(inside.is_some() && !gate.is_empty());
        let second = gate.open();
        assert!(gate.enter(first).is_none() && !gate.is_empty(), "the first is still inside");
        drop(inside);
        assert!(gate.is_empty());
        gate.shut(first);
        assert!(gate.enter(second).is_some(), "an old owner does not shut a new one out");
        gate.shut(second);
        assert!(gate.enter(second).is_none() && gate.is_empty());
    }

    /// What the gate is for: nobody is inside after the owner was told so.
    #[test]
    fn nobody_is_inside_once_the_owner_was_told_so() {
        use core::sync::atomic::AtomicBool;
        static GATE: Gate = Gate::new();
        let mapped = AtomicBool::new(false);
        // None yet.
        let ticket = AtomicU32::new(u32::MAX);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        if let Some(_inside) = GATE.enter(ticket.load(Ordering::SeqCst)) {
                            assert!(mapped.load(Ordering::Relaxed));
                        }
                    }
                });
            }
            for _ in 0..2_000 {
                mapped.store(true, Ordering::SeqCst);
                let opened = GATE.open();
                ticket.store(opened, Ordering::SeqCst);
                std::thread::yield_now();
                GATE.shut(opened);
                while !GATE.is_empty() {
                    std::thread::yield_now();
                }
                mapped.store(false, Ordering::SeqCst);
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
