//! The driver on glommio 0.9.

use std::future::Future;
use std::io;
use std::time::Duration;

use glommio::{BuilderErrorKind, ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement, Shares};
use millstream_core::limits;

use super::CoreOptions;

mod nudge;

pub struct Core(ExecutorJoinHandle<()>);

impl Core {
    pub fn start<F>(options: &CoreOptions, task: impl FnOnce() -> F + Send + 'static) -> io::Result<Core>
    where
        F: Future<Output = ()> + 'static,
    {
        let placement = options.core.map_or(Placement::Unbound, Placement::Fixed);
        // The builder's preempt timer stays at its default: with a short one an executor can fall asleep before its first
        // task has run (see `nudge`). The queue's own latency is what counts for a busy core.
        let handle = LocalExecutorBuilder::new(placement)
            .name(&options.name)
            .spin_before_park(options.spin_before_sleep)
            .io_memory(limits::EXECUTOR_IO_MEMORY_BYTES)
            .ring_depth(limits::EXECUTOR_RING_DEPTH)
            .spawn(move || async move {
                let latency = Latency::Matters(Duration::from_micros(limits::PREEMPT_US));
                let queue = glommio::executor().create_task_queue(Shares::default(), latency, "engine");
                let awake = glommio::spawn_local(nudge::keep_awake());
                if let Ok(main) = glommio::spawn_local_into(async move { nudge::watched(task()).await }, queue) {
                    main.await;
                }
                awake.cancel().await;
            })?;
        Ok(Core(handle))
    }

    pub fn join(self) -> Result<(), String> {
        self.0.join().map_err(|error| match error {
            GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(_)) => "its thread ended in a panic".to_owned(),
            error => error.to_string(),
        })
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let executor = LocalExecutorBuilder::default().ring_depth(limits::EXECUTOR_RING_DEPTH).make()?;
    Ok(executor.run(async {
        let awake = glommio::spawn_local(nudge::keep_awake());
        let result = nudge::watched(future).await;
        awake.cancel().await;
        result
    }))
}

pub fn spawn(task: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(nudge::watched(task)).detach();
}

pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}
