//! Native histograms as text: `{{schema:1 count:4 sum:5.5 buckets:[1 2 1] offset:-1 z_bucket:0}}`.

use std::collections::BTreeSet;

use model::{CounterReset, FloatHistogram, Span};

use super::series::{SeriesError, Value, parse_times, scan_number};

/// One item of a series' values that begins with a histogram.
pub(super) fn parse_item(item: &str, values: &mut Vec<Value>) -> Result<(), SeriesError> {
    let wrong = |why: &str| SeriesError::Histogram {
        text: item.to_owned(),
        why: why.to_owned(),
    };
    let (first, rest) = literal(item).map_err(|why| wrong(&why))?;
    let Some(sign) = rest.chars().next() else {
        values.push(first);
        return Ok(());
    };
    if sign == 'x' {
        let times = parse_times(&rest[1..]).ok_or_else(|| wrong("bad repetition"))?;
        values.extend((0..=times).map(|_| first.clone()));
        return Ok(());
    }
    if !matches!(sign, '+' | '-') {
        return Err(wrong("expected \"x\", \"+\" or \"-\" after it"));
    }
    let (step, rest) = literal(&rest[1..]).map_err(|why| wrong(&why))?;
    let times = rest.strip_prefix('x').and_then(parse_times);
    let times = times.ok_or_else(|| wrong("bad repetition"))?;
    repeat(first, &step, sign == '-', times, values).map_err(|why| wrong(&why))
}

fn repeat(
    first: Value,
    step: &Value,
    subtract: bool,
    times: u64,
    values: &mut Vec<Value>,
) -> Result<(), String> {
    // What the second one says of resets counts for all.
    let (
        Value::Histogram { histogram, .. },
        Value::Histogram {
            histogram: step,
            hint_given,
        },
    ) = (first, step)
    else {
        return Err("expected two histograms".to_owned());
    };
    let (mut current, hint_given) = (histogram, *hint_given);
    for at in 0..=times {
        values.push(Value::Histogram {
            histogram: current.clone(),
            hint_given,
        });
        if at == times {
            break;
        }
        if current.schema > step.schema {
            return Err(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, current.schema
            ));
        }
        let combined = match subtract {
            true => current.sub(step),
            false => current.add(step),
        };
        combined.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A histogram at the beginning of `text`, and what follows it.
fn literal(text: &str) -> Result<(Value, &str), String> {
    let inner = text.strip_prefix("{{").ok_or("expected \"{{\"")?;
    let (inner, rest) = inner.split_once("}}").ok_or("\"}}\" is missing")?;
    let mut fields = Fields::default();
    let mut todo = inner.trim();
    while !todo.is_empty() {
        let (key, value) = todo.split_once(':').ok_or_else(|| bad_key(todo))?;
        let end = match value.starts_with('[') {
            true => value.find(']').ok_or("\"]\" is missing")? + 1,
            false => value.find([' ', '\t']).unwrap_or(value.len()),
        };
        fields.set(key, &value[..end])?;
        todo = value[end..].trim_start();
    }
    Ok((fields.finish(), rest))
}

fn bad_key(key: &str) -> String {
    format!("bad histogram descriptor found: {key:?}")
}

#[derive(Default)]
struct Fields {
    seen: BTreeSet<String>,
    histogram: FloatHistogram,
    offset: i32,
    negative_offset: i32,
}

impl Fields {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if !self.seen.insert(key.to_owned()) {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        let h = &mut self.histogram;
        match key {
            "schema" => h.schema = integer(value)?,
            "sum" => h.sum = number(value)?,
            "count" => h.count = number(value)?,
            "z_bucket" => h.zero_count = number(value)?,
            "z_bucket_w" => h.zero_threshold = number(value)?,
            "custom_values" => h.custom_values = numbers(value)?.into(),
            "buckets" => h.positive_buckets = numbers(value)?,
            "n_buckets" => h.negative_buckets = numbers(value)?,
            "offset" => self.offset = integer(value)?,
            "n_offset" => self.negative_offset = integer(value)?,
            "counter_reset_hint" => h.counter_reset = hint(value)?,
            _ => return Err(bad_key(key)),
        }
        Ok(())
    }

    fn finish(self) -> Value {
        let mut histogram = self.histogram;
        histogram.positive_spans = spans(self.offset, &histogram.positive_buckets).into();
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets).into();
        Value::Histogram {
            histogram: Box::new(histogram),
            hint_given: self.seen.contains("counter_reset_hint"),
        }
    }
}

fn spans(offset: i32, buckets: &[f64]) -> Vec<Span> {
    match u32::try_from(buckets.len()) {
        Ok(length) if length > 0 => vec![Span { offset, length }],
        _ => Vec::new(),
    }
}

fn integer(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text:?} is no integer"))
}

fn number(text: &str) -> Result<f64, String> {
    match scan_number(text) {
        Some((value, "")) => Ok(value),
        _ => Err(format!("{text:?} is no number")),
    }
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("{text:?} is no list of numbers"))?;
    inner.split_whitespace().map(number).collect()
}

fn hint(text: &str) -> Result<CounterReset, String> {
    match text {
        "unknown" => Ok(CounterReset::Unknown),
        "reset" => Ok(CounterReset::Reset),
        "not_reset" => Ok(CounterReset::NotReset),
        "gauge" => Ok(CounterReset::Gauge),
        _ => Err(format!("{text:?} says nothing about counter resets")),
    }
}
