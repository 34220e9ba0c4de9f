//! Disks that are full or turn read-only: file systems in memory, in a mount namespace of their own.

use std::path::Path;
use std::process::Command;

use crate::scene::{End, Scene, Tree};

/// This program again, where it may mount.
const INSIDE: &str = "TKS_LAB_MOUNTS";

/// In a namespace of its own, or not at all, with a line that says so.
fn inside(scenario: &str, act: impl Fn()) {
    if std::env::var_os(INSIDE).is_some() {
        act();
        return;
    }
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    let can = command
        .arg("true")
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        println!("  left out: {scenario}, because file systems cannot be mounted here");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    let status = command.arg(own).arg(scenario).env(INSIDE, "1").status();
    assert!(status.expect("started").success(), "{scenario}");
}

fn mount(options: &str, what: &str, at: &Path) {
    let mut command = Command::new("mount");
    let status = command
        .args(["-t", "tmpfs", "-o", options, what])
        .arg(at)
        .status();
    assert!(status.expect("mount").success(), "mount -o {options}");
}

/// For disks from hardly any room to enough: what is done is what could be recorded, and with room again a plain apply goes on.
pub(crate) fn full() {
    inside("a_full_disk", || {
        let (mut failed, mut tried) = (0, 0);
        for (pages, killed) in (1..=16).flat_map(|pages| [(pages, false), (pages, true)]) {
            let disk = tempfile::tempdir().expect("a folder");
            mount(&format!("size={}", pages * 4096), "tks-full", disk.path());
            let scene = Scene::new(Tree::First).keeping_in(&disk.path().join("data"));
            match killed {
                true => drop(scene.end(End::Kill, 4 * pages, "apply")),
                false => {
                    let done = scene.tks(&["apply", "f", "--auto-approve"]);
                    failed += usize::from(done.code != 0);
                    let told = done.code == 0 || done.stderr.contains("No space left on device");
                    assert!(told, "{pages} pages:\n{}", done.text());
                }
            }
            mount("remount,size=64m", "tks-full", disk.path());
            scene.converges(&format!("{pages} pages"));
            tried += 1;
            drop(scene);
            let _ = Command::new("umount").arg(disk.path()).status();
        }
        assert!(failed > 3, "{failed} of {tried}");
        println!("  {tried} sizes, {failed} too small");
    });
}

/// From the beginning: nothing is begun. In the middle: nothing more is begun, and nothing is lost.
pub(crate) fn read_only() {
    inside("a_disk_that_turns_read_only", || {
        let disk = tempfile::tempdir().expect("a folder");
        mount("size=64m", "tks-read-only", disk.path());
        let scene = Scene::new(Tree::First).keeping_in(&disk.path().join("data"));
        mount("remount,ro", "tks-read-only", disk.path());
        let refused = scene.tks(&["apply", "f", "--auto-approve"]).expect(1);
        assert!(
            refused.stderr.contains("Read-only file system"),
            "{}",
            refused.stderr
        );
        assert!(scene.ledger.things().is_empty(), "nothing is begun");
        mount("remount,rw", "tks-read-only", disk.path());
        // An apply may be over before its point comes: then nothing is mounted.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let bound = elsewhere.path().join("bound");
        let mut failed = 0;
        for point in (1..=70).step_by(3) {
            // What was opened stays writable; what is opened from now on is not.
            scene.is_destroyed("before");
            let bind = format!(
                "mount --bind {0} {0} && touch {1} && mount -o remount,ro,bind {0}",
                disk.path().display(),
                bound.display()
            );
            scene.turn(point, &bind);
            let done = scene.tks(&["apply", "f", "--auto-approve"]);
            failed += usize::from(done.code != 0);
            if std::fs::remove_file(&bound).is_ok() {
                let unbound = Command::new("umount").arg(disk.path()).status();
                assert!(unbound.expect("umount").success(), "{point}");
            }
            scene.turn(0, "");
            scene.converges(&format!("read-only from {point} on"));
        }
        assert!(failed > 10, "{failed}");
        println!("  {failed} applies met it");
        drop(scene);
        let _ = Command::new("umount").arg(disk.path()).status();
    });
}
