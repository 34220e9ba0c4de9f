//! Laws that hold for every graph.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{Bench, Expression, Tree, address, plain};
use crate::PlanMode;

const NAMES: [&str; 6] = ["one.a", "two.b", "one.c", "two.d", "one.e", "two.f"];

/// One resource: whether it is there, its properties, on which of the earlier ones it depends, created before destroyed.
type Shape = (bool, i64, i64, u8, bool);

fn tree(bench: &Bench, shapes: &[Shape], backwards: bool) -> Tree {
    let mut names = NAMES;
    if backwards {
        names.reverse();
    }
    let mut tree = bench.tree();
    for (at, (_, size, fixed, on, first)) in shapes.iter().enumerate().filter(|(_, shape)| shape.0)
    {
        let earlier = (0..at).filter(|other| on & (1 << other) != 0 && shapes[*other].0);
        // The first dependency feeds a property that changes in place, the second one that does not.
        let fed = ["from", "fixed"].into_iter().zip(earlier);
        let mut properties = BTreeMap::from([
            ("size", plain(*size)),
            ("fixed", plain(*fixed)),
            ("wants_port", plain(true)),
        ]);
        let id = |other: usize| Expression::Attribute(address(names[other]), "id");
        properties.extend(fed.map(|(property, other)| (property, id(other))));
        let properties: Vec<_> = properties.into_iter().collect();
        tree = tree.with(names[at], &properties);
        tree = tree.lifecycle(names[at], |lifecycle| {
            lifecycle.create_before_destroy = *first;
        });
    }
    tree
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (
        any::<bool>(),
        0..2_i64,
        0..2_i64,
        any::<u8>(),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(shape, NAMES.len())
}

async fn converges(bench: &Bench, tree: &Tree) -> Result<(), TestCaseError> {
    let plan = bench.plan(tree, PlanMode::Apply).await.unwrap();
    let applied = bench.apply(tree, &plan).await.unwrap();
    prop_assert!(applied.is_complete(), "{applied:?}");
    let again = bench.plan(tree, PlanMode::Apply).await.unwrap();
    prop_assert!(again.is_empty() && !again.bookkeeping, "{again:?}");
    prop_assert!(again.allocations.is_empty() && again.released.is_empty());
    let there = bench.world.things.lock().unwrap().len();
    prop_assert_eq!(there, tree.resources.len());
    Ok(())
}

async fn destroys(bench: &Bench, tree: &Tree) -> Result<(), TestCaseError> {
    let plan = bench.plan(tree, PlanMode::Destroy).await.unwrap();
    let applied = bench.apply(tree, &plan).await.unwrap();
    prop_assert!(applied.is_complete(), "{applied:?}");
    prop_assert!(bench.world.things.lock().unwrap().is_empty());
    prop_assert_eq!(bench.world.broken_law.lock().unwrap().take(), None);
    prop_assert!(bench.store().clusters().unwrap().is_empty());
    prop_assert_eq!(bench.store().allocations().unwrap().ports().count(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plan_after_apply_is_empty_and_destroy_goes_dependents_first(
        before in shapes(),
        after in shapes(),
        backwards in any::<bool>(),
    ) {
        let bench = Bench::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            converges(&bench, &tree(&bench, &before, false)).await?;
            // Edges may turn round from one apply to the next.
            let after = tree(&bench, &after, backwards);
            converges(&bench, &after).await?;
            bench.world.broken_law.lock().unwrap().take();
            destroys(&bench, &after).await
        })?;
    }
}
