//! What a running process costs: CPU to the nanosecond, and the peak of its memory.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Memory is looked at so often.
const SAMPLED_EVERY: Duration = Duration::from_millis(50);

/// The CPU time of all threads of a process, those that have ended too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu(ClockId);

impl Cpu {
    pub(crate) fn of(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.try_into().expect("a pid"));
        Self(clock_getcpuclockid(pid).expect("it runs"))
    }

    pub(crate) fn of_myself() -> Self {
        Self(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// So far.
    pub(crate) fn spent(self) -> Duration {
        clock_gettime(self.0).expect("it runs").into()
    }

    /// Waits until the process has nothing to do.
    pub(crate) fn wait_until_idle(self) {
        let mut before = self.spent();
        for _ in 0..100 {
            sleep(Duration::from_millis(200));
            let now = self.spent();
            if now - before < Duration::from_millis(2) {
                return;
            }
            before = now;
        }
    }
}

/// MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// The most of RssAnon + RssShmem that was seen.
    pub(crate) anonymous: f64,
    /// VmHWM, which counts mapped files too.
    pub(crate) high: f64,
}

/// Looks at the memory of a process until it is asked for the peak.
#[derive(Debug)]
pub(crate) struct Memory {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            loop {
                let last = ends.load(Ordering::Relaxed);
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let now = mebibytes(&status, "RssAnon:") + mebibytes(&status, "RssShmem:");
                peak.anonymous = peak.anonymous.max(now);
                peak.high = peak.high.max(mebibytes(&status, "VmHWM:"));
                if last {
                    return peak;
                }
                sleep(SAMPLED_EVERY);
            }
        });
        Self { over, thread }
    }

    pub(crate) fn peak(self) -> Peak {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads")
    }
}

fn mebibytes(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}
