//! One series out of replicas, by Thanos's penalty algorithm (`pkg/dedup`).
//!
//! Replicas scrape the same target at other moments. One replica is followed for as long as it has
//! samples; the other one is pushed away by a penalty of twice the last step, so that it takes over only
//! after a real gap. For counters, the value is evened out where the replica changes.
//!
//! Replicas are folded from the left: `D(D(r0, r1), r2)` and so on, each `D` one [`Pair`].

mod chain;
mod floats;

pub(crate) use chain::chain;
use model::{Columns, Kind, Timestamp};

/// How replicas become one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deduplication {
    /// One replica is followed until it has a gap ([`merge`]).
    #[default]
    Penalty,
    /// The samples of all, each time once.
    Chain,
}

/// Milliseconds that a replica is pushed away at first, before any step is known.
const FIRST_PENALTY: i64 = 5000;

/// Where a sample stands in its columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// In `t`.
    pub(crate) index: usize,
    pub(crate) kind: Kind,
    /// In `v` or `h`.
    place: usize,
}

/// Walks columns of mixed kinds.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'c> {
    columns: &'c Columns,
    index: usize,
    run: usize,
    in_run: usize,
    floats: usize,
    histograms: usize,
}

impl<'c> Cursor<'c> {
    /// At sample `index`.
    pub(crate) fn at(columns: &'c Columns, index: usize) -> Self {
        let mut cursor = Self {
            columns,
            index: 0,
            run: 0,
            in_run: 0,
            floats: 0,
            histograms: 0,
        };
        cursor.forward(index);
        cursor
    }

    /// The current sample, `None` behind the last.
    pub(crate) fn sample(&self) -> Option<At> {
        let kind = self.columns.runs.get(self.run)?.kind;
        let place = match kind {
            Kind::Float => self.floats,
            Kind::Histogram => self.histograms,
        };
        (self.index < self.columns.t.len()).then_some(At {
            index: self.index,
            kind,
            place,
        })
    }

    pub(crate) fn step(&mut self) {
        self.forward(1);
    }

    /// How many floats and histograms lie before the current sample.
    pub(crate) fn before(&self) -> (usize, usize) {
        (self.floats, self.histograms)
    }

    fn forward(&mut self, mut count: usize) {
        while count > 0 {
            let Some(run) = self.columns.runs.get(self.run) else {
                return;
            };
            let step = count.min(run.len - self.in_run);
            match run.kind {
                Kind::Float => self.floats += step,
                Kind::Histogram => self.histograms += step,
            }
            self.index += step;
            self.in_run += step;
            count -= step;
            if self.in_run == run.len {
                (self.run, self.in_run) = (self.run + 1, 0);
            }
        }
    }
}

/// Appends sample `at` of `from` to `out`, a float raised by `error`.
pub(crate) fn push(from: &Columns, at: At, error: f64, out: &mut Columns) {
    let t = from.t[at.index];
    match at.kind {
        Kind::Float => out.push_float(t, raised(from.v[at.place], error)),
        Kind::Histogram => out.push_histogram(t, from.h[at.place].clone()),
    }
}

/// A float raised by `error`. Adding even zero would turn the stale marker into another NaN, and -0 into 0.
fn raised(v: f64, error: f64) -> f64 {
    if error == 0.0 || model::is_stale(v) {
        v
    } else {
        v + error
    }
}

/// Appends one series out of `replicas`, samples from `range.0` to `range.1` inclusive. `counter` evens out
/// the changes from one replica to another.
pub fn merge(
    replicas: &[Columns],
    range: (Timestamp, Timestamp),
    counter: bool,
    out: &mut Columns,
) {
    if let [a, b] = replicas
        && a.floats_only()
        && b.floats_only()
    {
        return floats::merge([a, b], range, counter, out);
    }
    let mut leaves = replicas
        .iter()
        .map(|columns| Node::Leaf(Leaf::new(columns, range, counter)));
    let Some(first) = leaves.next() else { return };
    let mut root = leaves.fold(first, |a, b| Node::Pair(Box::new(Pair::new(a, b))));
    while root.next() {
        root.push_to(out);
    }
}

/// A replica, or the merge of two.
#[derive(Debug)]
enum Node<'c> {
    Leaf(Leaf<'c>),
    Pair(Box<Pair<'c>>),
}

impl Node<'_> {
    /// Moves on; whether there is a sample.
    fn next(&mut self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.next(),
            Self::Pair(pair) => pair.next(),
        }
    }

    /// Moves on until the time is at least `t`; stays if it is already.
    fn seek(&mut self, t: Timestamp) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.seek(t),
            Self::Pair(pair) => pair.seek(t),
        }
    }

    fn time(&self) -> Timestamp {
        match self {
            Self::Leaf(leaf) => leaf.time(),
            Self::Pair(pair) => pair.current().time(),
        }
    }

    /// The value if the current sample is a float.
    fn float(&self) -> Option<f64> {
        match self {
            Self::Leaf(leaf) => leaf.float(),
            Self::Pair(pair) => pair.current().float(),
        }
    }

    fn adjust(&mut self, last: f64) {
        match self {
            Self::Leaf(leaf) => leaf.adjust(last),
            Self::Pair(pair) => pair.adjust(last),
        }
    }

    fn push_to(&self, out: &mut Columns) {
        match self {
            Self::Leaf(leaf) => leaf.push_to(out),
            Self::Pair(pair) => pair.current().push_to(out),
        }
    }
}

#[derive(Debug)]
struct Leaf<'c> {
    cursor: Cursor<'c>,
    started: bool,
    maxt: Timestamp,
    counter: bool,
    /// What floats are raised by.
    error: f64,
}

impl<'c> Leaf<'c> {
    fn new(columns: &'c Columns, (mint, maxt): (Timestamp, Timestamp), counter: bool) -> Self {
        let start = columns.t.partition_point(|t| *t < mint);
        let cursor = Cursor::at(columns, start);
        Self {
            cursor,
            started: false,
            maxt,
            counter,
            error: 0.0,
        }
    }

    fn sample(&self) -> Option<At> {
        self.cursor
            .sample()
            .filter(|at| self.cursor.columns.t[at.index] <= self.maxt)
    }

    fn next(&mut self) -> bool {
        if self.started {
            self.cursor.step();
        }
        self.started = true;
        self.sample().is_some()
    }

    fn seek(&mut self, t: Timestamp) -> bool {
        self.started = true;
        while self.sample().is_some() && self.time() < t {
            self.cursor.step();
        }
        self.sample().is_some()
    }

    fn time(&self) -> Timestamp {
        self.sample()
            .map_or(Timestamp::MAX, |at| self.cursor.columns.t[at.index])
    }

    fn float(&self) -> Option<f64> {
        let at = self.sample().filter(|at| at.kind == Kind::Float)?;
        Some(self.cursor.columns.v[at.place] + self.error)
    }

    /// Raises this and all later floats so that a counter does not fall below `last`.
    fn adjust(&mut self, last: f64) {
        if let Some(v) = self.float().filter(|v| self.counter && last > *v) {
            self.error += last - v;
        }
    }

    fn push_to(&self, out: &mut Columns) {
        if let Some(at) = self.sample() {
            push(self.cursor.columns, at, self.error, out);
        }
    }
}

/// `D(a, b)`.
#[derive(Debug)]
struct Pair<'c> {
    a: Node<'c>,
    b: Node<'c>,
    a_lives: bool,
    b_lives: bool,
    use_a: bool,
    last: Option<Timestamp>,
    penalty_a: i64,
    penalty_b: i64,
}

impl<'c> Pair<'c> {
    fn new(mut a: Node<'c>, mut b: Node<'c>) -> Self {
        let (a_lives, b_lives) = (a.next(), b.next());
        Self {
            a,
            b,
            a_lives,
            b_lives,
            use_a: true,
            last: None,
            penalty_a: 0,
            penalty_b: 0,
        }
    }

    fn current(&self) -> &Node<'c> {
        if self.use_a { &self.a } else { &self.b }
    }

    fn next(&mut self) -> bool {
        // Before the first step nothing was shown yet, but the first sample of `a` already counts as seen.
        let shown = self.current_float();
        let used_a = self.use_a;
        let lives = self.choose();
        if let Some(last) = shown.filter(|_| used_a != self.use_a) {
            self.adjust(last);
        }
        lives
    }

    fn current_float(&self) -> Option<f64> {
        let lives = if self.use_a {
            self.a_lives
        } else {
            self.b_lives
        };
        self.current().float().filter(|_| lives)
    }

    /// Moves both sides beyond the last sample and its penalties, and takes the earlier one.
    fn choose(&mut self) -> bool {
        if let Some(last) = self.last {
            // Nothing comes after the end of time.
            let Some(next) = last.checked_add(1) else {
                (self.a_lives, self.b_lives) = (false, false);
                return false;
            };
            self.a_lives = self.a_lives && self.a.seek(next.saturating_add(self.penalty_a));
            self.b_lives = self.b_lives && self.b.seek(next.saturating_add(self.penalty_b));
        }
        if !(self.a_lives && self.b_lives) {
            self.use_a = self.a_lives;
            return self.follow_the_only_one();
        }
        self.use_a = self.a.time() <= self.b.time();
        let t = self.current().time();
        let penalty = self
            .last
            .map_or(FIRST_PENALTY, |last| t.wrapping_sub(last).wrapping_mul(2));
        (self.penalty_a, self.penalty_b) = if self.use_a {
            (0, penalty)
        } else {
            (penalty, 0)
        };
        self.last = Some(t);
        true
    }

    fn follow_the_only_one(&mut self) -> bool {
        let lives = if self.use_a {
            self.a_lives
        } else {
            self.b_lives
        };
        if lives {
            self.last = Some(self.current().time());
            if self.use_a {
                self.penalty_a = 0;
            } else {
                self.penalty_b = 0;
            }
        }
        lives
    }

    fn seek(&mut self, t: Timestamp) -> bool {
        while self.time() < t {
            if !self.next() {
                return false;
            }
        }
        if self.use_a {
            self.a_lives
        } else {
            self.b_lives
        }
    }

    fn time(&self) -> Timestamp {
        self.current().time()
    }

    fn adjust(&mut self, last: f64) {
        if self.a_lives && self.a.float().is_some() {
            self.a.adjust(last);
        }
        if self.b_lives && self.b.float().is_some() {
            self.b.adjust(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

    fn floats(samples: &[(Timestamp, f64)]) -> Columns {
        let mut columns = Columns::default();
        for (t, v) in samples {
            columns.push_float(*t, *v);
        }
        columns
    }

    fn every(step: i64, from: i64, to: i64) -> Columns {
        let times = (from..=to).step_by(usize::try_from(step).expect("positive"));
        floats(&times.map(|t| (t, 1.0)).collect::<Vec<_>>())
    }

    fn merged(replicas: &[Columns], range: (i64, i64), counter: bool) -> Columns {
        let mut out = Columns::default();
        merge(replicas, range, counter, &mut out);
        out
    }

    #[test]
    fn one_replica_is_followed_while_it_has_samples() {
        let a = every(10_000, 10_000, 100_000);
        let b = every(10_000, 10_001, 100_001);
        assert_eq!(merged(&[a.clone(), b], ALL, false), a);
    }

    #[test]
    fn a_gap_is_filled_from_the_other_replica_after_the_penalty() {
        let mut a = every(10_000, 10_000, 20_000);
        a = merged(&[floats(&[]), a], ALL, false);
        for t in (60_000..=100_000).step_by(10_000) {
            a.push_float(t, 1.0);
        }
        let b = every(10_000, 10_001, 100_001);
        let times = merged(&[a, b], ALL, false).t;
        // After 20 000 the other one may only speak beyond 40 001; from then on `a` is pushed away for as
        // long as the other one goes on.
        let expected = [
            10_000, 20_000, 40_001, 50_001, 60_001, 70_001, 80_001, 90_001, 100_001,
        ];
        assert_eq!(times, expected);
    }

    #[test]
    fn the_first_sample_decides_before_any_step_is_known() {
        let a = floats(&[(10_000, 1.0), (20_000, 1.0)]);
        let b = floats(&[(9_999, 2.0), (14_000, 2.0), (19_999, 2.0)]);
        // `b` begins, and `a` is pushed away by 5 s: it comes back at 20 000, after 14 000 and 19 999.
        assert_eq!(merged(&[a, b], ALL, false).t, [9_999, 14_000, 19_999]);
    }

    #[test]
    fn a_counter_does_not_fall_where_the_replica_changes() {
        let a = floats(&[(10_000, 10.0), (20_000, 20.0)]);
        let b = floats(&[(10_001, 1.0), (20_001, 2.0), (40_001, 3.0), (50_001, 8.0)]);
        let even = merged(&[a.clone(), b.clone()], ALL, true);
        assert_eq!(even.t, [10_000, 20_000, 40_001, 50_001]);
        assert_eq!(even.v, [10.0, 20.0, 20.0, 25.0]);
        assert_eq!(merged(&[a, b], ALL, false).v, [10.0, 20.0, 3.0, 8.0]);
    }

    #[test]
    fn the_end_of_time_is_an_end() {
        let a = floats(&[(1, 1.0), (Timestamp::MAX, 1.0)]);
        assert_eq!(merged(&[a.clone(), a.clone(), a.clone()], ALL, true), a);
    }

    #[test]
    fn only_the_range_counts() {
        let a = every(10, 0, 100);
        assert_eq!(merged(&[a.clone(), a], (25, 60), false).t, [30, 40, 50, 60]);
    }

    #[test]
    fn histograms_and_floats_interleave() {
        let mut a = floats(&[(10, 1.0)]);
        a.push_histogram(
            20,
            model::FloatHistogram {
                sum: 7.0,
                ..Default::default()
            },
        );
        a.push_float(30, 3.0);
        assert_eq!(merged(&[a.clone(), a.clone()], ALL, true), a);
        assert_eq!(merged(&[a.clone(), floats(&[])], ALL, false), a);
    }

    fn replica() -> impl Strategy<Value = Columns> {
        let value = prop_oneof![
            10 => -5.0f64..5.0,
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => Just(model::stale_nan()),
        ];
        prop::collection::vec((1i64..60_000, value), 0..40).prop_map(|steps| {
            let mut t = 0;
            let mut columns = Columns::default();
            for (step, v) in steps {
                t += step;
                columns.push_float(t, v);
            }
            columns
        })
    }

    fn bits(columns: &Columns) -> Vec<u64> {
        columns.v.iter().map(|v| v.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn identical_replicas_are_one(replica in replica(), count in 1usize..5, counter: bool) {
            let replicas = vec![replica.clone(); count];
            let merged = merged(&replicas, ALL, counter);
            prop_assert_eq!(bits(&merged), bits(&replica));
            prop_assert_eq!((merged.t, merged.runs), (replica.t, replica.runs));
        }

        #[test]
        fn two_replicas_of_floats_are_merged_as_any_two_are(
            a in replica(),
            b in replica(),
            range in (-10i64..100_000, 100_000i64..2_000_000),
            counter: bool,
        ) {
            let mut out = Columns::default();
            let leaf = |columns| Node::Leaf(Leaf::new(columns, range, counter));
            let mut pair = Pair::new(leaf(&a), leaf(&b));
            while pair.next() {
                pair.current().push_to(&mut out);
            }
            let merged = merged(&[a, b], range, counter);
            prop_assert_eq!(bits(&merged), bits(&out));
            prop_assert_eq!((merged.t, merged.runs), (out.t, out.runs));
        }

        #[test]
        fn samples_come_from_a_replica_in_time_order(replicas in prop::collection::vec(replica(), 0..5)) {
            let out = merged(&replicas, ALL, false);
            prop_assert!(out.t.windows(2).all(|pair| pair[0] < pair[1]));
            for (t, v) in out.t.iter().zip(&out.v) {
                let has = |replica: &Columns| {
                    replica.t.binary_search(t).is_ok_and(|at| replica.v[at].to_bits() == v.to_bits())
                };
                prop_assert!(replicas.iter().any(has));
            }
            prop_assert_eq!(out.is_empty(), replicas.iter().all(Columns::is_empty));
        }
    }
}
