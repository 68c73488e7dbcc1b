use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam::channel::{Sender, unbounded};
use millstream_core::bridge::{Cursor, SourceStatus};
use millstream_core::metrics::{Stage, StageHistograms};

use super::*;
use crate::cursors::{CursorStorage, FileCursors};
use crate::http::tests::get;
use crate::state::tests::{FakeDestination, position, shared_state};

/// Long enough for any machine; a test that passes never waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    handle: ControlHandle,
    to_control: Sender<ToControl>,
    doorbell: Doorbell,
    from_control: Receiver<FromControl>,
    shutdowns: Arc<AtomicU32>,
}

fn start(folder: &std::path::Path, destination: &Arc<FakeDestination>) -> Bench {
    let (to_control, received) = unbounded();
    let (to_core, from_control) = unbounded();
    let doorbell = Doorbell::default();
    let shutdowns = Arc::new(AtomicU32::new(0));
    let storage: Box<dyn CursorStorage> = Box::new(FileCursors::new("orders", folder, 1));
    let cursors =
        CursorCommits::open(vec![("orders".to_owned(), storage)]).map_err(|errors| errors[0].clone()).unwrap();
    let counted = shutdowns.clone();
    let config = ControlConfig {
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        avoid_cores: Vec::new(),
        on_shutdown: Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    };
    let links = vec![ControlLink { core: 0, to_core, doorbell: Doorbell::default() }];
    let handle = Control::start(config, links, received, doorbell.clone(), shared_state(destination), cursors).unwrap();
    Bench { handle, to_control, doorbell, from_control, shutdowns }
}

impl Bench {
    fn send(&self, message: ToControl) {
        self.to_control.send(message).unwrap();
        self.doorbell.wake();
    }

    fn save(&self, subscription: &str, sequence: u64) {
        let cursor = Cursor { destination: "orders".into(), subscription: subscription.into(), position: position() };
        self.send(ToControl::SaveCursor { cursor, core: 0, ticket: 7, sequence });
    }
}

#[test]
fn a_cursor_is_answered_when_it_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let bench = start(folder.path(), &Arc::default());
    bench.save("billing", 41);
    match bench.from_control.recv_timeout(PATIENCE).unwrap() {
        FromControl::CursorSaved { ticket: 7, sequence: 41 } => {}
        other => panic!("{other:?}"),
    }
    let loaded = FileCursors::new("orders", folder.path(), 1).load().unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].position, position());
    bench.handle.stop();
}

#[test]
fn the_last_cursors_are_written_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = start(folder.path(), &Arc::default());
    for number in 0..50 {
        bench.save(&format!("s{number}"), 1);
    }
    bench.handle.stop();
    assert_eq!(FileCursors::new("orders", folder.path(), 1).load().unwrap().len(), 50);
}

#[test]
fn a_disk_that_refuses_is_told_and_does_not_stop_http() {
    let folder = tempfile::tempdir().unwrap();
    let bench = start(folder.path(), &Arc::default());
    std::fs::create_dir(folder.path().join("cursors.new")).unwrap();
    bench.save("billing", 41);
    assert!(matches!(bench.from_control.recv_timeout(PATIENCE).unwrap(), FromControl::CursorFailed { ticket: 7, .. }));
    let (code, metrics) = get(bench.handle.admin_address(), "/metrics");
    assert_eq!(code, 200);
    assert!(metrics.contains("millstream_cursor_write_failures_total 1\n"), "{metrics}");
    // Mended: the same cursor is saved without being sent again.
    std::fs::remove_dir(folder.path().join("cursors.new")).unwrap();
    loop {
        match bench.from_control.recv_timeout(PATIENCE).unwrap() {
            FromControl::CursorSaved { sequence: 41, .. } => break,
            FromControl::CursorFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    bench.handle.stop();
}

#[test]
fn what_cores_tell_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Arc::new(FakeDestination {
        status: Mutex::new(SourceStatus { state: "streaming".to_owned(), ..SourceStatus::default() }),
        ..FakeDestination::default()
    });
    let bench = start(folder.path(), &destination);
    let mut histograms = StageHistograms::default();
    histograms.record(Stage::EncodeToSent, 500, 2);
    bench.send(ToControl::Histograms(Box::new(histograms.clone())));
    bench.send(ToControl::Histograms(Box::new(histograms)));
    // Answered in order, so that both have been read then.
    bench.save("billing", 1);
    bench.from_control.recv_timeout(PATIENCE).unwrap();
    let (_, metrics) = get(bench.handle.admin_address(), "/metrics");
    let expected = "millstream_stage_latency_seconds_count{stage=\"encode_to_sent\",clock=\"server\"} 4\n";
    assert!(metrics.contains(expected), "{metrics}");
    assert_eq!(get(bench.handle.admin_address(), "/readyz").0, 200);
    bench.handle.stop();
}

#[test]
fn shutdown_is_told_once_and_control_goes_on_until_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let bench = start(folder.path(), &Arc::default());
    bench.handle.shutdown();
    bench.handle.shutdown();
    assert!(matches!(bench.from_control.recv_timeout(PATIENCE).unwrap(), FromControl::Shutdown));
    bench.save("billing", 5);
    assert!(matches!(bench.from_control.recv_timeout(PATIENCE).unwrap(), FromControl::CursorSaved { .. }));
    assert_eq!(bench.shutdowns.load(Ordering::SeqCst), 1);
    let (code, text) = get(bench.handle.admin_address(), "/readyz");
    assert_eq!(code, 503);
    assert!(text.contains("shutting down"), "{text}");
    assert!(bench.handle.is_running());
    bench.handle.stop();
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &Arc::default());
    let config = ControlConfig {
        admin_listen: first.handle.admin_address(),
        avoid_cores: Vec::new(),
        on_shutdown: Box::new(|| {}),
    };
    let cursors = CursorCommits::open(Vec::new()).map_err(|errors| errors.len()).unwrap();
    let (_sender, received) = unbounded();
    let shared = shared_state(&Arc::default());
    let error = Control::start(config, Vec::new(), received, Doorbell::default(), shared, cursors).unwrap_err();
    assert!(error.to_string().starts_with("server.admin_listen 127.0.0.1:"), "{error}");
}
