//! The engine as a whole, on a world in memory.

mod graphs;
mod parts;
mod recovery;
mod refactor;
mod repair;
mod world;

use stack::{OnDestroy, Secret, Value};

use crate::{
    Action, ApplyError, Diff, Failure, LockError, Plan, PlanError, PlanMode, Reason, StateError,
};
use world::{Bench, address, files, of, plain};

fn actions(plan: &Plan) -> Vec<(&str, Action)> {
    plan.changes
        .iter()
        .map(|change| (change.address.name.as_str(), change.action))
        .collect()
}

#[tokio::test]
async fn unknowns_cross_units_and_a_second_plan_is_empty() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("one.ca", &[])
        .with("two.cert", &[("from", of("one.ca", "id"))]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let cert = plan.change(&address("two.cert")).unwrap();
    assert_eq!(
        cert.after.as_ref().unwrap()["from"]
            .waits_for()
            .into_iter()
            .collect::<Vec<_>>(),
        ["a/r/one/u:mem.box.ca.id"]
    );
    assert!(!bench.data_dir().exists(), "a plan writes nothing");
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert_eq!((applied.counts.create, applied.is_complete()), (2, true));
    assert_eq!(bench.world.take_log(), ["create ca", "create cert"]);
    let outputs = bench.store().outputs().unwrap();
    assert_eq!(
        outputs[&address("one.ca").unit]["ca_id"],
        "id-ca-Null".into()
    );
    let again = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert!(
        again.is_empty() && !again.bookkeeping && again.drift.is_empty(),
        "{again:?}"
    );
    assert!(bench.dir.path().join(".tks/.gitignore").exists());
}

#[tokio::test]
async fn what_cannot_change_in_place_is_replaced_and_says_why() {
    let bench = Bench::new();
    let tree = |fixed: i64| {
        let ca = [("fixed", plain(fixed)), ("size", plain(1))];
        bench
            .tree()
            .with("ca", &ca)
            .with("user", &[("from", of("ca", "id"))])
    };
    bench.up(&tree(1)).await;
    bench.world.take_log();
    let plan = bench.plan(&tree(2), PlanMode::Apply).await.unwrap();
    assert_eq!(
        actions(&plan),
        [("ca", Action::Replace), ("user", Action::Update)]
    );
    let ca = &plan.changes[0];
    assert!(matches!(ca.reason, Some(Reason::CannotUpdate(_))));
    let forcing: Vec<&Diff> = ca
        .diffs
        .iter()
        .filter(|diff| diff.forces.is_some())
        .collect();
    assert_eq!(forcing[0].path, "fixed");
    bench.apply(&tree(2), &plan).await.unwrap();
    assert_eq!(
        bench.world.take_log(),
        ["delete ca", "create ca", "update user"]
    );
    let first = bench
        .tree()
        .with("ca", &[("fixed", plain(3))])
        .with("user", &[("from", of("ca", "id"))]);
    bench
        .up(&first.lifecycle("ca", |lifecycle| lifecycle.create_before_destroy = true))
        .await;
    assert_eq!(
        bench.world.take_log(),
        ["create ca", "update user", "delete ca"]
    );
}

#[tokio::test]
async fn what_leaves_the_tree_is_removed_after_what_needed_it_is_updated() {
    let bench = Bench::new();
    bench
        .up(&bench
            .tree()
            .with("a", &[])
            .with("b", &[("from", of("a", "id"))]))
        .await;
    bench.world.take_log();
    let tree = bench.tree().with("b", &[("from", plain("nothing"))]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(plan.changes[0].reason, Some(Reason::ResourceNotInTree));
    bench.up(&tree).await;
    assert_eq!(bench.world.take_log(), ["update b", "delete a"]);
    let plan = bench.plan(&bench.tree(), PlanMode::Apply).await.unwrap();
    assert_eq!(plan.changes[0].reason, Some(Reason::ClusterNotInTree));
    assert_eq!(plan.removed_clusters().len(), 1);
}

#[tokio::test]
async fn drift_is_told_and_mended() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[("size", plain(1))]).with("b", &[]);
    bench.up(&tree).await;
    bench
        .world
        .things
        .lock()
        .unwrap()
        .get_mut(&address("a"))
        .unwrap()
        .insert("size".into(), 9.into());
    bench.world.things.lock().unwrap().remove(&address("b"));
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(
        plan.drift
            .iter()
            .map(|drift| drift.gone)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(
        actions(&plan),
        [("a", Action::Update), ("b", Action::Create)]
    );
    assert_eq!(plan.changes[1].reason, Some(Reason::Gone));
    bench.up(&tree).await;
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
}

#[tokio::test]
async fn ignored_changes_are_no_changes_and_lifecycle_alone_is_bookkeeping() {
    let bench = Bench::new();
    let tree = |size: i64| bench.tree().with("a", &[("size", plain(size))]);
    bench.up(&tree(1)).await;
    let ignoring = tree(2).lifecycle("a", |lifecycle| {
        lifecycle.ignore_changes = vec!["size".into()];
    });
    let plan = bench.plan(&ignoring, PlanMode::Apply).await.unwrap();
    assert!(plan.is_empty() && plan.bookkeeping);
    bench.up(&ignoring).await;
    assert!(
        !bench
            .plan(&ignoring, PlanMode::Apply)
            .await
            .unwrap()
            .bookkeeping
    );
}

#[tokio::test]
async fn a_protected_resource_is_not_destroyed_even_when_the_tree_forgot_it() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]).with("b", &[]);
    bench
        .up(&tree
            .clone()
            .lifecycle("a", |lifecycle| lifecycle.protect = true))
        .await;
    let refused = bench
        .plan(&bench.tree().with("b", &[]), PlanMode::Apply)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("mem.box.a"), "{refused}");
    let refused = bench.plan(&bench.tree(), PlanMode::Destroy).await;
    assert!(matches!(refused, Err(PlanError::Protected(_))));
    assert!(
        bench.plan(&tree, PlanMode::Destroy).await.is_ok(),
        "the tree's word counts"
    );
}

#[tokio::test]
async fn what_can_no_longer_be_here_is_removed_and_reads_as_null() {
    let bench = Bench::new();
    bench
        .up(&bench
            .tree()
            .with("b", &[])
            .with("c", &[("from", of("b", "id"))]))
        .await;
    let tree = bench
        .tree()
        .with("b", &[("absent", plain(true))])
        .with("c", &[("from", of("b", "id"))]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(
        actions(&plan),
        [("b", Action::Delete), ("c", Action::Update)]
    );
    bench.up(&tree).await;
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
}

#[tokio::test]
async fn retained_resources_are_forgotten_and_skipped_ones_are_no_error() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[])
        .with("b", &[("absent", plain(true))]);
    let tree = tree.with("c", &[("from", of("b", "id"))]);
    let tree = tree.lifecycle("a", |lifecycle| lifecycle.on_destroy = OnDestroy::Retain);
    bench.up(&tree).await;
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    assert_eq!(
        actions(&plan),
        [("a", Action::Forget), ("c", Action::Delete)]
    );
    bench.apply(&tree, &plan).await.unwrap();
    assert!(
        bench
            .world
            .things
            .lock()
            .unwrap()
            .contains_key(&address("a"))
    );
    assert!(bench.store().clusters().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_kinds_and_properties_are_told_with_place_and_candidates() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[("sise", plain(1))])
        .with("b", &[])
        .misspelt("b");
    let Err(PlanError::Diagnostics(mistakes)) = bench.plan(&tree, PlanMode::Apply).await else {
        panic!("mistakes are refused")
    };
    let candidates: Vec<_> = mistakes
        .0
        .iter()
        .flat_map(|mistake| &mistake.candidates)
        .collect();
    assert_eq!(candidates, ["size", "mem.box"]);
    assert!(
        mistakes
            .0
            .iter()
            .all(|mistake| mistake.position.as_ref().unwrap().line == 3)
    );
}

#[tokio::test]
async fn secrets_are_in_no_file_in_clear() {
    let bench = Bench::new();
    let password = || plain(Value::Secret(Secret::new("hunter2-hunter2")));
    let tree = bench.tree().with("a", &[("password", password())]);
    let tree = tree.with("b", &[("from", of("a", "token"))]);
    bench.up(&tree).await;
    let again = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert!(again.is_empty() && !again.bookkeeping, "{again:?}");
    let more = tree.with("c", &[("password", password())]);
    let plan = bench.plan(&more, PlanMode::Apply).await.unwrap();
    plan.save(&bench.dir.path().join("plan"), &bench.store())
        .unwrap();
    bench.world.fail("create c", 9, false);
    bench.apply(&more, &plan).await.unwrap();
    let all = files(bench.dir.path());
    assert!(
        all.keys().any(|path| path.contains("journal")),
        "the journal is looked at too"
    );
    for (path, bytes) in all {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("hunter2") && !text.contains("token-of"),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn a_plan_file_applies_as_reviewed_and_only_once() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[("wants_port", plain(true))])
        .with("b", &[("from", of("a", "port"))]);
    let file = bench.dir.path().join("plan.json");
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    plan.save(&file, &bench.store()).unwrap();
    assert_eq!(Plan::fleet_of(&file).unwrap(), plan.fleet);
    let loaded = Plan::load(&file, &bench.store()).unwrap();
    let changed = tree.clone().with("c", &[]);
    let refused = bench.apply(&changed, &loaded).await.unwrap_err();
    assert!(
        matches!(&refused, ApplyError::TreeChanged(what) if *what == [address("c")]),
        "{refused}"
    );
    assert!(bench.apply(&tree, &loaded).await.unwrap().is_complete());
    let ports = bench.store().allocations().unwrap();
    assert_eq!(
        ports.ports().collect::<Vec<_>>(),
        [("a/r/one/u:mem.box.a http", 21000)]
    );
    let refused = bench.apply(&tree, &loaded).await.unwrap_err();
    let ApplyError::Stale(stale) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (stale.cluster.cluster.as_str(), stale.planned),
        ("one", None)
    );
}

#[tokio::test]
async fn what_turns_out_otherwise_than_reviewed_is_refused() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[("size", plain(1))]);
    let mut plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let after = plan.changes[0].after.as_mut().unwrap();
    after.insert("size".to_owned(), 2.into());
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert!(matches!(&applied.failed[0].error, Failure::NotAsPlanned { path } if path == "size"));
    assert!(bench.world.take_log().is_empty());
}

#[tokio::test]
async fn a_cluster_that_is_being_changed_is_locked() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let waiting = crate::lock::Waiting {
        timeout: std::time::Duration::ZERO,
        operation: "destroy",
        progress: &crate::Silent,
        stop: &crate::Stop::default(),
    };
    let clusters = [address("a").unit.cluster];
    let held = crate::lock::Locks::take(&bench.data_dir(), &clusters, &waiting)
        .await
        .unwrap();
    let refused = bench.apply(&tree, &plan).await.unwrap_err();
    let ApplyError::Lock(LockError::Held {
        holder: Some(holder),
        ..
    }) = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(holder.operation, "destroy");
    drop(held);
    assert!(bench.apply(&tree, &plan).await.is_ok());
}

#[tokio::test]
async fn a_damaged_state_is_refused_and_the_newest_good_version_is_named() {
    let bench = Bench::new();
    let tree = |size: i64| bench.tree().with("a", &[("size", plain(size))]);
    bench.up(&tree(1)).await;
    bench.up(&tree(2)).await;
    let path = bench.data_dir().join("state/a/r/one.json");
    let good = std::fs::read(&path).unwrap();
    for hostile in [&b""[..], &good[..good.len() / 2], b"{}"] {
        std::fs::write(&path, hostile).unwrap();
        let refused = bench.plan(&tree(2), PlanMode::Apply).await.unwrap_err();
        let PlanError::State(StateError::Damaged {
            newest_good: Some(kept),
            ..
        }) = refused
        else {
            panic!("{refused}")
        };
        assert!(kept.starts_with(bench.data_dir().join("history")));
    }
}

#[tokio::test]
async fn a_lost_key_is_told_and_never_made_anew() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]);
    bench.up(&tree).await;
    let key = bench.data_dir().join("key");
    std::fs::remove_file(&key).unwrap();
    let refused = bench.plan(&tree, PlanMode::Apply).await.unwrap_err();
    let source = std::error::Error::source(&refused).unwrap();
    assert!(
        source.to_string().contains("TKS_KEY_FILE"),
        "{refused}: {source}"
    );
    assert!(!key.exists());
}

#[tokio::test]
async fn after_destroy_only_key_and_history_are_left_and_purge_removes_them() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[("wants_port", plain(true))]);
    bench.up(&tree).await;
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    assert_eq!(plan.released.len(), 1);
    assert!(bench.store().purge().is_err(), "not while there is a state");
    bench.apply(&tree, &plan).await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(bench.data_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["history", "key"]);
    bench.store().purge().unwrap();
    assert!(!bench.dir.path().join(".tks").exists());
}

#[tokio::test]
async fn plans_and_applies_may_run_on_any_thread() {
    fn may_move<F: Future + Send>(future: F) -> F {
        future
    }
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]);
    let (providers, store) = (bench.providers(), bench.store());
    let engine = crate::Engine {
        desired: &tree,
        providers: &providers,
        store: &store,
        progress: &crate::Silent,
        options: crate::Options::default(),
    };
    let plan = may_move(engine.plan(PlanMode::Apply)).await.unwrap();
    assert!(may_move(engine.apply(&plan)).await.unwrap().is_complete());
}
