//! Which cores the control thread may run on: all but those that the engine is pinned to, if any are left.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and those that it starts later, off the given cores. Where no other core is left, or the
/// system refuses, nothing changes: sharing a core is slower, not wrong.
pub fn keep_off(cores: &[usize]) {
    if cores.is_empty() {
        return;
    }
    let Ok(mut allowed) = sched_getaffinity(None) else { return };
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        allowed.unset(*core);
    }
    if allowed.count() == 0 {
        tracing::debug!("every core is pinned; the control thread shares them");
        return;
    }
    if let Err(error) = sched_setaffinity(None, &allowed) {
        tracing::warn!(%error, "the control thread could not be kept off the worker cores");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_cores_are_left_unless_none_remains() {
        // On a thread of its own: affinity is inherited.
        std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
            keep_off(&all);
            assert_eq!(sched_getaffinity(None).unwrap().count(), before.count());
            if let Some((first, rest)) = all.split_first().filter(|(_, rest)| !rest.is_empty()) {
                keep_off(&[*first, 1 << 20]);
                let after = sched_getaffinity(None).unwrap();
                assert!(!after.is_set(*first));
                assert_eq!(after.count() as usize, rest.len());
            }
        })
        .join()
        .unwrap();
    }
}
