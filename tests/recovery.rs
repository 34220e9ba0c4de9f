//! The demo fleet, hurt: every process killed, the supervisor killed, certificates renewed and logs cut under running processes.
//! Each time the next apply converges, nothing is lost and nothing is left over.

#![allow(
    clippy::print_stdout,
    reason = "steps and figures are for whoever reads the log"
)]

mod fleet;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use fleet::{Fleet, eventually, peer};

const OBSERVEE: &str = "local/eu-west-3/observee";
const QUERIER: &str = "local/eu-west-1/observer/thanos-query-0/query";
const INGRESS: &str = "local/eu-west-3/observee/tks-ingress-0/ingress";
/// As long as the supervisor lets a log grow, and more.
const LONG: usize = 17 << 20;

#[test]
fn a_hurt_fleet_recovers() {
    if peer("prometheus", "recovery").is_none() {
        return;
    }
    let fleet = Fleet::demo();
    fleet.apply().expect(0);
    every_process_killed(&fleet);
    all_processes_killed_at_once(&fleet);
    the_supervisor_killed(&fleet);
    certificates_renewed(&fleet);
    logs_cut(&fleet);
}

/// The next apply converges: everything runs, once, and a plan has no changes.
#[track_caller]
fn converges(fleet: &Fleet, wanted: &BTreeSet<String>) {
    fleet.apply().expect(0);
    fleet
        .tks(&["plan", "live/demo", "--detailed-exitcode"])
        .expect(0);
    let names: BTreeSet<String> = fleet.pids().into_iter().map(|(name, _)| name).collect();
    assert_eq!(&names, wanted);
    let supervisor = supervisor(fleet);
    let mut known: BTreeSet<i64> = fleet.pids().into_iter().map(|(_, pid)| pid).collect();
    known.insert(supervisor);
    let mut orphans = children_of(supervisor);
    orphans.extend(processes_of(fleet));
    orphans.retain(|pid| !known.contains(pid));
    assert!(
        orphans.is_empty(),
        "processes that nobody knows: {orphans:?}"
    );
}

fn names(fleet: &Fleet) -> BTreeSet<String> {
    fleet.pids().into_iter().map(|(name, _)| name).collect()
}

fn every_process_killed(fleet: &Fleet) {
    let wanted = names(fleet);
    for name in &wanted {
        let before = fleet.pid(name);
        kill(before);
        println!("killed {name}");
        converges(fleet, &wanted);
        assert_ne!(fleet.pid(name), before, "{name} is another process");
    }
}

fn all_processes_killed_at_once(fleet: &Fleet) {
    let wanted = names(fleet);
    for (_, pid) in fleet.pids() {
        kill(pid);
    }
    println!("killed all {}", wanted.len());
    converges(fleet, &wanted);
}

fn the_supervisor_killed(fleet: &Fleet) {
    let wanted = names(fleet);
    // Once while all runs, once while it brings up what was killed.
    for killed in [None, Some(QUERIER)] {
        let (before, supervisor) = (fleet.pids(), supervisor(fleet));
        if let Some(name) = killed {
            kill(fleet.pid(name));
        }
        kill(supervisor);
        println!("killed the supervisor");
        eventually("the end of its children", || {
            let mut pids = before.iter().map(|(_, pid)| *pid);
            (!pids.any(alive)).then_some(())
        });
        converges(fleet, &wanted);
    }
}

fn certificates_renewed(fleet: &Fleet) {
    let (address, host) = (
        fleet.output(OBSERVEE, "ingress.address"),
        fleet.output(OBSERVEE, "ingress.host"),
    );
    let serial = || {
        let script = format!(
            "openssl s_client -connect {address} -servername {host} -alpn h2 </dev/null 2>/dev/null | openssl x509 -noout -serial"
        );
        let output = Command::new("sh").args(["-c", &script]).output();
        String::from_utf8_lossy(&output.expect("openssl is installed").stdout).into_owned()
    };
    let (pid, before) = (fleet.pid(INGRESS), serial());
    assert!(before.starts_with("serial="), "{before}");
    let renew = [
        "apply",
        "live/demo",
        "--auto-approve",
        "--replace",
        "**/observee/ingress:tls.certificate.server",
    ];
    fleet.tks(&renew).expect(0);
    eventually("the new certificate on the wire", || {
        let now = serial();
        (now.starts_with("serial=") && now != before).then_some(())
    });
    assert_eq!(fleet.pid(INGRESS), pid, "the ingress was not restarted");
    println!("a new certificate, the same process");
}

fn logs_cut(fleet: &Fleet) {
    let log = log_of(fleet, "tks-ingress-0");
    let pid = fleet.pid(INGRESS);
    let filler = b"a line that a process wrote\n".repeat(LONG / 28);
    let mut file = OpenOptions::new().append(true).open(&log).expect("a log");
    file.write_all(&filler).expect("written");
    eventually("the log to be cut", || {
        let length = fs::metadata(&log).ok()?.len();
        (length < 1 << 20).then_some(())
    });
    let mut previous = log.clone().into_os_string();
    previous.push(".1");
    let kept = fs::metadata(&previous).expect("what was cut is kept").len();
    assert!(kept >= LONG as u64 - 28, "{kept} bytes are kept");
    assert_eq!(fleet.pid(INGRESS), pid, "the process goes on");
    let written = fs::metadata(&log).expect("a log").len();
    let stop = Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status();
    assert!(stop.expect("kill runs").success());
    eventually("a line at the new end", || {
        (fs::metadata(&log).ok()?.len() > written).then_some(())
    });
}

/// The log of a pod's only container.
fn log_of(fleet: &Fleet, pod: &str) -> PathBuf {
    fn find(folder: &Path, pod: &str) -> Option<PathBuf> {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            let below = if path.is_dir() {
                find(&path, pod)
            } else {
                let is_log = path.extension().is_some_and(|it| it == "log");
                (is_log && path.to_string_lossy().contains(pod)).then_some(path)
            };
            if below.is_some() {
                return below;
            }
        }
        None
    }
    find(&fleet.data_dir().join("logs"), pod).expect("a log of the pod")
}

fn kill(pid: i64) {
    let mut command = Command::new("kill");
    command.args(["-9", &pid.to_string()]).stderr(Stdio::null());
    command.status().expect("kill runs");
    // Gone, as far as others can tell.
    while alive(pid) {
        sleep(Duration::from_millis(5));
    }
}

fn alive(pid: i64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn supervisor(fleet: &Fleet) -> i64 {
    parent(fleet.pid(QUERIER))
}

fn parent(pid: i64) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let parent = fields.split_whitespace().nth(1);
    parent.and_then(|parent| parent.parse().ok()).unwrap_or(0)
}

fn all_processes() -> Vec<i64> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| alive(*pid)).collect()
}

fn children_of(pid: i64) -> Vec<i64> {
    let mut pids = all_processes();
    pids.retain(|child| parent(*child) == pid);
    pids
}

/// Processes whose command line names the fleet's folder.
fn processes_of(fleet: &Fleet) -> Vec<i64> {
    let folder = fleet.data_dir().display().to_string();
    let mut pids = all_processes();
    pids.retain(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    });
    pids
}
