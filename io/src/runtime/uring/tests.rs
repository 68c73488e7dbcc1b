//! More than the ring has room for, on both of its forms.

use std::io::Write;
use std::os::unix::net::UnixStream;

use futures::future::join_all;

use super::ring::{Form, Operation};
use super::*;

/// The queue has 512 places, the completions have 1,024.
const READS: usize = 3_000;

fn on_each_form<F>(test: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    for form in [Form::Lean, Form::Plain] {
        let bell = Bell::new().unwrap();
        block_on_ring(Ring::of(form, bell.clone()).unwrap(), bell, Duration::ZERO, test()).unwrap();
    }
}

/// Reads of one byte each, all of them in the ring, and what they read from.
fn reads() -> (UnixStream, Vec<Operation>) {
    let (from, to) = UnixStream::pair().unwrap();
    let to = Rc::new(to);
    let read = |_| Operation::receive(to.clone(), vec![0].into_boxed_slice()).unwrap();
    (from, (0..READS).map(read).collect())
}

async fn expect_all(mut from: UnixStream, reads: Vec<Operation>) {
    let sent: Vec<u8> = (0..READS).map(|at| (at % 251) as u8).collect();
    from.write_all(&sent).unwrap();
    let mut came: Vec<u8> = join_all(reads)
        .await
        .into_iter()
        .flat_map(|(count, buffer)| {
            assert_eq!(count.unwrap(), 1);
            buffer.unwrap()
        })
        .collect();
    came.sort_unstable();
    let mut sent = sent;
    sent.sort_unstable();
    assert_eq!(came, sent);
}

#[test]
fn more_reads_than_the_queue_and_more_completions_than_theirs() {
    on_each_form(|| async {
        let (from, reads) = reads();
        expect_all(from, reads).await;
    });
}

/// The kernel keeps what finds no room until it is asked: also by a core that never sleeps.
#[test]
fn completions_without_room_come_to_a_busy_core() {
    on_each_form(|| async {
        spawn(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let (from, reads) = reads();
        expect_all(from, reads).await;
    });
}

#[test]
fn reads_that_are_given_up_leave_nothing_behind() {
    on_each_form(|| async {
        let (from, given_up) = reads();
        drop(given_up);
        // What they would have read is for others.
        let (other, waiting) = reads();
        expect_all(other, waiting).await;
        while expect_here().ring.borrow().operation_count() > 0 {
            sleep(Duration::from_micros(100)).await;
        }
        drop(from);
    });
}

#[test]
fn more_sleepers_than_the_queue_has_places() {
    on_each_form(|| async {
        join_all((0..READS).map(|at| sleep(Duration::from_micros(at as u64 % 700)))).await;
    });
}
