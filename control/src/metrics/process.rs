//! What the operating system counts of this process. Linux; elsewhere everything is unknown.

use std::fs;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    /// The highest that `resident_bytes` has been.
    pub resident_peak_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_files: Option<u64>,
    pub cpu_seconds: f64,
}

impl Process {
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Process {
            resident_bytes: kibibytes(&status, "VmRSS:"),
            resident_peak_bytes: kibibytes(&status, "VmHWM:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            threads: number(&status, "Threads:"),
            // The folder itself is open while it is read.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        }
    }
}

fn number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, key: &str) -> Option<u64> {
    number(status, key)?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_by_name() {
        let status = "Name:\tmillstreamd\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n";
        for (key, expected) in [("VmRSS:", Some(1 << 20)), ("VmHWM:", Some(2 << 20)), ("VmSwap:", None)] {
            assert_eq!(kibibytes(status, key), expected, "{key}");
        }
        assert_eq!(number(status, "Threads:"), Some(7));
    }

    #[test]
    fn this_process_has_memory() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 16), "{process:?}");
        assert!(process.resident_peak_bytes >= process.resident_bytes);
    }
}
