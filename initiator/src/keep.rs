//! `retain` for bounded queues: heapless's own has a path to a panic that the optimiser keeps.

use heapless::Deque;

/// Drops what `wanted` does not want; the rest stays in its order.
pub(crate) fn keep<T, const N: usize>(queue: &mut Deque<T, N>, mut wanted: impl FnMut(&T) -> bool) {
    // Once around.
    for _ in 0..queue.len() {
        if let Some(item) = queue.pop_front()
            && wanted(&item)
        {
            // There is room: one was just taken out.
            let _ = queue.push_back(item);
        }
    }
}

/// Drops one item; at once where it is the first, as it mostly is.
pub(crate) fn drop_item<T: PartialEq, const N: usize>(queue: &mut Deque<T, N>, unwanted: &T) {
    if queue.front() == Some(unwanted) {
        let _ = queue.pop_front();
    } else {
        keep(queue, |item| item != unwanted);
    }
}
