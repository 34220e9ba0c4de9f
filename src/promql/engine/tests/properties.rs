//! The streaming engine against the plainest evaluation one can write: every step on its own, from all samples.

use model::{Cancel, is_stale};
use proptest::prelude::*;

use super::memory::Memory;
use crate::engine::{AnswerValue, Engine};
use crate::parse;

type Samples = Vec<(i64, f64)>;

/// Samples of a counter with resets, gaps and stale markers.
fn samples() -> impl Strategy<Value = Samples> {
    let value = prop_oneof![
        8 => (0u32..50).prop_map(f64::from),
        1 => Just(0.1),
        1 => Just(model::stale_nan()),
        1 => Just(f64::NAN),
    ];
    prop::collection::vec((1i64..90_000, value), 0..60).prop_map(|steps| {
        let mut t = 0;
        let with_time = |(gap, v)| {
            t += gap;
            (t, v)
        };
        steps.into_iter().map(with_time).collect()
    })
}

fn naive_instant(samples: &Samples, t: i64) -> Option<f64> {
    let (at, v) = samples.iter().rfind(|(at, _)| *at <= t)?;
    (*at > t - 300_000 && !is_stale(*v)).then_some(*v)
}

/// `increase` straight from its definition.
fn naive_increase(samples: &Samples, t: i64, range: i64) -> Option<f64> {
    let inside = |s: &&(i64, f64)| s.0 > t - range && s.0 <= t && !is_stale(s.1);
    let window: Samples = samples.iter().filter(inside).copied().collect();
    let ((first_t, first_v), (last_t, last_v)) = (*window.first()?, *window.last()?);
    if window.len() < 2 {
        return None;
    }
    let mut change = last_v - first_v;
    for pair in window.windows(2) {
        if pair[1].1 < pair[0].1 {
            change += pair[0].1;
        }
    }
    let sampled = (last_t - first_t) as f64 / 1000.0;
    let average = sampled / (window.len() - 1) as f64;
    let mut before = (first_t - (t - range)) as f64 / 1000.0;
    let mut after = (t - last_t) as f64 / 1000.0;
    if before >= average * 1.1 {
        before = average / 2.0;
    }
    if change > 0.0 && first_v >= 0.0 && sampled * (first_v / change) < before {
        before = sampled * (first_v / change);
    }
    if after >= average * 1.1 {
        after = average / 2.0;
    }
    Some(change * ((sampled + before + after) / sampled))
}

fn naive_sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values = values.peekable();
    values.peek()?;
    let (mut sum, mut lost) = (values.next()?, 0.0);
    for v in values {
        let next = sum + v;
        lost += if sum.abs() >= v.abs() {
            (sum - next) + v
        } else {
            (v - next) + sum
        };
        sum = next;
    }
    Some(sum + lost)
}

/// Points of `query`, which gives one series at most.
fn points(source: &Memory, query: &str, step: i64) -> Samples {
    let expr = parse(query).expect("a query");
    let answer = Engine::default().range(source, &expr, 0, 1_500_000, step, &Cancel::new());
    match answer.expect("an answer").value {
        AnswerValue::Matrix(mut series) => {
            assert!(series.len() <= 1);
            series.pop().map(|series| series.points).unwrap_or_default()
        }
        other => panic!("{other:?}"),
    }
}

fn assert_same(got: &Samples, want: &Samples) -> Result<(), TestCaseError> {
    let bits = |points: &Samples| -> Vec<(i64, u64)> {
        // Any NaN is as good as another.
        let bits = |v: f64| if v.is_nan() { u64::MAX } else { v.to_bits() };
        points.iter().map(|(t, v)| (*t, bits(*v))).collect()
    };
    prop_assert_eq!(bits(got), bits(want));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streaming_equals_step_by_step(
        series in prop::collection::vec(samples(), 1..8),
        step in prop::sample::select(vec![1_000i64, 17_000, 60_000, 400_000]),
        range in prop::sample::select(vec![30_000i64, 60_000, 300_000]),
    ) {
        let mut source = Memory::load(1, "");
        for (at, samples) in series.iter().enumerate() {
            source.push(&[("__name__", "c_total"), ("i", &format!("{at}"))], samples);
        }
        let times = || (0..=1_500_000 / step).map(|k| k * step);
        let expected = |fold: &dyn Fn(i64) -> Option<f64>| -> Samples {
            times().filter_map(|t| Some((t, fold(t)?))).collect()
        };

        let sum = expected(&|t| naive_sum(series.iter().filter_map(|s| naive_instant(s, t))));
        assert_same(&points(&source, "sum(c_total)", step), &sum)?;
        let increase = |t| naive_sum(series.iter().filter_map(|s| naive_increase(s, t, range)));
        let query = format!("sum(increase(c_total[{range}ms]))");
        assert_same(&points(&source, &query, step), &expected(&increase))?;
        let count = |t| {
            let there = series.iter().filter(|s| naive_instant(s, t).is_some()).count();
            (there > 0).then_some(there as f64)
        };
        assert_same(&points(&source, "count(c_total)", step), &expected(&count))?;
        let shifted = expected(&|t| naive_instant(&series[0], t - 45_000));
        assert_same(&points(&source, "c_total{i='0'} offset 45s", step), &shifted)?;
    }
}
