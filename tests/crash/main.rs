//! Apply and destroy, ended at every point: before and after each call to a provider, after each group in the journal, after each
//! document. What a plain apply makes of it is judged by a record that is not tks's ([`ledger`]).
//!
//! It brings its own main, because the tks that is killed is this program too ([`lab`]). `cargo test --test crash -- WORD` runs the
//! scenarios with that word in their names.

#![allow(clippy::print_stdout, reason = "scenarios tell what they tried")]

mod clock;
mod disk;
mod lab;
mod ledger;
#[path = "../preload/mod.rs"]
mod preload;
mod scene;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clock::Clock;
use scene::{End, Scene, Tree};

const YEAR: i64 = 365 * 24 * 3600;

type Scenario = (&'static str, fn());

const SCENARIOS: &[Scenario] = &[
    (
        "killed_while_it_makes_everything",
        killed_while_it_makes_everything,
    ),
    (
        "killed_while_it_changes_everything",
        killed_while_it_changes_everything,
    ),
    ("killed_while_it_destroys", killed_while_it_destroys),
    ("killed_with_a_torn_journal", killed_with_a_torn_journal),
    ("killed_twice", killed_twice),
    (
        "killed_and_then_the_tree_is_another",
        killed_and_then_the_tree_is_another,
    ),
    (
        "killed_and_things_are_seen_late",
        killed_and_things_are_seen_late,
    ),
    ("a_clock_that_jumps", a_clock_that_jumps),
    ("interrupted_once_and_twice", interrupted_once_and_twice),
    (
        "a_provider_that_cannot_be_trusted",
        a_provider_that_cannot_be_trusted,
    ),
    (
        "teardown_waits_and_names_what_blocks",
        teardown_waits_and_names_what_blocks,
    ),
    ("a_full_disk", disk::full),
    ("a_disk_that_turns_read_only", disk::read_only),
];

fn main() -> ExitCode {
    if let Some(ledger) = std::env::var_os(lab::LEDGER) {
        return lab::main(PathBuf::from(ledger));
    }
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    for (name, scenario) in SCENARIOS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let begun = Instant::now();
            scenario();
            println!("{name}: ok ({:.1} s)", begun.elapsed().as_secs_f64());
        }
    }
    ExitCode::SUCCESS
}

/// Runs `attempt` for every point from 1 to `points`, two at a time.
fn at_every_point(points: usize, attempt: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let point = next.fetch_add(1, Ordering::SeqCst);
                    if point > points {
                        return;
                    }
                    attempt(point);
                }
            });
        }
    });
}

fn killed_while_it_makes_everything() {
    let points = Scene::new(Tree::First).points("apply");
    assert!(points > 60, "{points}");
    at_every_point(points, |point| {
        let scene = Scene::new(Tree::First);
        scene.end(End::Kill, point, "apply");
        scene.converges(&format!("killed at {point}"));
    });
    println!("  {points} points");
}

fn killed_while_it_changes_everything() {
    let before = Scene::applied(Tree::First);
    before.plant(Tree::Second);
    let points = before.copy().points("apply");
    assert!(points > 80, "{points}");
    at_every_point(points, |point| {
        let scene = before.copy();
        scene.end(End::Kill, point, "apply");
        scene.converges(&format!("killed at {point}"));
    });
    println!("  {points} points");
}

fn killed_while_it_destroys() {
    let before = Scene::applied(Tree::First);
    let points = before.copy().points("destroy");
    assert!(points > 50, "{points}");
    at_every_point(points, |point| {
        let scene = before.copy();
        scene.end(End::Kill, point, "destroy");
        let what = format!("killed at {point}");
        if point % 2 == 0 {
            scene.converges(&what);
        }
        scene.is_destroyed(&what);
    });
    println!("  {points} points");
}

/// A kill after a group was written and before it was synced: nobody acted upon it, and the last bytes may be gone.
fn killed_with_a_torn_journal() {
    let before = Scene::applied(Tree::First);
    before.plant(Tree::Second);
    let points = before.copy().points("apply");
    let torn = AtomicUsize::new(0);
    at_every_point(points, |point| {
        let scene = before.copy();
        scene.end(End::Kill, point, "apply");
        if scene.point() == "journaled" && scene.tear(point) {
            torn.fetch_add(1, Ordering::SeqCst);
            scene.converges(&format!("torn at {point}"));
        }
    });
    let torn = torn.into_inner();
    assert!(torn > 8, "{torn}");
    println!("  {torn} torn groups");
}

/// The run that makes it right is killed too.
fn killed_twice() {
    let before = Scene::applied(Tree::First);
    before.plant(Tree::Second);
    let points = before.copy().points("apply");
    let pairs: Vec<(usize, usize)> = (1..=points)
        .step_by(9)
        .flat_map(|first| (1..=points).step_by(13).map(move |second| (first, second)))
        .collect();
    at_every_point(pairs.len(), |at| {
        let (first, second) = pairs[at - 1];
        let scene = before.copy();
        scene.end(End::Kill, first, "apply");
        scene.end(End::Kill, second, "apply");
        scene.converges(&format!("killed at {first} and {second}"));
    });
    println!("  {} pairs of points", pairs.len());
}

/// What was in flight is no longer wanted, or wanted otherwise.
fn killed_and_then_the_tree_is_another() {
    let before = Scene::applied(Tree::First);
    let next = || {
        let scene = before.copy();
        scene.plant(Tree::Second);
        scene
    };
    let points = next().points("apply");
    at_every_point(points, |point| {
        let scene = next();
        scene.end(End::Kill, point, "apply");
        scene.plant(if point % 2 == 0 {
            Tree::First
        } else {
            Tree::Third
        });
        scene.converges(&format!("killed at {point}, and another tree"));
    });
    println!("  {points} points");
}

fn killed_and_things_are_seen_late() {
    let points = Scene::new(Tree::First).points("apply");
    at_every_point(points / 6, |point| {
        let scene = Scene::new(Tree::First);
        scene.ledger.hide(300);
        scene.end(End::Kill, point * 6, "apply");
        scene.converges(&format!("killed at {}, seen late", point * 6));
    });
    println!("  {} points", points / 6);
}

/// Killed, and the next run believes that it is years later, or earlier, while what was made is not seen yet, nor wanted any more.
fn a_clock_that_jumps() {
    let Some(clock) = Clock::build() else {
        return;
    };
    let points = Scene::new(Tree::First).points("apply");
    let jumps = [3 * YEAR, -3 * YEAR, 3600, -3600];
    at_every_point(points / 7, |at| {
        let (point, jump) = (at * 7, jumps[at % jumps.len()]);
        let mut scene = Scene::new(Tree::First);
        scene.ledger.hide(700);
        scene.end(End::Kill, point, "apply");
        scene.clock = Some(clock.off_by(jump));
        scene.plant(Tree::Second);
        scene.converges(&format!("killed at {point}, then {jump} s later"));
        scene.ledger.hide(0);
        scene.clock = Some(clock.off_by(-jump));
        scene.plant(Tree::Third);
        scene.converges(&format!("killed at {point}, then {jump} s earlier"));
        scene.clock = None;
        scene.is_destroyed("at its own time again");
    });
    println!("  {} points", points / 7);
}

fn interrupted_once_and_twice() {
    let before = Scene::applied(Tree::First);
    before.plant(Tree::Second);
    let points = before.copy().points("apply");
    let ends = [End::Interrupt, End::Terminate, End::InterruptTwice];
    at_every_point(points / 4, |at| {
        let (point, end) = (at * 4, ends[at % ends.len()]);
        let scene = before.copy();
        let code = scene.end(end, point, "apply");
        let gentle = matches!(code, Some(0 | 1 | 4));
        let good = gentle || (end == End::InterruptTwice && code == Some(130));
        assert!(good, "{end:?} at {point}: {code:?}");
        if gentle {
            assert!(!scene.has("locks"), "{end:?} at {point}: a lock is left");
        }
        scene.converges(&format!("{end:?} at {point}"));
    });
    println!("  {} points", points / 4);
}

fn a_provider_that_cannot_be_trusted() {
    for (operation, fault, code) in [
        ("create root", "late", 4),
        ("create cast", "fail", 4),
        ("create root", "again", 0),
        ("create leaf", "lie", 4),
        ("create end", "hang", 4),
        ("create cast", "panic", 70),
    ] {
        let scene = Scene::new(Tree::First);
        scene.ledger.inject(operation, fault, 1);
        let done = scene.tks(&["apply", "f", "--auto-approve", "--timeout", "2s"]);
        assert_eq!(done.code, code, "{operation} {fault}:\n{}", done.text());
        let is_bug = done.stderr.contains("This is a bug in tks");
        assert_eq!(is_bug, code == 70, "{operation} {fault}:\n{}", done.text());
        scene.converges(&format!("{operation} {fault}"));
    }
    let scene = Scene::applied(Tree::First);
    scene.ledger.inject("read leaf", "hang", 1);
    let hung = scene.tks(&["plan", "f", "--timeout", "1s"]).expect(1);
    assert!(
        hung.stderr.contains("not done within 1 s"),
        "{}",
        hung.stderr
    );
    // Changed by somebody else, and removed by somebody else.
    let things = scene.ledger.things();
    scene.ledger.remove(&things[0].id);
    scene
        .ledger
        .change(things[1].clone(), things[2].attributes.clone());
    scene.converges("drifted");
}

fn teardown_waits_and_names_what_blocks() {
    let scene = Scene::applied(Tree::First).strict();
    // Somebody else uses a thing: what blocks is named, and all that does not hang on it is gone.
    let things = scene.ledger.things();
    let root = things
        .iter()
        .find(|it| it.address.ends_with("one/base:lab.thing.root"));
    let root = root.expect("applied");
    let user = [("from".to_owned(), root.id.clone())].into();
    let stranger = scene.ledger.make("stranger", "none of tks's", user);
    let refused = scene.tks(&["destroy", "f", "--auto-approve"]).expect(4);
    let told = format!("is in use by {} (stranger)", stranger.id);
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    assert_eq!(
        scene.ledger.things().len(),
        2,
        "{:?}",
        scene.ledger.things()
    );
    scene.ledger.remove(&stranger.id);
    scene.is_destroyed("unblocked");
}
