//! `process_*` metrics as every Prometheus client exports them, from `/proc/self` (proc(5)).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` at each scrape; exports nothing where there is no `/proc`.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    ticks_per_second: f64,
    page_size: f64,
}

impl ProcessCollector {
    pub(crate) fn new() -> Self {
        // Linux reports times to user space in 1/100 s on every architecture (USER_HZ).
        Self {
            ticks_per_second: 100.0,
            page_size: page_size(),
        }
    }
}

/// Fields of `/proc/self/stat` after the command, by their number in proc(5) minus 3.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    after_command
        .split_ascii_whitespace()
        .nth(number - 3)?
        .parse()
        .ok()
}

fn page_size() -> f64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let kib = smaps.lines().find_map(|line| {
        line.strip_prefix("KernelPageSize:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.map_or(4096.0, |kib| kib * 1024.0)
}

fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn open_files() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // One of them is the descriptor that reads the folder.
    u64::try_from(entries.count())
        .ok()
        .map(|count| count.saturating_sub(1))
}

fn max_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
            return Ok(());
        };
        if let (Some(user), Some(system)) = (stat_field(&stat, 14), stat_field(&stat, 15)) {
            let seconds = ConstCounter::new((user + system) / self.ticks_per_second);
            let name = "process_cpu_seconds";
            let help = "Total user and system CPU time spent in seconds";
            seconds.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                seconds.metric_type(),
            )?)?;
        }
        let start = boot_time()
            .zip(stat_field(&stat, 22))
            .map(|(boot, ticks)| boot + ticks / self.ticks_per_second);
        let resident = stat_field(&stat, 24).map(|pages| pages * self.page_size);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of descriptors is small"
        )]
        let open = open_files().map(|count| count as f64);
        let gauges = [
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds",
                start,
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                resident,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes",
                stat_field(&stat, 23),
            ),
            ("process_open_fds", "Number of open file descriptors", open),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                max_files(),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 99 4096 11";
        assert_eq!(stat_field(stat, 14), Some(250.0));
        assert_eq!(stat_field(stat, 15), Some(50.0));
        assert_eq!(stat_field(stat, 22), Some(99.0));
        assert_eq!(stat_field(stat, 24), Some(11.0));
    }

    #[test]
    fn this_process_has_memory_files_and_a_plausible_start() {
        let text = crate::metrics::Registry::new().text();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {text}"))[name.len() + 1..]
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds");
        assert!((-5.0..86_400.0).contains(&age), "{age}");
    }
}
