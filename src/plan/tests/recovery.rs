//! Failures, retries, interruption and what a killed run leaves.

use std::sync::Arc;

use super::world::{Bench, Memory, address, of, plain};
use crate::{Engine, Event, PlanMode, Progress, Providers, Reason, Stop};

#[tokio::test]
async fn independent_branches_go_on_after_a_failure_and_the_rest_succeeds_later() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[])
        .with("b", &[("from", of("a", "id"))]);
    let tree = tree
        .with("two.x", &[])
        .with("two.y", &[("from", of("two.x", "id"))]);
    bench.world.fail("create a", 1, false);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert!(applied.is_partial());
    assert_eq!(applied.failed[0].address, address("a"));
    assert_eq!(
        (&applied.skipped[0].address, &applied.skipped[0].because),
        (&address("b"), &address("a"))
    );
    assert_eq!(applied.counts.create, 2);
    let recorded = bench.store().load_all().unwrap();
    let names: Vec<_> = recorded
        .values()
        .flat_map(|state| state.resources.keys())
        .collect();
    assert_eq!(names, [&address("two.x"), &address("two.y")]);
    bench.up(&tree).await;
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
    assert!(!bench.data_dir().join("journal").exists());
}

#[tokio::test]
async fn a_failure_of_everything_is_not_partial() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]);
    bench.world.fail("create a", 1, false);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert!(!applied.is_complete() && !applied.is_partial());
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[]);
    bench.world.fail("create a", 3, true);
    bench.up(&tree).await;
    assert_eq!(bench.world.take_log().len(), 4);
    bench.world.fail("delete a", 99, true);
    let plan = bench.plan(&tree, PlanMode::Destroy).await.unwrap();
    let applied = bench.apply(&tree, &plan).await.unwrap();
    assert_eq!((applied.failed.len(), bench.world.take_log().len()), (1, 5));
}

/// Asks to stop when the first change begins.
struct StopAtOnce(Stop);

impl Progress for StopAtOnce {
    fn event(&self, event: Event) {
        if matches!(event, Event::Started { .. }) {
            self.0.stop();
        }
    }
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_starts_nothing_new() {
    let bench = Bench::new();
    let tree = bench
        .tree()
        .with("a", &[])
        .with("b", &[("from", of("a", "id"))]);
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    let (providers, store, stop) = (bench.providers(), bench.store(), Stop::default());
    let options = crate::Options {
        stop: stop.clone(),
        ..bench.options.clone()
    };
    let progress = StopAtOnce(stop);
    let engine = Engine {
        desired: &tree,
        providers: &providers,
        store: &store,
        progress: &progress,
        options,
    };
    let applied = engine.apply(&plan).await.unwrap();
    assert!(applied.interrupted && applied.is_partial());
    assert_eq!(applied.not_started.len(), 1);
    assert_eq!(bench.world.take_log(), ["create a"]);
    bench.up(&tree).await;
}

/// Applies, and is dropped in the middle of the first create, after the thing was made.
async fn killed_in_create(bench: &Bench, tree: &super::world::Tree) {
    struct Never(Memory);
    #[async_trait::async_trait]
    impl crate::Provider for Never {
        fn kinds(&self) -> Vec<crate::Kind> {
            self.0.kinds()
        }
        fn plan(
            &self,
            request: crate::PlanRequest<'_>,
        ) -> Result<crate::Planned, crate::ProviderError> {
            self.0.plan(request)
        }
        async fn read(
            &self,
            address: &stack::Address,
            prior: &stack::Attributes,
        ) -> Result<Option<stack::Attributes>, crate::ProviderError> {
            self.0.read(address, prior).await
        }
        async fn create(
            &self,
            address: &stack::Address,
            planned: &stack::Attributes,
            token: &str,
        ) -> Result<stack::Attributes, crate::ProviderError> {
            self.0.create(address, planned, token).await?;
            std::future::pending().await
        }
        async fn update(
            &self,
            address: &stack::Address,
            prior: &stack::Attributes,
            planned: &stack::Attributes,
        ) -> Result<stack::Attributes, crate::ProviderError> {
            self.0.update(address, prior, planned).await
        }
        async fn delete(
            &self,
            address: &stack::Address,
            prior: &stack::Attributes,
        ) -> Result<(), crate::ProviderError> {
            self.0.delete(address, prior).await
        }
    }
    let plan = bench.plan(tree, PlanMode::Apply).await.unwrap();
    let never: Arc<dyn crate::Provider> = Arc::new(Never(Memory(Arc::clone(&bench.world))));
    let (providers, store) = (Providers::new([never]), bench.store());
    let options = bench.options.clone();
    let engine = Engine {
        desired: tree,
        providers: &providers,
        store: &store,
        progress: &crate::Silent,
        options,
    };
    let apply = engine.apply(&plan);
    tokio::select! {
        biased;
        _ = apply => panic!("it hangs in create"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test]
async fn what_a_killed_run_was_creating_is_adopted() {
    let bench = Bench::new();
    let tree = bench.tree().with("a", &[("size", plain(1))]);
    killed_in_create(&bench, &tree).await;
    assert!(bench.store().load_all().unwrap().is_empty());
    let plan = bench.plan(&tree, PlanMode::Apply).await.unwrap();
    assert_eq!(plan.changes[0].reason, Some(Reason::Interrupted));
    bench.up(&tree).await;
    assert!(bench.plan(&tree, PlanMode::Apply).await.unwrap().is_empty());
    assert!(!bench.data_dir().join("journal").exists());
}

#[tokio::test]
async fn what_a_killed_run_was_creating_and_nobody_wants_is_removed() {
    let bench = Bench::new();
    killed_in_create(&bench, &bench.tree().with("a", &[("size", plain(1))])).await;
    assert_eq!(bench.world.things.lock().unwrap().len(), 1);
    bench.up(&bench.tree()).await;
    assert!(bench.world.things.lock().unwrap().is_empty());
    assert!(
        bench
            .plan(&bench.tree(), PlanMode::Apply)
            .await
            .unwrap()
            .changes
            .is_empty()
    );
}

/// Polls a future so often, then drops it, as a kill would. Whether it was done by then.
async fn killed_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn whenever_a_run_is_killed_the_next_one_makes_it_right() {
    let mut polls = 0;
    loop {
        let bench = Bench::new();
        let old = bench
            .tree()
            .with("gone", &[])
            .with("a", &[("fixed", plain(1))]);
        bench.up(&old.with("b", &[("from", of("a", "id"))])).await;
        let new = bench
            .tree()
            .with("a", &[("fixed", plain(2))])
            .with("b", &[("from", of("a", "id"))]);
        let new = new.with("two.c", &[("from", of("b", "id"))]);
        let plan = bench.plan(&new, PlanMode::Apply).await.unwrap();
        let done = killed_after(polls, bench.apply(&new, &plan)).await;
        bench.up(&new).await;
        let again = bench.plan(&new, PlanMode::Apply).await.unwrap();
        assert!(
            again.is_empty() && !again.bookkeeping,
            "killed after {polls} polls: {again:?}"
        );
        let there: Vec<_> = bench.world.things.lock().unwrap().keys().cloned().collect();
        assert_eq!(
            there,
            [address("a"), address("b"), address("two.c")],
            "after {polls} polls"
        );
        if done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 4, "it was killed in the middle too: {polls}");
}
