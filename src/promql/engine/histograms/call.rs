//! The functions called `histogram_…`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::histogram::SkippedNan;
use model::{FloatHistogram, Labels, METRIC_NAME};

use super::notes::Notes;
use crate::Span;
use crate::engine::Evaluated;
use crate::engine::annotations::Monotonicity;
use crate::engine::arithmetic::Scalar;
use crate::engine::evaluate::{Distinct, Evaluation, Sink, distinct_without_name, unsupported};
use crate::engine::merged::Merged;
use crate::engine::points::{Head, HistogramPoint, Point, Points};
use crate::engine::range::note_invalid_quantile;
use crate::engine::sorting::text;
use crate::functions::classic::{self, ClassicBucket};
use crate::lexer::text::quote;
use crate::parser::ast::{Call, Expr};

/// The label of a classic bucket's upper bound.
const BOUND: &str = "le";

/// What is asked of each histogram.
enum Question {
    Quantile(Scalar),
    Fraction { lower: Scalar, upper: Scalar },
}

impl Evaluation<'_> {
    pub(in crate::engine) fn histogram_call(
        &self,
        call: &Call,
        span: Span,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let simple: fn(&FloatHistogram) -> f64 = match (call.function.name, call.args.as_slice()) {
            ("histogram_count", _) => |h| h.count,
            ("histogram_sum", _) => |h| h.sum,
            ("histogram_avg", _) => |h| h.sum / h.count,
            ("histogram_stdvar", _) => FloatHistogram::variance,
            ("histogram_stddev", _) => |h| h.variance().sqrt(),
            ("histogram_quantile", [q, vector]) => {
                return self.quantiles_of(vector, &[q], None, sink);
            }
            ("histogram_quantiles", [vector, label, quantiles @ ..]) => {
                let quantiles: Vec<_> = quantiles.iter().collect();
                return self.quantiles_of(vector, &quantiles, text(label), sink);
            }
            ("histogram_fraction", [lower, upper, vector]) => {
                let question = Question::Fraction {
                    lower: self.scalar(lower)?,
                    upper: self.scalar(upper)?,
                };
                let histograms = self.histograms_of(vector)?;
                let mut merged = Merged::default();
                histograms.ask(self, &question, None, &mut merged)?;
                return self.send_histograms(histograms, merged, sink);
            }
            (name, _) => return unsupported(span, format!("function {}", quote(name))),
        };
        self.each_histogram(&call.args[0], simple, sink)
    }

    /// A float of each histogram by itself; floats are left out.
    fn each_histogram(
        &self,
        vector: &Expr,
        of: fn(&FloatHistogram) -> f64,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let delayed = self.query.options.delayed_name_removal;
        let merges = !delayed && !distinct_without_name(vector);
        let (mut merged, mut distinct) = (Merged::default(), Distinct::default());
        let mut held = 0;
        self.vector(vector, &self.hints(), &mut |mut head, points| {
            let histograms = points.histograms.drain(..);
            points.floats.clear();
            let floats = histograms.map(|HistogramPoint { step, h }| Point { step, v: of(&h) });
            points.floats.extend(floats);
            if points.is_empty() {
                return Ok(());
            }
            // Other labels of metadata than the name stay, as in Prometheus.
            head.drop_name = true;
            if !delayed {
                head.labels.set(METRIC_NAME, "", &self.query.symbols);
            }
            if merges {
                self.query.hold(points.len())?;
                held += points.len();
                merged.add(head, points);
                return Ok(());
            }
            if !delayed {
                distinct.insert(&head.labels)?;
            }
            sink(head, points)
        })?;
        self.send(merged.finish()?, sink)?;
        self.query.release(held);
        Ok(())
    }

    fn quantiles_of(
        &self,
        vector: &Expr,
        quantiles: &[&Expr],
        label: Option<&str>,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let mut questions = Vec::new();
        for quantile in quantiles {
            let scalar = self.scalar(quantile)?;
            let mut last = None;
            for q in scalar.values().iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                if last.replace(q.to_bits()) != Some(q.to_bits()) {
                    note_invalid_quantile(self.query, *q, quantile.unwrap_parens().span);
                }
            }
            questions.push(Question::Quantile(scalar));
        }
        let histograms = self.histograms_of(vector)?;
        let mut merged = Merged::default();
        for question in &questions {
            histograms.ask(self, question, label, &mut merged)?;
        }
        self.send_histograms(histograms, merged, sink)
    }

    fn send_histograms(
        &self,
        histograms: Histograms,
        merged: Merged,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let held = histograms.weight;
        drop(histograms);
        self.send(merged.finish()?, sink)?;
        self.query.release(held);
        Ok(())
    }

    /// Reads a vector of native histograms and of classic buckets.
    fn histograms_of(&self, vector: &Expr) -> Evaluated<Histograms> {
        let mut histograms = Histograms {
            span: vector.unwrap_parens().span,
            classic: Vec::new(),
            places: HashMap::new(),
            native: Vec::new(),
            weight: 0,
        };
        self.vector(vector, &self.hints(), &mut |head, points| {
            let weight = points.weight();
            self.query.hold(weight)?;
            histograms.weight += weight;
            histograms.take(self, head, points);
            Ok(())
        })?;
        Ok(histograms)
    }
}

/// The buckets of one classic histogram: bounds and points.
struct Classic {
    head: Head,
    buckets: Vec<(f64, Vec<Point>)>,
}

/// What a function of histograms reads.
struct Histograms {
    span: Span,
    classic: Vec<Classic>,
    /// Where the classic histogram of certain labels is.
    places: HashMap<Labels, usize>,
    native: Vec<(Head, Vec<HistogramPoint>)>,
    weight: usize,
}

impl Histograms {
    fn take(&mut self, evaluation: &Evaluation<'_>, head: Head, points: &mut Points) {
        let query = evaluation.query;
        if !points.floats.is_empty() {
            let le = head.labels.get(BOUND, &query.symbols).unwrap_or_default();
            match classic::bound(le) {
                Some(bound) => {
                    let floats = std::mem::take(&mut points.floats);
                    self.take_bucket(evaluation, head.clone(), bound, floats);
                }
                None => {
                    let text = format!(
                        "bucket label \"le\" is missing or has a malformed value of {}",
                        quote(le)
                    );
                    self.notes(evaluation, &head).warn(&text);
                }
            }
        }
        if !points.histograms.is_empty() {
            self.native
                .push((head, std::mem::take(&mut points.histograms)));
        }
    }

    fn take_bucket(
        &mut self,
        evaluation: &Evaluation<'_>,
        mut head: Head,
        bound: f64,
        points: Vec<Point>,
    ) {
        head.labels.set(BOUND, "", &evaluation.query.symbols);
        let place = match self.places.entry(head.labels.clone()) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                let buckets = Vec::new();
                self.classic.push(Classic { head, buckets });
                *place.insert(self.classic.len() - 1)
            }
        };
        self.classic[place].buckets.push((bound, points));
    }

    /// Names are known with delayed removal only.
    fn notes<'n>(&self, evaluation: &Evaluation<'n>, head: &'n Head) -> Notes<'n> {
        let query = evaluation.query;
        Notes {
            name: match query.options.delayed_name_removal {
                true => query.metric_name(&head.labels),
                false => "",
            },
            span: self.span,
            all: &query.annotations,
        }
    }

    /// Answers a question for each histogram. `label` is to hold the quantile.
    fn ask(
        &self,
        evaluation: &Evaluation<'_>,
        question: &Question,
        label: Option<&str>,
        merged: &mut Merged,
    ) -> Evaluated {
        let conflicts = self.conflicts(evaluation);
        for (head, points) in &self.native {
            evaluation.query.cancel.check()?;
            let notes = self.notes(evaluation, head);
            let steps = self.conflicting_steps(&conflicts, head);
            let asked = points.iter().filter(|point| !steps.contains(&point.step));
            let floats = asked.map(|HistogramPoint { step, h }| Point {
                step: *step,
                v: question.of_native(h, *step, &notes),
            });
            answer(
                evaluation,
                head,
                (question, label),
                floats.collect(),
                merged,
            );
        }
        for (place, classic) in self.classic.iter().enumerate() {
            evaluation.query.cancel.check()?;
            let notes = self.notes(evaluation, &classic.head);
            let steps = conflicts.get(&place).map_or(&[][..], Vec::as_slice);
            let floats = classic.ask(evaluation, question, steps, &notes);
            answer(evaluation, &classic.head, (question, label), floats, merged);
        }
        Ok(())
    }

    /// The steps at which there are a native histogram and classic buckets of the same labels: neither is looked at
    /// there. By place in `classic`.
    fn conflicts(&self, evaluation: &Evaluation<'_>) -> HashMap<usize, Vec<u32>> {
        let mut conflicts = HashMap::new();
        if self.classic.is_empty() {
            return conflicts;
        }
        for (head, points) in &self.native {
            let Some(place) = self.places.get(&head.labels) else {
                continue;
            };
            let buckets = &self.classic[*place].buckets;
            let has_bucket = |step: u32| {
                let at = |(_, points): &(f64, Vec<Point>)| {
                    points
                        .binary_search_by_key(&step, |point| point.step)
                        .is_ok()
                };
                buckets.iter().any(at)
            };
            let steps = points.iter().map(|point| point.step);
            let steps: Vec<u32> = steps.filter(|step| has_bucket(*step)).collect();
            if !steps.is_empty() {
                let text = "vector contains a mix of classic and native histograms";
                self.notes(evaluation, head).warn(text);
                conflicts.insert(*place, steps);
            }
        }
        conflicts
    }

    fn conflicting_steps<'c>(
        &self,
        conflicts: &'c HashMap<usize, Vec<u32>>,
        head: &Head,
    ) -> &'c [u32] {
        let place = self.places.get(&head.labels);
        let steps = place.and_then(|place| conflicts.get(place));
        steps.map_or(&[], Vec::as_slice)
    }
}

impl Classic {
    /// The answer at each step with buckets, apart from `except`.
    fn ask(
        &self,
        evaluation: &Evaluation<'_>,
        question: &Question,
        except: &[u32],
        notes: &Notes<'_>,
    ) -> Vec<Point> {
        let mut rest: Vec<(f64, &[Point])> = self
            .buckets
            .iter()
            .map(|(bound, points)| (*bound, points.as_slice()))
            .collect();
        let (mut answers, mut now) = (Vec::new(), Vec::new());
        loop {
            let first = rest.iter().filter_map(|(_, points)| points.first());
            let Some(step) = first.map(|point| point.step).min() else {
                return answers;
            };
            now.clear();
            for (upper, points) in &mut rest {
                if let Some((point, after)) = points.split_first()
                    && point.step == step
                {
                    *points = after;
                    now.push(ClassicBucket {
                        upper: *upper,
                        count: point.v,
                    });
                }
            }
            if !except.contains(&step) {
                let time = evaluation.steps.time(step);
                let v = question.of_classic(&mut now, (step, time), notes);
                answers.push(Point { step, v });
            }
        }
    }
}

impl Question {
    fn of_native(&self, h: &FloatHistogram, step: u32, notes: &Notes<'_>) -> f64 {
        match self {
            Self::Quantile(q) => {
                let quantile = h.quantile(q.at(step));
                match quantile.nan {
                    SkippedNan::None => {}
                    SkippedNan::Skew => notes.info(
                        "input to histogram_quantile has NaN observations, result is skewed higher",
                    ),
                    SkippedNan::Result => notes
                        .info("input to histogram_quantile has NaN observations, result is NaN"),
                }
                quantile.value
            }
            Self::Fraction { lower, upper } => {
                let fraction = h.fraction(lower.at(step), upper.at(step));
                if fraction.has_nan {
                    notes.info(
                        "input to histogram_fraction has NaN observations, which are excluded \
                         from all fractions",
                    );
                }
                fraction.value
            }
        }
    }

    fn of_classic(
        &self,
        buckets: &mut Vec<ClassicBucket>,
        (step, time): (u32, i64),
        notes: &Notes<'_>,
    ) -> f64 {
        match self {
            Self::Quantile(q) => {
                let (quantile, forced) = classic::quantile(q.at(step), buckets);
                if let Some(forced) = forced {
                    let text = notes.named(FORCED);
                    let forced = Monotonicity {
                        first: time,
                        last: time,
                        least_bucket: forced.least_bucket,
                        greatest_bucket: forced.greatest_bucket,
                        greatest_difference: forced.greatest_difference,
                        samples: 1,
                    };
                    notes.all.forced_monotonicity(notes.span, &text, forced);
                }
                quantile
            }
            Self::Fraction { lower, upper } => {
                classic::fraction(lower.at(step), upper.at(step), buckets)
            }
        }
    }
}

const FORCED: &str = "input to histogram_quantile needed to be fixed for monotonicity (see \
                      https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// Adds a series of answers. With a label, each value of the quantile is a series of its own.
fn answer(
    evaluation: &Evaluation<'_>,
    head: &Head,
    (question, label): (&Question, Option<&str>),
    floats: Vec<Point>,
    merged: &mut Merged,
) {
    let query = evaluation.query;
    let mut head = head.clone();
    query.drop_name(&mut head);
    let (Some(label), Question::Quantile(quantiles)) = (label, question) else {
        add(merged, head, floats);
        return;
    };
    let mut floats = floats.into_iter().peekable();
    while let Some(first) = floats.next() {
        let q = quantiles.at(first.step);
        let mut run = vec![first];
        while let Some(next) = floats.next_if(|p| quantiles.at(p.step).to_bits() == q.to_bits()) {
            run.push(next);
        }
        let mut head = head.clone();
        head.labels.set(label, &open_metrics(q), &query.symbols);
        add(merged, head, run);
    }
}

fn add(merged: &mut Merged, head: Head, floats: Vec<Point>) {
    if !floats.is_empty() {
        let mut points = Points {
            floats,
            ..Points::default()
        };
        merged.add(head, &mut points);
    }
}

/// A float as OpenMetrics writes it in labels: always with a point or an exponent.
fn open_metrics(v: f64) -> String {
    let text = model::histogram::format_short(v);
    if v.is_finite() && !text.contains(['.', 'e']) {
        return text + ".0";
    }
    text
}
