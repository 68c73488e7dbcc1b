//! One core's items to another, in order, bounded in number and in the bytes that they pin: `rtrb` with doorbells.
//!
//! A full ring is a state: the sender waits for room, which is how back-pressure travels towards the source. Nothing
//! is ever dropped. The ends cannot be cloned, so there is one sender and one receiver by construction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crossbeam::utils::CachePadded;
use futures::task::AtomicWaker;

struct Shared {
    /// Bytes of the items between push and pop.
    bytes: CachePadded<AtomicUsize>,
    /// Rung when an item was pushed, or the sender is gone.
    items: CachePadded<AtomicWaker>,
    /// Rung when room was made.
    room: CachePadded<AtomicWaker>,
    /// The sender waits for room: the receiver rings only then.
    sender_waits: AtomicBool,
}

pub struct RingSender<T> {
    producer: rtrb::Producer<(T, usize)>,
    shared: Arc<Shared>,
    bytes_max: usize,
    _gone: RingOnDrop,
}

pub struct RingReceiver<T> {
    consumer: rtrb::Consumer<(T, usize)>,
    shared: Arc<Shared>,
    _gone: RingOnDrop,
}

/// A ring of `items_max` items that pin at most `bytes_max` together; one item alone may be larger.
pub fn ring<T>(items_max: usize, bytes_max: usize) -> (RingSender<T>, RingReceiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(items_max.max(1));
    let shared = Arc::new(Shared {
        bytes: CachePadded::new(AtomicUsize::new(0)),
        items: CachePadded::new(AtomicWaker::new()),
        room: CachePadded::new(AtomicWaker::new()),
        sender_waits: AtomicBool::new(false),
    });
    let sender_gone = RingOnDrop { shared: shared.clone(), rung: |shared| &shared.items };
    let receiver_gone = RingOnDrop { shared: shared.clone(), rung: |shared| &shared.room };
    (
        RingSender { producer, shared: shared.clone(), bytes_max, _gone: sender_gone },
        RingReceiver { consumer, shared, _gone: receiver_gone },
    )
}

impl<T> RingSender<T> {
    /// Ready when an item of `bytes` may be pushed, or when the receiver is gone.
    pub fn poll_room(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room(bytes) {
            return Poll::Ready(());
        }
        self.shared.room.register(cx.waker());
        self.shared.sender_waits.store(true, Ordering::SeqCst);
        // The receiver may have made room before it could see that somebody waits.
        if self.has_room(bytes) {
            self.shared.sender_waits.store(false, Ordering::SeqCst);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn has_room(&self, bytes: usize) -> bool {
        if self.producer.is_abandoned() {
            return true;
        }
        let pinned = self.shared.bytes.load(Ordering::SeqCst);
        !self.producer.is_full() && (pinned == 0 || pinned.saturating_add(bytes) <= self.bytes_max)
    }

    /// Pushes where there is room; gives the item back where there is none, or nobody to take it.
    ///
    /// # Errors
    /// The item.
    pub fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        if self.producer.is_abandoned() || !self.has_room(bytes) {
            return Err(item);
        }
        self.shared.bytes.fetch_add(bytes, Ordering::SeqCst);
        match self.producer.push((item, bytes)) {
            Ok(()) => {
                self.shared.items.wake();
                Ok(())
            }
            Err(rtrb::PushError::Full((item, bytes))) => {
                self.shared.bytes.fetch_sub(bytes, Ordering::SeqCst);
                Err(item)
            }
        }
    }

    /// Waits for room and pushes. False where the receiver is gone.
    pub async fn send(&mut self, item: T, bytes: usize) -> bool {
        std::future::poll_fn(|cx| self.poll_room(bytes, cx)).await;
        self.push(item, bytes).is_ok()
    }

    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

/// Rings when it is dropped. Fields are dropped in order, so that it stands behind the end that it speaks for.
struct RingOnDrop {
    shared: Arc<Shared>,
    rung: fn(&Shared) -> &AtomicWaker,
}

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        (self.rung)(&self.shared).wake();
    }
}

impl<T> RingReceiver<T> {
    pub fn pop(&mut self) -> Option<T> {
        let (item, bytes) = self.consumer.pop().ok()?;
        self.shared.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.shared.sender_waits.swap(false, Ordering::SeqCst) {
            self.shared.room.wake();
        }
        Some(item)
    }

    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// The next item; `None` when the sender is gone and everything was taken.
    pub fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(item) = self.pop() {
            return Poll::Ready(Some(item));
        }
        self.shared.items.register(cx.waker());
        if let Some(item) = self.pop() {
            return Poll::Ready(Some(item));
        }
        if self.consumer.is_abandoned() { Poll::Ready(self.pop()) } else { Poll::Pending }
    }

    pub async fn receive(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_pop(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn a_full_ring_refuses_by_count_and_by_bytes() {
        let (mut sender, mut receiver) = ring::<u32>(2, 100);
        assert_eq!(sender.push(1, 60), Ok(()));
        assert_eq!(sender.push(2, 60), Err(2), "over the bytes");
        assert_eq!(sender.push(2, 40), Ok(()));
        assert_eq!(sender.push(3, 0), Err(3), "over the count");
        assert_eq!(receiver.pop(), Some(1));
        assert_eq!(receiver.pop(), Some(2));
        assert_eq!(sender.push(9, 1_000), Ok(()), "one item alone may be larger");
        assert_eq!((receiver.pop(), receiver.pop()), (Some(9), None));
    }

    #[test]
    fn order_and_number_are_those_of_a_queue() {
        let (mut sender, mut receiver) = ring::<u64>(7, 1_000);
        let mut oracle = VecDeque::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = 0;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 63 == 0 {
                if sender.push(next, 100).is_ok() {
                    oracle.push_back(next);
                    next += 1;
                } else {
                    assert_eq!(oracle.len(), 7);
                }
            } else {
                assert_eq!(receiver.pop(), oracle.pop_front());
            }
        }
    }

    #[test]
    fn two_threads_lose_nothing_and_keep_the_order() {
        const COUNT: u64 = 200_000;
        let (mut sender, mut receiver) = ring::<u64>(16, 160);
        let producer = std::thread::spawn(move || {
            futures::executor::block_on(async {
                for item in 0..COUNT {
                    assert!(sender.send(item, 10).await);
                }
            });
        });
        let mut expected = 0;
        futures::executor::block_on(async {
            while let Some(item) = receiver.receive().await {
                assert_eq!(item, expected);
                expected += 1;
            }
        });
        producer.join().expect("the producer ends");
        assert_eq!(expected, COUNT);
    }
}
