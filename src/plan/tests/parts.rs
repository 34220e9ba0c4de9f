//! Plans of a part of a fleet, replacements that are asked for, and accepting what changed outside.

use std::collections::BTreeSet;
use std::time::Duration;

use stack::{Address, Attributes, ClusterPath};

use super::world::{Bench, Tree, address, of, plain};
use crate::journal::{Doing, Intent, Journal};
use crate::{Action, Failure, Pattern, Plan, PlanError, PlanMode, Reason};

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn changed(plan: &Plan) -> Vec<(&str, Action)> {
    let changes = plan.changes.iter().filter(|change| change.is_change());
    changes
        .map(|change| (change.address.name.as_str(), change.action))
        .collect()
}

/// `ca` in cluster one, `cert` in two that needs it, `web` in two that needs `cert`, and `alone` in three.
fn tree(bench: &Bench, size: i64) -> Tree {
    let size = ("size", plain(size));
    bench
        .tree()
        .with("one.ca", std::slice::from_ref(&size))
        .with("two.cert", &[size.clone(), ("from", of("one.ca", "id"))])
        .with("two.web", &[size.clone(), ("from", of("two.cert", "id"))])
        .with("three.alone", &[size])
}

#[tokio::test]
async fn a_target_takes_along_what_it_needs_and_nothing_else() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.options.selection.targets = patterns(&["a/r/two/u:mem.box.cert"]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(
        changed(&plan),
        [("ca", Action::Create), ("cert", Action::Create)]
    );
    assert_eq!(
        plan.selection.as_deref(),
        Some("--target a/r/two/u:mem.box.cert")
    );
    assert_eq!(plan.clusters.len(), 2, "cluster three is no part of it");
    bench.up(&tree).await;
    assert_eq!(bench.world.take_log(), ["create ca", "create cert"]);
    bench.options.selection.targets.clear();
    let rest = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(
        changed(&rest),
        [("alone", Action::Create), ("web", Action::Create)]
    );
}

#[tokio::test]
async fn excluding_takes_along_what_needs_it() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.options.selection.excludes = patterns(&["**:mem.box.cert"]);
    bench.up(&tree).await;
    assert_eq!(bench.world.take_log(), ["create ca", "create alone"]);
    bench.options.selection.excludes.clear();
    bench.up(&tree).await;
    bench.world.take_log();
    // The other way round where things go: what stays keeps what it needs.
    bench.options.selection.excludes = patterns(&["a/r/two/u:mem.box.cert"]);
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert!(applied.is_complete(), "{applied:?}");
    let mut log = bench.world.take_log();
    log.sort();
    assert_eq!(log, ["delete alone", "delete web"]);
    let outputs = bench.store().outputs().unwrap();
    assert!(outputs.contains_key(&address("two.cert").unit));
    assert!(!outputs.contains_key(&address("three.alone").unit));
}

fn clusters(names: &[&str]) -> Vec<ClusterPath> {
    let cluster = |name: &&str| address(&format!("{name}.x")).unit.cluster;
    names.iter().map(cluster).collect()
}

#[tokio::test]
async fn a_cluster_alone_reads_the_others_from_the_state_and_refuses_what_is_not_there() {
    let mut bench = Bench::new();
    let first = tree(&bench, 1);
    bench.options.selection.clusters = clusters(&["two"]);
    let refused = bench.plan(&first, PlanMode::Apply).await.unwrap_err();
    let PlanError::NotThere(missing) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(missing[..], [(address("two.cert"), address("one.ca"))]);
    bench.options.selection.with_dependencies = true;
    bench.up(&first).await;
    bench.options.selection.with_dependencies = false;
    bench.world.take_log();
    // Everything changes in the tree, and somebody changed the CA meanwhile: only cluster two is looked at.
    let second = tree(&bench, 2);
    bench
        .world
        .things
        .lock()
        .unwrap()
        .remove(&address("one.ca"));
    let plan = bench.plan(&second, PlanMode::Apply).await.unwrap();
    assert_eq!(
        changed(&plan),
        [("cert", Action::Update), ("web", Action::Update)]
    );
    assert!(plan.drift.is_empty());
    let before = bench.store().load(&clusters(&["one"])[0]).unwrap().unwrap();
    let file = bench.dir.path().join("p.plan");
    plan.save(&file, &bench.store()).unwrap();
    let plan = Plan::load(&file, &bench.store()).unwrap();
    let applied = bench.apply(&second, &plan).await.unwrap();
    assert_eq!((applied.counts.update, applied.counts.unchanged), (2, 0));
    let after = bench.store().load(&clusters(&["one"])[0]).unwrap().unwrap();
    assert_eq!(
        before.serial, after.serial,
        "what is left out is not written"
    );
    assert_eq!(bench.world.take_log(), ["update cert", "update web"]);
}

#[tokio::test]
async fn a_cluster_that_others_were_made_with_does_not_go_alone() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.up(&tree).await;
    bench.options.selection.clusters = clusters(&["one"]);
    let refused = bench.plan(&tree, PlanMode::Destroy).await.unwrap_err();
    let PlanError::StillNeeded(needed) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(needed[..], [(address("one.ca"), address("two.cert"))]);
    bench.options.selection.with_dependencies = true;
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    bench.apply(&tree, &plan).await.unwrap();
    let left: Vec<_> = bench.world.things.lock().unwrap().keys().cloned().collect();
    assert_eq!(left, [address("three.alone")]);
}

#[tokio::test]
async fn an_intent_outside_of_the_selection_is_kept_for_the_next_run() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    // Only the intent of `alone` is left, as if the process had died.
    let (folder, alone) = (bench.data_dir().join("journal/a/r"), address("three.alone"));
    let intent = Intent {
        doing: Doing::Create,
        token: "token".into(),
        at: crate::state::now(),
        planned: Attributes::new(),
        depends_on: BTreeSet::new(),
    };
    let store = bench.store();
    store.key_to_write().unwrap();
    let mut journal = Journal::of(&bench.data_dir(), &alone.unit.cluster, None, "apply");
    journal.begin(&alone, intent, None).unwrap();
    journal.commit(None, None).unwrap();
    bench.options.selection.clusters = clusters(&["one"]);
    bench.up(&tree).await;
    assert!(folder.join("three.jsonl").exists());
    bench.options.selection.clusters.clear();
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let alone = plan.change(&alone).unwrap();
    assert_eq!(alone.reason, Some(Reason::Interrupted));
}

#[tokio::test]
async fn a_pattern_that_means_nothing_is_refused_with_what_was_meant() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.options.selection.excludes = patterns(&["a/r/tow/u"]);
    let refused = bench.plan(&tree, PlanMode::Apply).await.unwrap_err();
    let PlanError::NothingSelected { candidates, .. } = &refused else {
        panic!("{refused}")
    };
    assert!(
        candidates.contains(&"a/r/two/u".to_owned()),
        "{candidates:?}"
    );
}

#[tokio::test]
async fn a_replacement_that_is_asked_for_makes_everything_anew_and_reaches_dependents() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.up(&tree).await;
    bench.world.take_log();
    bench.options.replace = patterns(&["a/r/one/u:mem.box.ca"]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let ca = plan.change(&address("one.ca")).unwrap();
    assert_eq!(
        (ca.action, &ca.reason),
        (Action::Replace, &Some(Reason::Requested))
    );
    assert!(!ca.after.as_ref().unwrap()["id"].is_known());
    let file = bench.dir.path().join("p.plan");
    plan.save(&file, &bench.store()).unwrap();
    // What was reviewed is in the file: the option is not needed again.
    bench.options.replace.clear();
    let plan = Plan::load(&file, &bench.store()).unwrap();
    assert!(bench.apply(&tree, &plan).await.unwrap().is_complete());
    assert_eq!(bench.world.take_log()[..2], ["delete ca", "create ca"]);
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
}

#[tokio::test]
async fn refresh_only_records_what_is_there_and_changes_nothing_real() {
    let bench = Bench::new();
    let first = tree(&bench, 1);
    bench.up(&first).await;
    bench.world.take_log();
    let put = |size: i64| {
        let mut things = bench.world.things.lock().unwrap();
        things.remove(&address("three.alone"));
        let ca = things.get_mut(&address("one.ca")).unwrap();
        ca.insert("size".into(), size.into());
    };
    put(7);
    // The tree says something else too: that is not what this is about.
    let second = tree(&bench, 3);
    let plan = bench.plan(&second, PlanMode::RefreshOnly).await.unwrap();
    assert!(!plan.is_empty() && plan.bookkeeping);
    assert_eq!(changed(&plan), [("alone", Action::Forget)]);
    let applied = bench.apply(&second, &plan).await.unwrap();
    assert!(applied.is_complete(), "{applied:?}");
    assert_eq!(bench.world.take_log(), [""; 0]);
    let states = bench.store().load_all().unwrap();
    let one = &states[&clusters(&["one"])[0]].resources[&address("one.ca")];
    assert_eq!(
        (&one.attributes["size"], &one.properties["size"]),
        (&7.into(), &1.into())
    );
    let again = bench.plan(&second, PlanMode::RefreshOnly).await.unwrap();
    assert!(again.is_empty() && !again.bookkeeping, "{again:?}");
}

#[tokio::test]
async fn with_fail_fast_nothing_new_begins_after_a_failure() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.options.parallelism = 1;
    bench.options.fail_fast = true;
    bench.world.fail("create ca", 1, false);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert_eq!(bench.world.take_log(), ["create ca"]);
    let names = |address: &Address| address.name.clone();
    let left: Vec<_> = applied
        .not_started
        .iter()
        .map(|(it, _)| names(it))
        .collect();
    assert_eq!((applied.failed.len(), left), (1, vec!["alone".to_owned()]));
}

#[tokio::test]
async fn what_hangs_is_given_up_and_found_again_by_the_next_run() {
    let mut bench = Bench::new();
    let tree = tree(&bench, 1);
    bench.options.timeout = Some(Duration::from_millis(200));
    bench.world.hang("create ca");
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    let Failure::Provider(error) = &applied.failed[0].error else {
        panic!("{applied:?}")
    };
    assert!(error.message.contains("0.2 s"), "{error}");
    let next = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let ca = next.change(&address("one.ca")).unwrap();
    assert_eq!(ca.reason, Some(Reason::Interrupted));
    bench.up(&tree).await;
}
