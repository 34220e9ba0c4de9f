//! `load_with_nhcb`: classic histograms loaded a second time as native histograms with custom buckets.

use std::collections::BTreeMap;

use model::{FloatHistogram, Span, Timestamp};

use super::memory::Pairs;
use super::series::Value;

type Loaded<'a> = (&'a Pairs, &'a [(Timestamp, Value)]);

/// One classic histogram at one time: cumulative counts by upper bound.
#[derive(Default)]
struct Classic {
    /// Ascending by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms that the classic ones among `series` make, by labels, in time order.
pub(super) fn convert(
    series: &[Loaded<'_>],
) -> Result<BTreeMap<Pairs, Vec<(Timestamp, Value)>>, String> {
    let mut found: BTreeMap<Pairs, BTreeMap<Timestamp, Classic>> = BTreeMap::new();
    for (labels, samples) in series {
        collect(labels, samples, &mut found)?;
    }
    let mut converted = BTreeMap::new();
    for (labels, by_time) in found {
        let mut samples = Vec::new();
        for (t, classic) in by_time {
            samples.push((t, classic.finish()?));
        }
        converted.insert(labels, samples);
    }
    Ok(converted)
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

fn collect(
    labels: &Pairs,
    samples: &[(Timestamp, Value)],
    found: &mut BTreeMap<Pairs, BTreeMap<Timestamp, Classic>>,
) -> Result<(), String> {
    let value_of = |name: &str| {
        let found = labels.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let name = value_of(model::METRIC_NAME);
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        match super::series::scan_number(value_of("le")) {
            Some((bound, "")) if !bound.is_nan() => (base, Part::Bucket(bound)),
            _ => return Ok(()),
        }
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else if let Some(base) = name.strip_suffix("_sum") {
        (base, Part::Sum)
    } else {
        return Ok(());
    };
    let rename = |(name, value): &(String, String)| match name.as_str() {
        model::METRIC_NAME => (name.clone(), base.to_owned()),
        _ => (name.clone(), value.clone()),
    };
    let kept = labels.iter().filter(|(name, _)| name != "le");
    let by_time = found.entry(kept.map(rename).collect()).or_default();
    for (t, value) in samples {
        let Value::Float(v) = value else { continue };
        let classic = by_time.entry(*t).or_default();
        match part {
            Part::Bucket(bound) => classic.set_bucket(bound, *v)?,
            Part::Count => classic.count = Some(*v),
            Part::Sum => classic.sum = *v,
        }
    }
    Ok(())
}

impl Classic {
    fn set_bucket(&mut self, bound: f64, count: f64) -> Result<(), String> {
        let at = self.buckets.partition_point(|(le, _)| *le < bound);
        if self.buckets.get(at).is_some_and(|(le, _)| *le == bound) {
            return Ok(());
        }
        self.buckets.insert(at, (bound, count));
        let cumulative = self.buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        match cumulative && count >= 0.0 {
            true => Ok(()),
            false => Err("the buckets of a classic histogram do not grow".to_owned()),
        }
    }

    fn finish(mut self) -> Result<Value, String> {
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if self.buckets.last().is_some_and(|(_, last)| *last != count) {
            return Err("the count of a classic histogram is not that of its last bucket".into());
        }
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (_, cumulative) in &self.buckets {
            counts.push(cumulative - before);
            before = *cumulative;
        }
        let length = u32::try_from(counts.len()).map_err(|_| "too many buckets")?;
        self.buckets.pop();
        let histogram = FloatHistogram {
            schema: -53,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length }].into(),
            positive_buckets: counts,
            custom_values: self.buckets.iter().map(|(bound, _)| *bound).collect(),
            ..FloatHistogram::default()
        };
        Ok(Value::Histogram {
            histogram: Box::new(histogram),
            hint_given: false,
        })
    }
}
