//! An apply that is killed, at every step that lasts on disk and at seeded instants: the next one converges, nothing is lost and
//! nothing is left over.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Files, applying, ended, signal, states};
use crate::fleet::tks;
use crate::preload;
use serde_json::Value as Json;

const INSTANTS: usize = 30;
/// A run of these fleets cannot have fewer.
const LEAST_STEPS: usize = 10;

/// Kills at a step that lasts: a library that is preloaded.
struct KillAt(PathBuf);

impl KillAt {
    fn build(files: &Files) -> Option<Self> {
        let dir = files.dir.path();
        preload::build("apply/kill_at.c", dir, "kills at every step").map(Self)
    }

    /// Runs tks until its `at`-th step, or to its end; whether it was killed.
    fn run(&self, files: &Files, args: &[&str], at: usize) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self
            .command(files, args)
            .env("KILL_AT", at.to_string())
            .status()
            .expect("started");
        status.signal() == Some(9)
    }

    fn command(&self, files: &Files, args: &[&str]) -> Command {
        let mut command = Command::new(tks());
        command
            .args(args)
            .current_dir(files.dir.path())
            .env_remove("TKS_DATA_DIR")
            .env("LD_PRELOAD", &self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// No document of the state is half-written.
fn states_are_whole(files: &Files) {
    for state in states(&files.data().join("state")) {
        let text = fs::read_to_string(&state).expect("readable");
        let whole: Result<Json, _> = serde_json::from_str(&text);
        assert!(whole.is_ok(), "{} is half-written", state.display());
    }
}

const APPLY: [&str; 3] = ["apply", "f", "--auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "f", "--auto-approve"];

#[test]
fn an_apply_killed_at_every_step_converges() {
    let files = Files::new(1);
    let Some(kill) = KillAt::build(&files) else {
        return;
    };
    files.converges();
    let mut steps = 0;
    loop {
        files.tks(&DESTROY).expect(0);
        let killed = kill.run(&files, &APPLY, steps + 1);
        states_are_whole(&files);
        files.converges();
        if !killed {
            break;
        }
        steps += 1;
    }
    println!("an apply was killed at each of its {steps} steps");
    assert!(steps >= LEAST_STEPS, "its steps are not seen");
}

#[test]
fn a_destroy_killed_at_every_step_goes_on() {
    let files = Files::new(1);
    let Some(kill) = KillAt::build(&files) else {
        return;
    };
    let mut steps = 0;
    loop {
        files.converges();
        let killed = kill.run(&files, &DESTROY, steps + 1);
        states_are_whole(&files);
        files.tks(&DESTROY).expect(0);
        let left = fs::read_dir(files.data().join("one")).into_iter().flatten();
        assert_eq!(left.count(), 0, "files are left");
        if !killed {
            break;
        }
        steps += 1;
    }
    println!("a destroy was killed at each of its {steps} steps");
    assert!(steps >= LEAST_STEPS, "its steps are not seen");
}

/// A generator of instants that anybody can run again: `TKS_SEED` gives another.
struct Seeded(u64);

impl Seeded {
    fn new() -> Self {
        let seed = std::env::var("TKS_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(4);
        println!("TKS_SEED={seed}");
        Self(seed)
    }

    /// Below one (Knuth's MMIX).
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn an_apply_killed_at_seeded_instants_converges() {
    let mut seeded = Seeded::new();
    let files = Files::new(6);
    let begun = Instant::now();
    files.converges();
    let whole = begun.elapsed() / 2;
    for instant in 0..INSTANTS {
        files.tks(&DESTROY).expect(0);
        let pause = whole.mul_f64(seeded.next());
        let (mut child, stdout) = applying(&files, 0);
        sleep(pause);
        let _ = child.kill();
        ended(child, stdout);
        println!("killed for the {instant}th time, after {pause:?}");
        states_are_whole(&files);
        files.converges();
    }
}

#[test]
fn an_apply_killed_again_and_again_without_pause_converges() {
    let mut seeded = Seeded::new();
    let files = Files::new(12);
    for _ in 0..INSTANTS {
        let (child, stdout) = applying(&files, 0);
        sleep(Duration::from_secs_f64(seeded.next() * 0.2));
        signal(&child, "-KILL");
        ended(child, stdout);
        states_are_whole(&files);
    }
    files.converges();
}
