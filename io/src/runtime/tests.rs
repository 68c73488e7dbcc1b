//! The same promises of both drivers.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::future::{Either, join, select};
use futures::task::AtomicWaker;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn on_each<F>(test: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    for driver in DRIVERS {
        driver.block_on(test()).unwrap_or_else(|error| panic!("{driver:?}: {error}"));
    }
}

/// The runtimes, and `uring` as kernels before 6.1 have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Of(Runtime),
    PlainRing,
}

const DRIVERS: [Driver; 3] = [Driver::Of(Runtime::Glommio), Driver::Of(Runtime::Uring), Driver::PlainRing];

impl Driver {
    fn block_on<T>(self, future: impl Future<Output = T>) -> io::Result<T> {
        match self {
            Driver::Of(runtime) => block_on(runtime, future),
            Driver::PlainRing => {
                CURRENT.set(Some(Runtime::Uring));
                let result = uring::block_on_plain(future);
                CURRENT.set(None);
                result
            }
        }
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A connected pair.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = match &listener {
        TcpListener::Glommio(listener) => listener.local_addr().unwrap(),
        TcpListener::Uring(listener) => listener.local_addr().unwrap(),
    };
    let (accepted, connected) = join(listener.accept(), TcpStream::connect(address, Duration::from_secs(5))).await;
    (accepted.unwrap(), connected.unwrap())
}

#[test]
fn sleepers_wake_in_order_and_dropped_ones_do_not() {
    on_each(|| async {
        let order = Rc::new(RefCell::new(Vec::new()));
        for ms in [30, 10, 20] {
            let order = order.clone();
            spawn(async move {
                sleep(Duration::from_millis(ms)).await;
                order.borrow_mut().push(ms);
            });
        }
        let short = Box::pin(sleep(Duration::from_millis(1)));
        let long = Box::pin(sleep(Duration::from_secs(3_600)));
        assert!(matches!(select(short, long).await, Either::Left(_)));
        sleep(Duration::from_millis(60)).await;
        assert_eq!(*order.borrow(), [10, 20, 30]);
    });
}

#[test]
fn another_thread_wakes_a_sleeping_core() {
    on_each(|| async {
        let (waker, is_set) = (Arc::new(AtomicWaker::new()), Arc::new(AtomicBool::new(false)));
        for _ in 0..200 {
            is_set.store(false, Ordering::SeqCst);
            let (theirs, set) = (waker.clone(), is_set.clone());
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(300));
                set.store(true, Ordering::SeqCst);
                theirs.wake();
            });
            futures::future::poll_fn(|cx| {
                waker.register(cx.waker());
                if is_set.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            thread.join().unwrap();
        }
        assert_eq!(blocking(|| 6 * 7).await.unwrap(), 42);
    });
}

#[test]
fn many_bytes_pass_a_socket_that_fills_up() {
    const BYTES: usize = 24 << 20;
    on_each(|| async {
        let (mut from, mut to) = pair().await;
        from.set_nodelay().unwrap();
        assert!(from.peer_addr().unwrap().port() > 0);
        let pattern = |at: usize| (at * 31 % 251) as u8;
        let head: Vec<u8> = (0..1_000).map(pattern).collect();
        let body = Bytes::from((1_000..BYTES).map(pattern).collect::<Vec<u8>>());
        spawn(async move {
            let mut sent = 0;
            while sent < BYTES {
                sent += futures::future::poll_fn(|cx| from.poll_send(cx, &head, &body, sent)).await.unwrap();
            }
            from.close().await.unwrap();
        });
        // the socket is full before anything is read
        sleep(Duration::from_millis(50)).await;
        let (mut read, mut space) = (0, vec![0; 100_000]);
        loop {
            let turn = 1 + read % space.len();
            let count = to.read(&mut space[..turn]).await.unwrap();
            if count == 0 {
                break;
            }
            assert!(space[..count].iter().enumerate().all(|(at, byte)| *byte == pattern(read + at)), "at {read}");
            read += count;
        }
        assert_eq!(read, BYTES);
    });
}

#[test]
fn a_dropped_read_loses_nothing_and_a_silent_peer_times_out() {
    on_each(|| async {
        let (mut ours, mut theirs) = pair().await;
        let mut space = [0; 16];
        for round in 0..20u8 {
            {
                let reading = Box::pin(ours.read(&mut space));
                let patience = Box::pin(sleep(Duration::from_millis(1)));
                assert!(matches!(select(reading, patience).await, Either::Right(_)));
            }
            theirs.write_all(&[round, 100]).await.unwrap();
            ours.read_exact(&mut space[..2]).await.unwrap();
            assert_eq!(space[..2], [round, 100]);
        }
        ours.set_read_timeout(Duration::from_millis(40)).unwrap();
        let began = Instant::now();
        // What comes begins the wait anew.
        spawn(async move {
            sleep(Duration::from_millis(20)).await;
            theirs.write_all(b"x").await.unwrap();
            sleep(Duration::from_secs(3_600)).await;
        });
        assert_eq!(ours.read(&mut space).await.unwrap(), 1);
        let error = ours.read(&mut space).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    });
}

#[test]
fn a_peer_that_is_gone_is_an_error_or_an_end() {
    on_each(|| async {
        let (mut ours, theirs) = pair().await;
        drop(theirs);
        let mut space = [0; 16];
        assert_eq!(ours.read(&mut space).await.unwrap(), 0);
        let bytes = vec![0; 1 << 20];
        let mut failed = None;
        for _ in 0..100 {
            if let Err(error) = ours.write_all(&bytes).await {
                failed = Some(error.kind());
                break;
            }
        }
        let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(failed.is_some_and(|kind| expected.contains(&kind)), "{failed:?}");
        // Nobody listens at a port that was bound and let go.
        let free = std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
        let refused = TcpStream::connect(free, Duration::from_secs(5)).await.err().expect("nobody is there");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{refused}");
    });
}

#[test]
fn tasks_take_turns_and_end_with_their_core() {
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    for driver in DRIVERS {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let told = Told(is_dropped.clone());
        let core = async move {
            let (_, mut theirs) = pair().await;
            spawn(async move {
                let _told = told;
                let _never = theirs.read(&mut [0; 8]).await;
                sleep(Duration::from_secs(3_600)).await;
            });
            // One that never waits lets the others run.
            let turns = Rc::new(RefCell::new(0));
            let counted = turns.clone();
            spawn(async move {
                loop {
                    *counted.borrow_mut() += 1;
                    sleep(Duration::from_micros(100)).await;
                }
            });
            let until = Instant::now() + Duration::from_secs(5);
            while *turns.borrow() < 4 && Instant::now() < until {
                yield_if_needed().await;
            }
            assert!(*turns.borrow() > 3, "{} turns", turns.borrow());
        };
        driver.block_on(core).unwrap();
        // glommio leaves a task that waits for its ring to the end of the process.
        assert_eq!(is_dropped.load(Ordering::SeqCst), driver != Driver::Of(Runtime::Glommio), "{driver:?}");
    }
}

#[test]
fn a_core_that_is_not_there_is_named() {
    for runtime in Runtime::ALL {
        let options =
            CoreOptions { runtime, name: "nowhere".to_owned(), core: Some(900), spin_before_sleep: Duration::ZERO };
        let error = Core::start(options, || async {}).map_err(|error| error.to_string()).and_then(Core::join);
        assert!(error.is_err(), "{}", runtime.name());
    }
}
