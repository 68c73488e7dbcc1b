//! What a process has used: processor time and memory, sampled while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_tests::harness::resident_bytes;

use crate::clock::now_ns;

const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// One reading of all watched processes together.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at_ns: u64,
    pub cpu_ns: u64,
    pub resident_bytes: u64,
}

/// Watches processes until it is stopped.
pub struct Watch {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Watch {
    pub fn start(pids: Vec<u32>) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let seen = stopping.clone();
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            // A process that has ended counts with what it had used.
            let mut last = vec![(0, 0); pids.len()];
            while !seen.load(Ordering::Relaxed) {
                for (pid, last) in pids.iter().zip(&mut last) {
                    let cpu_ns = cpu_ns(*pid).unwrap_or(last.0);
                    *last = (cpu_ns, resident_bytes(*pid).unwrap_or(last.1));
                }
                samples.push(Sample {
                    at_ns: now_ns(),
                    cpu_ns: last.iter().map(|(cpu, _)| cpu).sum(),
                    resident_bytes: last.iter().map(|(_, resident)| resident).sum(),
                });
                std::thread::sleep(SAMPLE_EVERY);
            }
            samples
        });
        Self { stopping, thread }
    }

    pub fn stop(self) -> Usage {
        self.stopping.store(true, Ordering::Relaxed);
        Usage { samples: self.thread.join().unwrap_or_default() }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Usage {
    samples: Vec<Sample>,
}

impl Usage {
    /// Processor time between two moments, both interpolated; exact to the kernel's tick of 10 ms for each process.
    pub fn cpu_ns(&self, from_ns: u64, to_ns: u64) -> f64 {
        self.cpu_at(to_ns) - self.cpu_at(from_ns)
    }

    fn cpu_at(&self, at_ns: u64) -> f64 {
        let after = self.samples.partition_point(|sample| sample.at_ns < at_ns);
        match (after.checked_sub(1).and_then(|index| self.samples.get(index)), self.samples.get(after)) {
            (Some(before), Some(after)) => {
                let part = (at_ns - before.at_ns) as f64 / (after.at_ns - before.at_ns).max(1) as f64;
                before.cpu_ns as f64 + part * (after.cpu_ns as f64 - before.cpu_ns as f64)
            }
            (Some(only), None) | (None, Some(only)) => only.cpu_ns as f64,
            (None, None) => 0.0,
        }
    }

    pub fn resident_bytes_max(&self) -> u64 {
        self.samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0)
    }
}

/// Processor time of a process, its own and the kernel's for it.
pub fn cpu_ns(pid: u32) -> Option<u64> {
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th fields behind it.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// Binds the calling thread to a core, where there is such a core.
pub fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}
