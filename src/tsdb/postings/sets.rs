//! Set operations over ascending references: nothing is materialised, and what is not needed is skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Ascending references, each once.
pub trait Refs {
    /// The reference that the set stands at; `None` at the end.
    fn current(&self) -> Option<u32>;

    /// Goes to the next one.
    fn advance(&mut self);

    /// Goes to the first one that is `target` or greater, never back.
    fn seek(&mut self, target: u32);
}

impl<R: Refs + ?Sized> Refs for Box<R> {
    fn current(&self) -> Option<u32> {
        (**self).current()
    }

    fn advance(&mut self) {
        (**self).advance();
    }

    fn seek(&mut self, target: u32) {
        (**self).seek(target);
    }
}

/// All that is left of a set.
pub fn collect(mut refs: impl Refs) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(series) = refs.current() {
        all.push(series);
        refs.advance();
    }
    all
}

/// What is in every set; of no sets, nothing.
pub fn intersect<'a>(mut sets: Vec<Box<dyn Refs + 'a>>) -> Box<dyn Refs + 'a> {
    match sets.len() {
        1 => sets.swap_remove(0),
        _ => {
            let mut all = Intersection { sets };
            all.align();
            Box::new(all)
        }
    }
}

struct Intersection<'a> {
    /// All at the same reference; empty at the end.
    sets: Vec<Box<dyn Refs + 'a>>,
}

impl Intersection<'_> {
    /// Moves all sets to the first reference that they share.
    fn align(&mut self) {
        let Some(mut target) = self.sets.first().and_then(|set| set.current()) else {
            self.sets.clear();
            return;
        };
        let mut agreed = 0;
        let mut at = 0;
        while agreed < self.sets.len() {
            self.sets[at].seek(target);
            match self.sets[at].current() {
                None => return self.sets.clear(),
                Some(found) if found == target => agreed += 1,
                Some(found) => (target, agreed) = (found, 1),
            }
            at = (at + 1) % self.sets.len();
        }
    }
}

impl Refs for Intersection<'_> {
    fn current(&self) -> Option<u32> {
        self.sets.first()?.current()
    }

    fn advance(&mut self) {
        if let Some(first) = self.sets.first_mut() {
            first.advance();
        }
        self.align();
    }

    fn seek(&mut self, target: u32) {
        if let Some(first) = self.sets.first_mut() {
            first.seek(target);
        }
        self.align();
    }
}

/// What is in any set.
pub fn union<'a>(mut sets: Vec<Box<dyn Refs + 'a>>) -> Box<dyn Refs + 'a> {
    if sets.len() == 1 {
        return sets.swap_remove(0);
    }
    let heads = sets.iter().enumerate();
    let heap = heads.filter_map(|(at, set)| Some(Reverse((set.current()?, at))));
    let heap = heap.collect();
    Box::new(Union { sets, heap })
}

struct Union<'a> {
    sets: Vec<Box<dyn Refs + 'a>>,
    /// The current reference of every set that is not at its end.
    heap: BinaryHeap<Reverse<(u32, usize)>>,
}

impl Union<'_> {
    /// Moves the sets that stand before `target`.
    fn skip(&mut self, target: u32, step: impl Fn(&mut dyn Refs)) {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((series, at)) = *top;
            if series >= target {
                return;
            }
            let set = &mut self.sets[at];
            step(set);
            match set.current() {
                Some(next) => *top = Reverse((next, at)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
    }
}

impl Refs for Union<'_> {
    fn current(&self) -> Option<u32> {
        self.heap.peek().map(|Reverse((series, _))| *series)
    }

    fn advance(&mut self) {
        match self.current().map(|series| series.checked_add(1)) {
            Some(Some(next)) => self.skip(next, |set| set.advance()),
            Some(None) => self.heap.clear(),
            None => {}
        }
    }

    fn seek(&mut self, target: u32) {
        self.skip(target, |set| set.seek(target));
    }
}

/// What is in `set` and not in `removed`.
pub fn without<'a>(set: Box<dyn Refs + 'a>, removed: Box<dyn Refs + 'a>) -> Box<dyn Refs + 'a> {
    let mut rest = Difference { set, removed };
    rest.skip();
    Box::new(rest)
}

struct Difference<'a> {
    set: Box<dyn Refs + 'a>,
    removed: Box<dyn Refs + 'a>,
}

impl Difference<'_> {
    fn skip(&mut self) {
        while let Some(series) = self.set.current() {
            self.removed.seek(series);
            if self.removed.current() != Some(series) {
                return;
            }
            self.set.advance();
        }
    }
}

impl Refs for Difference<'_> {
    fn current(&self) -> Option<u32> {
        self.set.current()
    }

    fn advance(&mut self) {
        self.set.advance();
        self.skip();
    }

    fn seek(&mut self, target: u32) {
        self.set.seek(target);
        self.skip();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postings::Postings;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Set = BTreeSet<u32>;

    fn list(set: &Set) -> Postings {
        let mut out = Vec::new();
        let refs: Vec<u32> = set.iter().copied().collect();
        Postings::encode(refs.into_iter(), &mut out);
        Postings::parse(&out.into(), 0).expect("a list")
    }

    fn boxed(lists: &[Postings]) -> Vec<Box<dyn Refs + '_>> {
        lists
            .iter()
            .map(|list| Box::new(list.refs()) as _)
            .collect()
    }

    /// Few numbers, so that sets meet; and the last one.
    fn set() -> impl Strategy<Value = Set> {
        btree_set(prop_oneof![9 => 0u32..60, 1 => Just(u32::MAX)], 0..40)
    }

    /// Reads by the given mixture of steps and seeks; what is passed over by a seek is dropped from `wanted` too.
    fn agrees(
        mut refs: Box<dyn Refs + '_>,
        wanted: Set,
        seeks: &[u32],
    ) -> Result<(), TestCaseError> {
        let mut wanted: Vec<u32> = wanted.into_iter().rev().collect();
        let mut seeks = seeks.iter().cycle();
        loop {
            prop_assert_eq!(refs.current(), wanted.last().copied());
            let Some(current) = refs.current() else {
                return Ok(());
            };
            match seeks.next() {
                Some(jump) if jump % 3 == 0 && current < 100 => {
                    refs.seek(current + jump);
                    while wanted.last().is_some_and(|next| *next < current + jump) {
                        wanted.pop();
                    }
                }
                _ => {
                    refs.advance();
                    wanted.pop();
                }
            }
        }
    }

    proptest! {
        #[test]
        fn operations_are_those_of_sets(sets in vec(set(), 1..6), other in set(), jumps in vec(1u32..9, 1..8)) {
            let lists: Vec<Postings> = sets.iter().map(list).collect();
            let joined: Set = sets.iter().flatten().copied().collect();
            let shared: Set = sets[0].iter().copied().filter(|s| sets.iter().all(|set| set.contains(s))).collect();
            agrees(union(boxed(&lists)), joined.clone(), &jumps)?;
            agrees(intersect(boxed(&lists)), shared, &jumps)?;
            let removed = list(&other);
            let rest: Set = joined.difference(&other).copied().collect();
            prop_assert_eq!(collect(without(union(boxed(&lists)), Box::new(removed.refs()))), rest.iter().copied().collect::<Vec<_>>());
            agrees(without(union(boxed(&lists)), Box::new(removed.refs())), rest, &jumps)?;
        }
    }

    #[test]
    fn of_no_sets_nothing_is_left() {
        assert!(collect(intersect(Vec::new())).is_empty());
        assert!(collect(union(Vec::new())).is_empty());
    }
}
