//! Waits for messages of the worker cores: a crossbeam channel that is read by a future, woken through the doorbell.

use std::future::poll_fn;
use std::task::Poll;

use crossbeam::channel::{Receiver, TryRecvError};
use millstream_core::bridge::Doorbell;

/// The next message; `None` once every sender is gone (which the doorbell does not tell by itself).
///
/// Cancel-safe: a message is taken in the poll that returns it.
pub async fn next<T>(messages: &Receiver<T>, doorbell: &Doorbell) -> Option<T> {
    poll_fn(|context| {
        // Registered before the look, so that a ring between the two is not lost.
        doorbell.register(context.waker());
        match messages.try_recv() {
            Ok(message) => Poll::Ready(Some(message)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::unbounded;

    #[test]
    fn a_ring_wakes_the_reader_on_another_thread() {
        let (sender, receiver) = unbounded();
        let doorbell = Doorbell::default();
        let bell = doorbell.clone();
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            futures::executor::block_on(async {
                while let Some(number) = next(&receiver, &bell).await {
                    read.push(number);
                }
            });
            read
        });
        for number in 0..1000 {
            sender.send(number).unwrap();
            doorbell.wake();
        }
        drop(sender);
        doorbell.wake();
        assert_eq!(reader.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }
}
