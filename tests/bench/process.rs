//! CPU and memory of a running process, as `/proc` tells them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Linux tells CPU time in these.
const TICKS_A_SECOND: f64 = 100.0;
/// Between two looks at the memory of a process.
const SAMPLE: Duration = Duration::from_millis(50);
const MIB: f64 = 1024.0;

/// User and system seconds so far. They stand 12th and 13th behind the name, which ends with the last parenthesis.
pub(crate) fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// KiB of RssAnon + RssShmem, and of VmHWM; none once the process has ended.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
    };
    Some((field("RssAnon:")? + field("RssShmem:")?, field("VmHWM:")?))
}

/// MiB of RssAnon + RssShmem now.
pub(crate) fn anonymous(pid: u32) -> f64 {
    memory(pid).map_or(0.0, |(anonymous, _)| anonymous as f64 / MIB)
}

/// Looks at the memory of a process until it is dropped.
pub(crate) struct Watch {
    peak: Arc<AtomicU64>,
    high: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(pid: u32) -> Self {
        let (peak, high) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let done = Arc::<AtomicBool>::default();
        let shared = (peak.clone(), high.clone(), done.clone());
        let look = move || {
            let (peak, high, done) = shared;
            while !done.load(Ordering::Relaxed) {
                if let Some((anonymous, most)) = memory(pid) {
                    peak.fetch_max(anonymous, Ordering::Relaxed);
                    high.fetch_max(most, Ordering::Relaxed);
                }
                sleep(SAMPLE);
            }
        };
        Self {
            peak,
            high,
            done,
            thread: Some(std::thread::spawn(look)),
        }
    }

    /// MiB at most, until now.
    pub(crate) fn peak(&self) -> f64 {
        self.peak.load(Ordering::Relaxed) as f64 / MIB
    }

    /// VmHWM in MiB.
    pub(crate) fn high(&self) -> f64 {
        self.high.load(Ordering::Relaxed) as f64 / MIB
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
