//! Names that change, what is forgotten, what was there before, and commands around what is done.

use std::collections::BTreeMap;
use std::time::Duration;

use stack::{Hook, When};

use super::world::{Bench, address, of, plain};
use crate::{Action, ApplyError, Origin, Plan, PlanError, PlanMode};

fn told(error: PlanError) -> (String, usize) {
    let PlanError::Diagnostics(mistakes) = error else {
        panic!("{error}")
    };
    let first = &mistakes.0[0];
    (first.message.clone(), first.position.as_ref().unwrap().line)
}

#[tokio::test]
async fn what_is_called_otherwise_stays_with_its_ports_and_edges() {
    let bench = Bench::new();
    let old = bench.tree().with("a", &[("wants_port", plain(true))]);
    bench.up(&old.with("b", &[("from", of("a", "id"))])).await;
    let (from, to) = (address("a").to_string(), address("two.a").to_string());
    let new = bench.tree().with("two.a", &[("wants_port", plain(true))]);
    let new = new
        .with("b", &[("from", of("two.a", "id"))])
        .moving(&from, &to);
    bench.world.take_log();
    let moved = bench
        .world
        .things
        .lock()
        .unwrap()
        .remove(&address("a"))
        .unwrap();
    bench
        .world
        .things
        .lock()
        .unwrap()
        .insert(address("two.a"), moved);
    let plan = bench.plan(&new, PlanMode::Apply).await.unwrap();
    let change = plan.change(&address("two.a")).unwrap();
    assert_eq!(change.origin, Some(Origin::Moved(address("a"))));
    assert_eq!((change.action, plan.is_empty()), (Action::NoOp, false));
    assert!(plan.allocations.is_empty(), "{:?}", plan.allocations);
    let file = bench.dir.path().join("plan.json");
    plan.save(&file, &bench.store()).unwrap();
    let plan = Plan::load(&file, &bench.store()).unwrap();
    assert!(bench.apply(&new, &plan).await.unwrap().is_complete());
    assert!(bench.world.take_log().is_empty(), "nothing real is done");
    let states = bench.store().load_all().unwrap();
    let one = &states[&address("b").unit.cluster].resources;
    assert_eq!(one.keys().collect::<Vec<_>>(), [&address("b")]);
    assert!(one[&address("b")].depends_on.contains(&address("two.a")));
    let ports = bench.store().allocations().unwrap();
    let ports: Vec<_> = ports.ports().collect();
    assert_eq!(ports, [("a/r/two/u:mem.box.a http", 21000)]);
    // The entry may stay: it is done.
    let again = bench.plan(&new, PlanMode::Apply).await.unwrap();
    assert!(again.is_empty() && !again.bookkeeping, "{again:?}");
}

#[tokio::test]
async fn a_move_that_cannot_be_is_told_where_it_is_written() {
    let bench = Bench::new();
    let old = bench.tree().with("a", &[]).with("b", &[]);
    bench.up(&old).await;
    let (a, b, c) = (address("a"), address("b"), address("c"));
    let still = old
        .clone()
        .with("c", &[])
        .moving(&a.to_string(), &c.to_string());
    let (message, line) = told(bench.plan(&still, PlanMode::Apply).await.unwrap_err());
    assert_eq!(
        (message.contains("still in the tree"), line),
        (true, 1),
        "{message}"
    );
    let taken = bench
        .tree()
        .with("b", &[])
        .moving(&a.to_string(), &b.to_string());
    let (message, line) = told(bench.plan(&taken, PlanMode::Apply).await.unwrap_err());
    assert_eq!(
        (message.contains("recorded already"), line),
        (true, 2),
        "{message}"
    );
    let lost = bench
        .tree()
        .with("b", &[])
        .moving(&a.to_string(), &c.to_string());
    let (message, line) = told(bench.plan(&lost, PlanMode::Apply).await.unwrap_err());
    assert_eq!(
        (message.contains("not in the tree"), line),
        (true, 2),
        "{message}"
    );
    // A plan whose moves the tree no longer says.
    let moving = bench
        .tree()
        .with("b", &[])
        .with("c", &[])
        .moving(&a.to_string(), &c.to_string());
    let plan = bench.plan(&moving, PlanMode::Apply).await.unwrap();
    let without = bench.tree().with("b", &[]).with("c", &[]);
    let refused = bench.apply(&without, &plan).await.unwrap_err();
    assert!(matches!(refused, ApplyError::TreeChanged(_)), "{refused}");
}

#[tokio::test]
async fn what_is_removed_without_destroying_is_forgotten() {
    let bench = Bench::new();
    let old = bench.tree().with("a", &[]).with("b", &[]);
    bench.up(&old).await;
    let a = address("a").to_string();
    let (message, line) = told(
        bench
            .plan(&old.removing(&a, false), PlanMode::Apply)
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (message.contains("still in the tree"), line),
        (true, 3),
        "{message}"
    );
    let new = bench.tree().with("b", &[]).removing(&a, false);
    let plan = bench.plan(&new, PlanMode::Apply).await.unwrap();
    assert_eq!(plan.change(&address("a")).unwrap().action, Action::Forget);
    bench.up(&new).await;
    assert!(
        bench
            .world
            .things
            .lock()
            .unwrap()
            .contains_key(&address("a"))
    );
}

#[tokio::test]
async fn what_was_there_before_is_taken_over_and_then_managed() {
    let bench = Bench::new();
    let first = bench.tree().with("a", &[("size", plain(1))]);
    bench.up(&first).await;
    let things = bench.world.things.lock().unwrap().clone();
    let id = things[&address("a")]["id"].as_text().unwrap().to_owned();
    // Another fleet finds it.
    let other = Bench::new();
    *other.world.things.lock().unwrap() = things;
    let tree = |size: i64| other.tree().with("a", &[("size", plain(size))]);
    let (message, line) = told(
        other
            .plan(&tree(1).importing("a", "nothing"), PlanMode::Apply)
            .await
            .unwrap_err(),
    );
    assert_eq!(
        (message.contains("to import"), line),
        (true, 4),
        "{message}"
    );
    let (message, _) = told(
        other
            .plan(&tree(1).importing("z", &id), PlanMode::Apply)
            .await
            .unwrap_err(),
    );
    assert!(message.contains("not in the tree"), "{message}");
    let importing = tree(2).importing("a", &id);
    let plan = other.plan(&importing, PlanMode::Apply).await.unwrap();
    assert_eq!(plan.changes[0].action, Action::Update);
    assert_eq!((plan.counts().import, plan.counts().update), (1, 1));
    let applied = other.apply(&importing, &plan).await.unwrap();
    assert_eq!(
        (applied.counts.import, other.world.take_log()),
        (1, vec!["update a".into()])
    );
    let again = other.plan(&importing, PlanMode::Apply).await.unwrap();
    assert!(again.is_empty() && !again.bookkeeping, "{again:?}");
}

fn hook(when: When, script: &str, units: &[&str]) -> Hook {
    Hook {
        when,
        command: ["sh", "-c", script].map(str::to_owned).into(),
        units: units.iter().map(|unit| (*unit).to_owned()).collect(),
        working_dir: None,
        env: BTreeMap::from([("MORE".to_owned(), "more".to_owned())]),
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn hooks_run_around_what_changes_with_its_outputs_and_not_around_what_does_not() {
    let bench = Bench::new();
    let said = bench.dir.path().join("said");
    let say = |word: &str| {
        format!(
            "echo \"{word} $TKS_UNIT $TKS_OUTPUT_A_ID $MORE\" >> {}",
            said.display()
        )
    };
    let tree = bench.tree().with("a", &[("size", plain(1))]);
    let tree = tree
        .hook(hook(When::BeforeApply, &say("cluster"), &[]))
        .hook(hook(When::BeforeApply, &say("before"), &["u"]))
        .hook(hook(When::AfterApply, &say("after"), &["u"]))
        .hook(hook(When::AfterApply, &say("never"), &["other"]))
        .hook(hook(When::AfterDestroy, &say("gone"), &["u"]));
    bench.up(&tree).await;
    bench.up(&tree).await;
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    assert!(bench.apply(&tree, &plan).await.unwrap().is_complete());
    let told = std::fs::read_to_string(&said).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..2], ["cluster   more", "before a/r/one/u  more"]);
    assert_eq!(lines[2], "after a/r/one/u id-a-Null more");
    assert_eq!(lines[3..], ["gone a/r/one/u id-a-Null more"]);
}

#[tokio::test]
async fn a_hook_that_fails_before_stops_its_unit_and_one_after_is_told() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[])
        .with("two.x", &[("from", of("a", "id"))]);
    let failing = tree
        .clone()
        .hook(hook(When::BeforeApply, "echo no >&2; exit 3", &["u"]));
    let plan = bench.plan(&failing, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&failing, &plan).await.unwrap();
    let error = applied.failed[0].error.to_string();
    assert!(
        error.contains("before a/r/one/u") && error.contains("no"),
        "{error}"
    );
    assert!(bench.world.take_log().is_empty());
    let mut slow = hook(When::AfterApply, "sleep 60", &["u"]);
    slow.timeout = Duration::from_millis(100);
    let failing = tree.clone().hook(slow);
    let plan = bench.plan(&failing, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&failing, &plan).await.unwrap();
    assert!(
        !applied.is_complete() && applied.failed.is_empty(),
        "{applied:?}"
    );
    assert!(
        applied.hooks_failed[0].message.contains("did not end"),
        "{applied:?}"
    );
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
}
