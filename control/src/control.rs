//! The control thread: starts it, runs its loop, ends it.
//!
//! The end has two steps. A signal (or [`ControlHandle::shutdown`]) tells the worker cores and the server to end; the
//! control thread goes on, so that the last acks still become durable. [`ControlHandle::stop`] comes when the cores
//! are gone: what is not yet durable is written at once, and the thread ends.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam::channel::Receiver;
use futures::future::{BoxFuture, FutureExt, join_all};
use millstream_core::bridge::{ControlLink, Doorbell, FromControl, ToControl};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::affinity;
use crate::cursors::{CursorCommits, Finished, Job, JobResult};
use crate::http;
use crate::state::SharedState;
use crate::waking;

/// Messages handled before the loop looks at its timers and sockets again.
const MESSAGES_PER_TURN: usize = 256;
/// Cursor files that are written at the same time; a disk gains little from more.
const WRITERS_MAX: usize = 4;
/// As a shell shows a program that was ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

pub struct ControlConfig {
    pub admin_listen: SocketAddr,
    /// Cores that the engine is pinned to.
    pub avoid_cores: Vec<usize>,
    /// Called once, on the control thread, after the worker cores were told to end.
    pub on_shutdown: Box<dyn FnOnce() + Send>,
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(
        "server.admin_listen {address}: {error}; stop what listens there (another millstreamd?), or choose another port"
    )]
    Bind { address: SocketAddr, error: io::Error },
    #[error("the control thread cannot start: {0}")]
    Start(io::Error),
}

pub struct Control;

/// The running control thread. Dropping it stops it, as [`ControlHandle::stop`] does.
#[derive(Debug)]
pub struct ControlHandle {
    admin_address: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Shutdown,
    Stop,
}

impl Control {
    /// Listens first, so that a port in use is an error of the start.
    ///
    /// # Errors
    /// [`ControlError`], with nothing left running.
    pub fn start(
        config: ControlConfig,
        links: Vec<ControlLink>,
        to_control: Receiver<ToControl>,
        doorbell: Doorbell,
        shared: Arc<SharedState>,
        cursors: CursorCommits,
    ) -> Result<ControlHandle, ControlError> {
        let address = config.admin_listen;
        let bind = |error| ControlError::Bind { address, error };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let admin_address = listener.local_addr().map_err(bind)?;

        let (commands, received_commands) = mpsc::unbounded_channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name("millstream-control".to_owned()).spawn(move || {
            affinity::keep_off(&config.avoid_cores);
            let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WRITERS_MAX).build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            runtime.block_on(async move {
                let prepared =
                    signals().and_then(|signals| Ok((signals, tokio::net::TcpListener::from_std(listener)?)));
                let (signals, listener) = match prepared {
                    Ok(prepared) => prepared,
                    Err(error) => return drop(started.send(Err(error))),
                };
                tokio::spawn(http::serve(listener, shared.clone()));
                // The starter may have given up; then its end of the commands is closed, and the loop ends at once.
                let _ = started.send(Ok(()));
                let turn = Loop {
                    links,
                    shared,
                    cursors,
                    on_shutdown: Some(config.on_shutdown),
                    writing: None,
                    cores_gone: false,
                };
                turn.run(&to_control, &doorbell, received_commands, signals).await;
            });
        });
        let thread = thread.map_err(ControlError::Start)?;
        let outcome = start.recv().unwrap_or_else(|_| Err(io::Error::other("it ended early")));
        outcome.map_err(ControlError::Start)?;
        Ok(ControlHandle { admin_address, commands, thread: Some(thread) })
    }
}

impl ControlHandle {
    /// With the real port where 0 was configured.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The same as SIGTERM.
    pub fn shutdown(&self) {
        // A thread that has ended needs no telling.
        let _ = self.commands.send(Command::Shutdown);
    }

    /// False only if the thread has panicked or was stopped.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Writes what is not yet durable, and ends the thread. To be called when the worker cores have ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        self.end();
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

fn signals() -> io::Result<Signals> {
    Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

type Writing = BoxFuture<'static, Vec<JobResult>>;

struct Loop {
    links: Vec<ControlLink>,
    shared: Arc<SharedState>,
    cursors: CursorCommits,
    /// Taken by the first shutdown.
    on_shutdown: Option<Box<dyn FnOnce() + Send>>,
    /// The running group commit, and when it began.
    writing: Option<(Writing, Instant)>,
    cores_gone: bool,
}

impl Loop {
    async fn run(
        mut self,
        to_control: &Receiver<ToControl>,
        doorbell: &Doorbell,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut signals: Signals,
    ) {
        loop {
            let now = Instant::now();
            let due = self.cursors.deadline(now);
            tokio::select! {
                message = waking::next(to_control, doorbell), if !self.cores_gone => match message {
                    Some(message) => {
                        self.handle(message);
                        let more = to_control.try_iter().take(MESSAGES_PER_TURN);
                        more.for_each(|message| self.handle(message));
                    }
                    None => self.cores_gone = true,
                },
                () = sleep_until(due.unwrap_or(now).into()), if due.is_some() => {
                    let jobs = self.cursors.begin(Instant::now());
                    self.write(jobs);
                }
                results = written(&mut self.writing) => self.written(results),
                name = signals.next() => {
                    if self.on_shutdown.is_none() {
                        tracing::warn!("{name} again: ending at once");
                        std::process::exit(EXIT_INTERRUPTED);
                    }
                    tracing::info!("{name}: shutting down; once more ends at once");
                    self.shut_down();
                }
                command = commands.recv() => match command {
                    Some(Command::Shutdown) => self.shut_down(),
                    Some(Command::Stop) | None => break,
                },
            }
        }
        to_control.try_iter().for_each(|message| self.handle(message));
        self.write_the_rest().await;
    }

    fn handle(&mut self, message: ToControl) {
        match message {
            ToControl::SaveCursor { cursor, core, ticket, sequence } => {
                if let Some((core, refusal)) = self.cursors.save(cursor, core, ticket, sequence) {
                    self.answer(core, refusal);
                }
                self.shared.told().cursors.dirty = self.cursors.dirty_count() as u64;
            }
            ToControl::Histograms(histograms) => self.shared.told().histograms.merge(*histograms),
            ToControl::Status(status) => {
                self.shared.told().cores.insert(status.core, (Instant::now(), *status));
            }
        }
    }

    fn answer(&self, core: u16, answer: FromControl) {
        // A core that has ended needs no answer.
        if let Some(link) = self.links.iter().find(|link| link.core == core)
            && link.to_core.send(answer).is_ok()
        {
            link.doorbell.wake();
        }
    }

    fn shut_down(&mut self) {
        let Some(on_shutdown) = self.on_shutdown.take() else { return };
        self.shared.told().shutting_down = true;
        for link in &self.links {
            self.answer(link.core, FromControl::Shutdown);
        }
        on_shutdown();
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let writers = join_all(jobs.into_iter().map(|job| spawn_blocking(move || job.run())));
        let results = writers.map(|results| {
            let keep = |result: Result<JobResult, tokio::task::JoinError>| match result {
                Ok(result) => Some(result),
                Err(error) => {
                    tracing::error!(%error, "the cursor writer failed; its destination's cursors are saved no more");
                    None
                }
            };
            results.into_iter().filter_map(keep).collect()
        });
        self.writing = Some((results.boxed(), Instant::now()));
    }

    fn written(&mut self, (results, began): (Vec<JobResult>, Instant)) {
        self.writing = None;
        let now = Instant::now();
        let Finished { answers, saved, failures } = self.cursors.finish(results, now);
        {
            let mut told = self.shared.told();
            let counts = &mut told.cursors;
            counts.saved += saved;
            counts.writes += 1;
            counts.failures += failures.len() as u64;
            counts.write_seconds += now.duration_since(began).as_secs_f64();
            counts.dirty = self.cursors.dirty_count() as u64;
        }
        for (destination, error) in failures {
            tracing::error!(%destination, %error, "cursors are not durable; they are tried again, and clients wait for their acks");
        }
        for (core, answer) in answers {
            self.answer(core, answer);
        }
    }

    /// Before the end: a running write, and once more what has gathered since.
    async fn write_the_rest(&mut self) {
        for _ in 0..2 {
            if self.writing.is_some() {
                let results = written(&mut self.writing).await;
                self.written(results);
            }
            let jobs = self.cursors.begin_at_once(Instant::now());
            self.write(jobs);
        }
        let left = self.cursors.dirty_count();
        if left > 0 {
            tracing::error!(left, "cursors could not be made durable; their rows will be delivered again");
        }
    }
}

/// The results of the running write; never ready where there is none. Cancel-safe.
async fn written(writing: &mut Option<(Writing, Instant)>) -> (Vec<JobResult>, Instant) {
    match writing {
        Some((results, began)) => (results.await, *began),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
