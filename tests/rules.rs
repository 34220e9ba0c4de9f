//! The house rules: the layers and the map of `src/README.md`, held against the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Rooms = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The table "Rooms and layers": room, layer, and what it may use.
fn map() -> BTreeMap<String, (u32, BTreeSet<String>)> {
    let text = read(&root().join("src/README.md"));
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let layer: u32 = cells.get(1)?.parse().ok()?;
        let room = cells.get(2)?.trim_matches('`').to_owned();
        let may = cells.get(4)?.split(',').map(|r| r.trim().to_owned());
        Some((room, (layer, may.filter(|r| !r.is_empty()).collect())))
    });
    rows.collect()
}

fn rooms() -> Vec<String> {
    let entries = fs::read_dir(root().join("src")).expect("src is there");
    let folders = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "proptest-regressions");
    let mut rooms: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    rooms.sort();
    rooms
}

/// The rooms that each room's manifest names, outside of its dev-dependencies.
fn used() -> Rooms {
    let rooms = rooms();
    let of = |room: &String| {
        let text = read(&root().join("src").join(room).join("Cargo.toml"));
        let mut section = String::new();
        let mut uses = BTreeSet::new();
        for line in text.lines() {
            if line.starts_with('[') {
                section = line.to_owned();
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if section == "[dependencies]" && rooms.iter().any(|r| r == name) {
                uses.insert(name.to_owned());
            }
        }
        (room.clone(), uses)
    };
    rooms.iter().map(of).collect()
}

#[test]
fn every_folder_under_src_is_a_room_of_the_map() {
    let on_the_map: Vec<String> = map().into_keys().collect();
    assert_eq!(rooms(), on_the_map, "src/README.md and src/ differ");
    for room in rooms() {
        assert!(
            root().join("src").join(&room).join("lib.rs").is_file(),
            "{room} has no lib.rs"
        );
    }
}

#[test]
fn a_room_uses_only_what_the_map_allows() {
    let map = map();
    for (room, uses) in used() {
        let (layer, may) = &map[&room];
        for other in uses {
            assert!(
                may.contains(&other),
                "{room} uses {other}: the map does not allow it"
            );
            assert!(
                map[&other].0 <= *layer,
                "{room} uses {other} of a layer above"
            );
        }
    }
}

#[test]
fn the_map_allows_nothing_that_nobody_needs() {
    let used = used();
    for (room, (_, may)) in map() {
        let idle: Vec<_> = may.difference(&used[&room]).collect();
        assert!(
            idle.is_empty(),
            "the map lets {room} use {idle:?}, which it does not"
        );
    }
}

#[test]
fn the_towers_do_not_know_each_other() {
    let infrastructure = ["stack", "plan", "provider"];
    let metrics = ["model", "proto", "tsdb", "promql", "store", "thanos"];
    for (room, uses) in used() {
        let strangers: &[&str] = if infrastructure.contains(&room.as_str()) {
            &metrics
        } else if metrics.contains(&room.as_str()) {
            &infrastructure
        } else {
            continue;
        };
        let met: Vec<_> = uses
            .iter()
            .filter(|u| strangers.contains(&u.as_str()))
            .collect();
        assert!(met.is_empty(), "{room} uses {met:?} of the other tower");
    }
}

#[test]
fn synchronous_rooms_have_no_runtime() {
    for room in ["model", "tsdb", "promql", "stack"] {
        let text = read(&root().join("src").join(room).join("Cargo.toml"));
        for banned in ["tokio", "futures", "reqwest", "hyper"] {
            let found = text.lines().any(|l| l.split('.').next() == Some(banned));
            assert!(!found, "{room} is synchronous and must not use {banned}");
        }
    }
}
