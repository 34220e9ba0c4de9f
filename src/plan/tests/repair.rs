//! States put right by hand.

use stack::{ClusterPath, Secret, Value};

use super::world::{Bench, address, files, of, plain};
use crate::{LockError, Options, PlanMode, Repair, RepairError, Silent, StateStore};

fn cluster(name: &str) -> ClusterPath {
    address(&format!("{name}.x")).unit.cluster
}

async fn begin<'a>(store: &'a StateStore, others: &[&str]) -> Result<Repair<'a>, RepairError> {
    let others: Vec<ClusterPath> = others.iter().map(|name| cluster(name)).collect();
    Repair::begin(store, &others, &Options::default(), &Silent).await
}

/// `ca` in cluster one, `cert` in two that needs it; both with ports.
async fn made() -> Bench {
    let bench = Bench::new();
    let port = ("wants_port", plain(true));
    let tree = bench
        .tree()
        .with("one.ca", std::slice::from_ref(&port))
        .with("two.cert", &[port, ("from", of("one.ca", "id"))]);
    bench.up(&tree).await;
    bench.world.take_log();
    bench
}

#[tokio::test]
async fn a_cluster_that_is_called_otherwise_keeps_resources_outputs_ports_and_edges() {
    let bench = made().await;
    let store = bench.store();
    let ports: Vec<u16> = ports(&store);
    let mut repair = begin(&store, &["new"]).await.unwrap();
    let moved = repair.rename("a/r/one", "a/r/new/").unwrap();
    assert_eq!(moved, [(address("one.ca"), address("new.ca"))]);
    repair.commit().unwrap();
    // What is in the world is not called by its cluster.
    let thing = bench
        .world
        .things
        .lock()
        .unwrap()
        .remove(&address("one.ca"));
    let insert = |thing| {
        let mut things = bench.world.things.lock().unwrap();
        things.insert(address("new.ca"), thing);
    };
    insert(thing.unwrap());
    let port = ("wants_port", plain(true));
    let tree = bench
        .tree()
        .with("new.ca", std::slice::from_ref(&port))
        .with("two.cert", &[port, ("from", of("new.ca", "id"))]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert!(plan.is_empty() && !plan.bookkeeping, "{plan:?}");
    assert_eq!(ports, self::ports(&store));
    let names: Vec<_> = store.clusters().unwrap();
    assert_eq!(names, [cluster("new"), cluster("two")]);
    assert!(!store.history(&cluster("one")).unwrap().is_empty());
}

fn ports(store: &StateStore) -> Vec<u16> {
    let allocations = store.allocations().unwrap();
    let mut ports: Vec<u16> = allocations.ports().map(|(_, port)| port).collect();
    ports.sort_unstable();
    ports
}

#[tokio::test]
async fn a_move_over_something_else_or_of_nothing_changes_nothing() {
    let bench = made().await;
    let store = bench.store();
    let before = files(&bench.data_dir());
    let mut repair = begin(&store, &[]).await.unwrap();
    let over = repair.rename("a/r/one/u:mem.box.ca", "a/r/two/u:mem.box.cert");
    assert!(matches!(over, Err(RepairError::Occupied(_))), "{over:?}");
    for (from, to) in [
        ("a/r/one/u:mem.box.ca", "a/r/one/u:mem.bag.ca"),
        ("a/r/one/u", "a/r/one"),
        ("a/r/one", "a/r/one"),
        ("", "a/r/one"),
    ] {
        let unlike = repair.rename(from, to);
        assert!(matches!(unlike, Err(RepairError::Unlike { .. })), "{from}");
    }
    let nothing = repair.rename("a/r/one/v", "a/r/one/w");
    assert!(matches!(nothing, Err(RepairError::NothingThere(_))));
    repair.commit().unwrap();
    assert_eq!(before, files(&bench.data_dir()));
}

#[tokio::test]
async fn what_is_forgotten_is_left_where_it_is() {
    let bench = made().await;
    let store = bench.store();
    let mut repair = begin(&store, &[]).await.unwrap();
    let dropped = repair.forget(&["a/r/two".parse().unwrap()]).unwrap();
    assert_eq!(dropped, [address("two.cert")]);
    repair.commit().unwrap();
    assert_eq!(store.clusters().unwrap(), [cluster("one")]);
    assert_eq!(store.allocations().unwrap().ports().count(), 1);
    assert!(bench.world.take_log().is_empty());
}

#[tokio::test]
async fn a_document_is_put_back_only_over_its_own_earlier_self() {
    let bench = made().await;
    let store = bench.store();
    let file = bench.dir.path().join("pulled.json");
    let bytes = store.document(&cluster("one")).unwrap().unwrap();
    assert!(
        !String::from_utf8_lossy(&bytes).contains("token-of-ca"),
        "secrets stay sealed"
    );
    let text = String::from_utf8(bytes).unwrap();
    std::fs::write(&file, text.replace("id-ca-Null", "id-by-hand")).unwrap();
    assert!(store.read_file(&file).is_err(), "the checksum tells");
    let checksum = text.lines().find(|line| line.contains("\"checksum\""));
    let edited = text
        .replace(checksum.unwrap(), "")
        .replace("id-ca-Null", "id-by-hand");
    std::fs::write(&file, &edited).unwrap();
    let mut repair = begin(&store, &[]).await.unwrap();
    repair.put(store.read_file(&file).unwrap(), false).unwrap();
    repair.commit().unwrap();
    let state = store.load(&cluster("one")).unwrap().unwrap();
    let ca = &state.resources[&address("one.ca")];
    assert_eq!(ca.attributes["id"], "id-by-hand".into());
    // The same document again is behind by one now; and one of another lineage is no version of it at all.
    let mut repair = begin(&store, &[]).await.unwrap();
    let older = repair.put(store.read_file(&file).unwrap(), false);
    assert!(matches!(older, Err(RepairError::Older { .. })), "{older:?}");
    let lineage = state.lineage.clone();
    std::fs::write(&file, edited.replace(&lineage, "01OTHER")).unwrap();
    let other = repair.put(store.read_file(&file).unwrap(), false);
    assert!(matches!(other, Err(RepairError::OtherLineage { .. })));
    repair.put(store.read_file(&file).unwrap(), true).unwrap();
    repair.commit().unwrap();
    let forced = store.load(&cluster("one")).unwrap().unwrap();
    assert_eq!(
        (forced.lineage.as_str(), forced.serial),
        ("01OTHER", state.serial + 1)
    );
}

#[tokio::test]
async fn nothing_is_put_right_while_somebody_works_or_a_run_waits_to_be_found_out() {
    let bench = made().await;
    let store = bench.store();
    let first = begin(&store, &[]).await.unwrap();
    let held = begin(&store, &[]).await.unwrap_err();
    assert!(matches!(held, RepairError::Lock(LockError::Held { .. })));
    let locks = store.locks().unwrap();
    assert_eq!(locks.len(), 2);
    assert_eq!(locks[0].holder.as_ref().unwrap().pid, std::process::id());
    assert!(store.release_lock(&cluster("one")).is_err());
    drop(first);
    assert!(store.locks().unwrap().is_empty());
    // What a killed process left is no lock.
    let left = bench.data_dir().join("locks/a/r");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("one.lock"), "{}").unwrap();
    assert!(store.locks().unwrap().is_empty());
    assert!(store.release_lock(&cluster("one")).unwrap());
    assert!(!left.exists());
    let folder = bench.data_dir().join("journal/a/r");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("one.jsonl"), "").unwrap();
    let waits = begin(&store, &[]).await.unwrap_err();
    assert!(matches!(waits, RepairError::Interrupted(_)), "{waits}");
}

#[tokio::test]
async fn another_key_seals_everything_anew_and_an_interrupted_change_is_completed() {
    let bench = Bench::new();
    let secret = || plain(Value::Secret(Secret::new("hunter2-hunter2")));
    let tree = |size: i64| {
        let tree = bench
            .tree()
            .with("a", &[("password", secret()), ("size", plain(size))]);
        tree.with("two.b", &[("password", secret())])
    };
    bench.up(&tree(1)).await;
    bench.up(&tree(2)).await;
    let key = bench.data_dir().join("key");
    let old = std::fs::read(&key).unwrap();
    // As if one document were sealed anew, and then the process had died.
    let options = Options::default();
    let one = bench.data_dir().join("state/a/r/two.json");
    let before = std::fs::read(&one).unwrap();
    let done = bench.store().rekey(None, &options, &Silent).await.unwrap();
    assert_eq!(done.documents, 3, "two states and an earlier version");
    std::fs::rename(&key, bench.data_dir().join("key.new")).unwrap();
    std::fs::write(&key, &old).unwrap();
    std::fs::write(&one, before).unwrap();
    let refused = bench.store().load_all().unwrap_err();
    assert!(refused.to_string().contains("run it again"), "{refused}");
    let done = bench.store().rekey(None, &options, &Silent).await.unwrap();
    assert_eq!(done.documents, 1);
    assert_ne!(std::fs::read(&key).unwrap(), old);
    assert!(!bench.data_dir().join("key.new").exists());
    assert!(
        bench
            .plan(&tree(2), PlanMode::Apply)
            .await
            .unwrap()
            .is_empty()
    );
    for version in bench.store().history(&address("a").unit.cluster).unwrap() {
        bench.store().read_file(&version.path).unwrap();
    }
}
