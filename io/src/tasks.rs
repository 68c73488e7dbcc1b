//! Spawning: every task runs under `catch_unwind`, since a panic would else end its executor and all that runs there.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::runtime;

/// Runs a task on this core to its end. A panic in it is a bug: it is logged, and what the task held is dropped.
pub fn spawn(name: &'static str, task: impl Future<Output = ()> + 'static) {
    runtime::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            tracing::error!(task = name, "a task panicked: this is a bug in millstreamd, please report it");
        }
    });
}

/// The same for a task without which the process must not go on: it ends, so that its supervisor starts it anew.
pub fn spawn_vital(name: &'static str, task: impl Future<Output = ()> + 'static) {
    runtime::spawn(async move {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            tracing::error!(task = name, "a vital task panicked: this is a bug in millstreamd, please report it");
            std::process::abort();
        }
    });
}
