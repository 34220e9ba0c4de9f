//! Runs scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Cancel, FloatHistogram, Symbols, Timestamp};

use super::classic;
use super::compare::{close, same_histogram};
use super::memory::{Memory, Pairs};
use super::pin::pin;
use super::script::{Command, Eval, Expected, Load, Script, Wanted};
use super::series::Value;
use crate::{Answer, AnswerValue, Engine, Expr, Features, Options, RangeSeries, parse_with};

/// How one evaluation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of its command, from 1.
    pub line: usize,
    pub query: String,
    /// What is not as expected.
    pub result: Result<(), String>,
}

/// The engine of Prometheus's own tests.
#[must_use]
pub fn engine() -> Engine {
    Engine::new(Options {
        delayed_name_removal: true,
        start_timestamps: true,
        ..Options::default()
    })
}

impl Script {
    /// Runs all commands in order; one outcome for each evaluation. A load that fails makes the evaluations after it,
    /// up to the next `clear`, fail too.
    #[must_use]
    pub fn run(&self, engine: &Engine) -> Vec<Outcome> {
        let mut memory = Memory::default();
        let mut broken: Option<String> = None;
        let mut outcomes = Vec::new();
        for command in &self.commands {
            match command {
                Command::Clear => {
                    memory.clear();
                    broken = None;
                }
                Command::Load(load) => {
                    let why = |why| format!("load in line {}: {why}", load.line);
                    broken = load.run(&mut memory).map_err(why).err().or(broken);
                }
                Command::Eval(eval) => {
                    let result = match &broken {
                        Some(why) => Err(why.clone()),
                        None => eval.run(engine, &memory),
                    };
                    outcomes.push(Outcome {
                        line: eval.line,
                        query: eval.query.clone(),
                        result,
                    });
                }
            }
        }
        outcomes
    }
}

impl Load {
    fn run(&self, memory: &mut Memory) -> Result<(), String> {
        let timed = |values: &[Value]| -> Vec<(Timestamp, Value)> {
            let times = (0..).map(|at| at * self.interval);
            times.zip(values.iter().cloned()).collect()
        };
        let mut all: Vec<(&Pairs, Vec<(Timestamp, Value)>)> = Vec::new();
        for series in &self.series {
            all.push((&series.labels, timed(&series.values)));
        }
        for ((labels, samples), series) in all.iter().zip(&self.series) {
            for (at, (t, value)) in samples.iter().enumerate() {
                let before = series.starts.get(at).copied().flatten();
                memory.push(labels, *t, value, before.map(|before| t + before));
            }
        }
        if self.with_nhcb {
            let all: Vec<_> = all.iter().map(|(l, s)| (*l, s.as_slice())).collect();
            for (labels, samples) in classic::convert(&all)? {
                for (t, value) in &samples {
                    memory.push(&labels, *t, value, None);
                }
            }
        }
        Ok(())
    }
}

type Checked = Result<(), String>;

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Timestamp),
    Range(Timestamp, Timestamp, i64),
}

impl Eval {
    fn run(&self, engine: &Engine, memory: &Memory) -> Checked {
        let expr = parse_with(&self.query, features()).map_err(|error| error.to_string())?;
        if self.is_range {
            let when = When::Range(self.start, self.end, self.step);
            return self.evaluate(engine, memory, &expr, when).map(|_| ());
        }
        self.instant(engine, memory, &expr, self.end)?;
        let Some(pinned) = pin(&expr, self.end) else {
            return Ok(());
        };
        // The pinned query goes through its text, as Prometheus's does.
        let text = pinned.to_string();
        let pinned =
            parse_with(&text, features()).map_err(|e| format!("printed as {text}: {e}"))?;
        for time in other_times(self.end) {
            let told = |why| format!("as {text} at {time} ms: {why}");
            self.instant(engine, memory, &pinned, time).map_err(told)?;
        }
        Ok(())
    }

    /// Evaluates at `time`, and as the middle step of a range query.
    fn instant(&self, engine: &Engine, memory: &Memory, expr: &Expr, time: Timestamp) -> Checked {
        let scalar = self.evaluate(engine, memory, expr, When::At(time))?;
        let in_range = matches!(self.expected, Expected::Series(_) | Expected::Scalar(_))
            && self.expect.fail.is_none()
            && !self.expect.ordered
            && !depends_on_range(&self.query);
        if !in_range {
            return Ok(());
        }
        let when = When::Range(time - 60_000, time + 60_000, 60_000);
        let answer =
            ask(engine, memory, expr, when).map_err(|error| format!("in a range: {error}"))?;
        let series: Vec<Series> = series_of(&answer);
        sorted(&series)?;
        let middle = series.into_iter().filter_map(|mut series| {
            series.points.retain(|(t, _)| *t == time);
            (!series.points.is_empty()).then_some(series)
        });
        let middle: Vec<Series> = middle.collect();
        let told = |why| format!("in a range: {why}");
        match scalar {
            true => self.scalar(&middle).map_err(told),
            false => self.vector(&middle).map_err(told),
        }
    }

    /// Whether the answer is a scalar; or what is wrong with it.
    fn evaluate(
        &self,
        engine: &Engine,
        memory: &Memory,
        expr: &Expr,
        when: When,
    ) -> Result<bool, String> {
        let answer = match ask(engine, memory, expr, when) {
            Ok(answer) => answer,
            Err(error) => return self.expect.check_failure(&error).map(|()| false),
        };
        if let Some(pattern) = &self.expect.fail {
            return Err(format!("expected to fail with {pattern:?}"));
        }
        self.expect
            .check_annotations(&answer.warnings, &answer.infos)?;
        let series = series_of(&answer);
        match (&answer.value, &self.expected) {
            (AnswerValue::String(_, got), Expected::Text(wanted)) if got == wanted => Ok(false),
            (AnswerValue::String(_, got), _) => Err(format!("got the string {got:?}")),
            (AnswerValue::Scalar(..), _) => self.scalar(&series).map(|()| true),
            (AnswerValue::Vector(_), _) => self.vector(&series).map(|()| false),
            (AnswerValue::Matrix(_), _) => self.matrix(&series).map(|()| false),
        }
    }

    fn scalar(&self, got: &[Series]) -> Checked {
        let got = got.first().and_then(|series| series.points.first());
        match (&self.expected, got) {
            (Expected::Scalar(wanted), Some((_, Number::Float(got)))) if close(*wanted, *got) => {
                Ok(())
            }
            (wanted, got) => Err(format!("expected {wanted:?}, got the scalar {got:?}")),
        }
    }

    fn expected_series(&self) -> Result<&[Wanted], String> {
        match &self.expected {
            Expected::Series(series) | Expected::RangeVector(series) => Ok(series),
            other => Err(format!("expected {other:?}, got series")),
        }
    }

    fn vector(&self, got: &[Series]) -> Checked {
        let expected = self.expected_series()?;
        for (at, series) in got.iter().enumerate() {
            let (place, values) = find(expected, series)?;
            if self.expect.ordered && place != at + 1 {
                return Err(format!(
                    "expected {} at place {place}, not {}",
                    series.name(),
                    at + 1
                ));
            }
            let (Some(wanted), Some((_, got))) = (values.first(), series.points.first()) else {
                return Err(format!("no value for {}", series.name()));
            };
            got.check(wanted)
                .map_err(|why| format!("{}: {why}", series.name()))?;
        }
        all_there(expected, got)
    }

    fn matrix(&self, got: &[Series]) -> Checked {
        sorted(got)?;
        let expected = self.expected_series()?;
        for series in got {
            let (_, values) = find(expected, series)?;
            let times = (0..).map(|at| self.start + at * self.step);
            let wanted = times
                .zip(values)
                .filter(|(_, v)| !matches!(v, Value::Omitted));
            let wanted: Vec<(Timestamp, &Value)> = wanted.collect();
            let told = |why| format!("{}: {why} (all: {:?})", series.name(), series.points);
            if wanted.len() != series.points.len() {
                return Err(told(format!("expected {} points", wanted.len())));
            }
            for ((at, wanted), (t, got)) in wanted.iter().zip(&series.points) {
                if at != t {
                    return Err(told(format!("expected a point at {at} ms, not at {t}")));
                }
                got.check(wanted)
                    .map_err(|why| told(format!("at {t} ms: {why}")))?;
            }
        }
        all_there(expected, got)
    }
}

fn features() -> Features {
    Features::all()
}

/// Times at which a pinned query is evaluated again.
fn other_times(time: Timestamp) -> Vec<Timestamp> {
    match time {
        0 => vec![-1000, 0, 1000],
        _ => vec![-10 * time, 0, time / 5, time, 10 * time],
    }
}

/// Whether a query asks for the range itself: then another range gives another answer.
fn depends_on_range(query: &str) -> bool {
    ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|call| query.contains(call))
}

fn ask(engine: &Engine, memory: &Memory, expr: &Expr, when: When) -> Result<Answer, String> {
    let cancel = Cancel::new();
    let answer = match when {
        When::At(time) => engine.instant(memory, expr, time, &cancel),
        When::Range(start, end, step) => engine.range(memory, expr, start, end, step, &cancel),
    };
    answer.map_err(|error| error.to_string())
}

/// A series of an answer, without its table.
struct Series {
    labels: Pairs,
    points: Vec<(Timestamp, Number)>,
}

#[derive(Clone, Debug)]
enum Number {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Number {
    fn check(&self, wanted: &Value) -> Checked {
        let same = match (self, wanted) {
            (Self::Float(got), Value::Float(wanted)) => close(*wanted, *got),
            (
                Self::Histogram(got),
                Value::Histogram {
                    histogram,
                    hint_given,
                },
            ) => same_histogram(histogram, got, *hint_given),
            _ => false,
        };
        match same {
            true => Ok(()),
            false => Err(format!("expected {wanted:?}, got {self:?}")),
        }
    }
}

impl Series {
    fn name(&self) -> String {
        let pairs: Vec<String> = self
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v:?}"))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

fn pairs(labels: &model::Labels, symbols: &Symbols) -> Pairs {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    labels.iter(symbols).map(owned).collect()
}

fn series_of(answer: &Answer) -> Vec<Series> {
    let labels = |labels| pairs(labels, &answer.symbols);
    match &answer.value {
        AnswerValue::String(..) => Vec::new(),
        AnswerValue::Scalar(t, v) => vec![Series {
            labels: Vec::new(),
            points: vec![(*t, Number::Float(*v))],
        }],
        AnswerValue::Vector(samples) => {
            let series = samples.iter().map(|sample| Series {
                labels: labels(&sample.labels),
                points: vec![(sample.t, number(sample.v, sample.histogram.as_ref()))],
            });
            series.collect()
        }
        AnswerValue::Matrix(series) => {
            let series = series.iter().map(|series| Series {
                labels: labels(&series.labels),
                points: points_of(series),
            });
            series.collect()
        }
    }
}

fn number(v: f64, histogram: Option<&Arc<FloatHistogram>>) -> Number {
    match histogram {
        Some(histogram) => Number::Histogram(Arc::clone(histogram)),
        None => Number::Float(v),
    }
}

/// Floats and histograms in time order.
fn points_of(series: &RangeSeries) -> Vec<(Timestamp, Number)> {
    let floats = series.points.iter().map(|(t, v)| (*t, Number::Float(*v)));
    let histograms = series
        .histograms
        .iter()
        .map(|(t, h)| (*t, number(0.0, Some(h))));
    let mut points: Vec<_> = floats.chain(histograms).collect();
    points.sort_by_key(|(t, _)| *t);
    points
}

fn find<'e>(expected: &'e [Wanted], got: &Series) -> Result<(usize, &'e [Value]), String> {
    let found = expected.iter().find(|(_, labels, _)| *labels == got.labels);
    match found {
        Some((place, _, values)) => Ok((*place, values)),
        None => Err(format!(
            "unexpected series {} with {:?}",
            got.name(),
            got.points
        )),
    }
}

fn all_there(expected: &[Wanted], got: &[Series]) -> Checked {
    let mut count: BTreeMap<&Pairs, usize> = BTreeMap::new();
    for series in got {
        *count.entry(&series.labels).or_default() += 1;
    }
    match expected
        .iter()
        .find(|(_, labels, _)| !count.contains_key(labels))
    {
        Some((_, labels, values)) => Err(format!("no series {labels:?}, expected {values:?}")),
        None => match got.iter().find(|series| count[&series.labels] > 1) {
            Some(twice) => Err(format!("{} is there twice", twice.name())),
            None => Ok(()),
        },
    }
}

fn sorted(series: &[Series]) -> Checked {
    match series
        .windows(2)
        .find(|pair| pair[0].labels > pair[1].labels)
    {
        Some(pair) => Err(format!(
            "{} comes before {}",
            pair[0].name(),
            pair[1].name()
        )),
        None => Ok(()),
    }
}
