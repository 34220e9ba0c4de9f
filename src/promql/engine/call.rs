//! Calls of functions: scalars, and functions over instant vectors.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::{Hints, Labels};

use super::Evaluated;
use super::arithmetic::{Scalar, apply};
use super::evaluate::{Evaluation, Sink, unsupported};
use super::points::{Head, Point, Points};
use super::selector::{Show, as_selector};
use crate::Span;
use crate::functions::date::DatePart;
use crate::functions::math;
use crate::lexer::text::quote;
use crate::parser::ast::{Call, Expr, ExprKind, ValueType, VectorSelector};

impl Evaluation<'_> {
    // ---- scalars

    pub(super) fn scalar(&self, expr: &Expr) -> Evaluated<Scalar> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Scalar::Constant(number.value)),
            ExprKind::Paren(inner) => self.scalar(inner),
            ExprKind::Unary {
                negative: true,
                operand,
            } => Ok(self.scalar(operand)?.map(|v| -v)),
            ExprKind::Unary { operand, .. } => self.scalar(operand),
            ExprKind::Binary(binary) => {
                let (left, right) = (self.scalar(&binary.left)?, self.scalar(&binary.right)?);
                Ok(left.zip(right, self.steps.count, |l, r| apply(binary.op, l, r)))
            }
            ExprKind::Call(call) => self.scalar_call(call, expr.span),
            _ => unsupported(expr.span, "this scalar expression"),
        }
    }

    fn scalar_call(&self, call: &Call, span: Span) -> Evaluated<Scalar> {
        let whole = &self.query.steps;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        match (call.function.name, call.args.as_slice()) {
            ("time", _) => {
                let times = self.steps.all().map(|step| seconds(self.steps.time(step)));
                Ok(Scalar::Steps(times.collect()))
            }
            ("pi", _) => Ok(Scalar::Constant(std::f64::consts::PI)),
            ("start", _) => Ok(Scalar::Constant(seconds(whole.start))),
            ("end", _) => Ok(Scalar::Constant(seconds(whole.end))),
            ("range", _) => Ok(Scalar::Constant(seconds(
                whole.end.saturating_sub(whole.start),
            ))),
            ("step", _) if whole.start == whole.end => Ok(Scalar::Constant(0.0)),
            ("step", _) => Ok(Scalar::Constant(seconds(whole.step))),
            ("max_of", [a, b]) => self.zip(a, b, math::greater),
            ("min_of", [a, b]) => self.zip(a, b, math::lesser),
            ("scalar", [vector]) => self.only_value(vector),
            (name, _) => unsupported(span, format!("function {}", quote(name))),
        }
    }

    fn zip(&self, a: &Expr, b: &Expr, join: fn(f64, f64) -> f64) -> Evaluated<Scalar> {
        Ok(self.scalar(a)?.zip(self.scalar(b)?, self.steps.count, join))
    }

    /// `scalar(vector)`: the value of its only float, NaN for none or more.
    fn only_value(&self, vector: &Expr) -> Evaluated<Scalar> {
        let count = self.steps.count as usize;
        self.query.check_limit(count)?;
        let mut values = vec![(0_u8, f64::NAN); count];
        let hints = Hints {
            function: "scalar".to_owned(),
            ..self.hints()
        };
        self.vector(vector, &hints, &mut |_, points| {
            for Point { step, v } in &points.floats {
                if let Some(value) = values.get_mut(*step as usize) {
                    *value = match value.0 {
                        0 => (1, *v),
                        _ => (2, f64::NAN),
                    };
                }
            }
            Ok(())
        })?;
        Ok(Scalar::Steps(values.into_iter().map(|(_, v)| v).collect()))
    }

    // ---- vectors

    pub(super) fn call(&self, call: &Call, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let name = call.function.name;
        if name == "absent_over_time" {
            return self.absent_over_time(call, sink);
        }
        let is_matrix = |arg: &Expr| arg.value_type() == ValueType::Matrix;
        if let Some(place) = call.args.iter().position(is_matrix) {
            return self.over_range(call, place, span, sink);
        }
        match name {
            "vector" => self.scalar_vector(&call.args[0], sink),
            "absent" => self.absent(call, sink),
            "timestamp" => self.timestamp(call, sink),
            "start_timestamp" => self.start_timestamp(call, sink),
            "label_replace" => self.label_replace(call, sink),
            "label_join" => self.label_join(call, sink),
            "info" => self.info(call, sink),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                self.sorted(call, span, sink)
            }
            name if name.starts_with("histogram_") => self.histogram_call(call, span, sink),
            _ => self.over_floats(call, span, sink),
        }
    }

    fn scalar_vector(&self, arg: &Expr, sink: &mut Sink<'_>) -> Evaluated {
        let scalar = self.scalar(arg)?;
        let steps = self.steps.all();
        let mut points = Points {
            floats: steps
                .map(|step| Point {
                    step,
                    v: scalar.at(step),
                })
                .collect(),
            ..Points::default()
        };
        sink(Head::from(Labels::default()), &mut points)
    }

    fn timestamp(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let (arg, hints) = (&call.args[0], self.function_hints(call));
        if let Some(selector) = as_selector(arg) {
            let selector = without_offset_at(selector);
            return self.renamed(arg, sink, &mut |sink| {
                self.current(&selector, &hints, Show::Time, sink)
            });
        }
        self.map(arg, &hints, sink, &mut |points| {
            let histograms = points.histograms.drain(..);
            points.floats.extend(histograms.map(|point| Point {
                step: point.step,
                v: 0.0,
            }));
            points.floats.sort_by_key(|point| point.step);
            for Point { step, v } in &mut points.floats {
                *v = self.steps.time(*step) as f64 / 1000.0;
            }
            Ok(())
        })
    }

    /// Nothing but selectors know it, and only where it is enabled.
    fn start_timestamp(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let (arg, hints) = (&call.args[0], self.function_hints(call));
        match as_selector(arg) {
            Some(selector) if self.query.options.start_timestamps => {
                let selector = without_offset_at(selector);
                self.renamed(arg, sink, &mut |sink| {
                    self.current(&selector, &hints, Show::Start, sink)
                })
            }
            _ => self.vector(arg, &hints, &mut |_, _| Ok(())),
        }
    }

    pub(super) fn function_hints(&self, call: &Call) -> Hints {
        Hints {
            function: call.function.name.to_owned(),
            ..self.hints()
        }
    }

    /// Functions of each float by itself; histograms are left out.
    fn over_floats(&self, call: &Call, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let name = call.function.name;
        let hints = self.function_hints(call);
        if let Some(part) = DatePart::of_function(name) {
            let Some(arg) = call.args.first() else {
                return self.date_now(part, sink);
            };
            return self.each_float(arg, &hints, sink, |_, v| part.at(v));
        }
        let Some(arg) = call.args.first() else {
            return unsupported(span, format!("function {}", quote(name)));
        };
        if let Some(function) = math::of_name(name) {
            return self.each_float(arg, &hints, sink, |_, v| function(v));
        }
        match (name, &call.args[1..]) {
            ("round", rest) => {
                let nearest = match rest {
                    [nearest, ..] => self.scalar(nearest)?,
                    [] => Scalar::Constant(1.0),
                };
                self.each_float(arg, &hints, sink, |step, v| {
                    math::round(v, nearest.at(step))
                })
            }
            ("clamp", [least, greatest]) => {
                let limits = (self.scalar(least)?, self.scalar(greatest)?);
                self.clamp(arg, &hints, limits, sink)
            }
            ("clamp_min", [least]) => {
                let limits = (self.scalar(least)?, Scalar::Constant(f64::INFINITY));
                self.clamp(arg, &hints, limits, sink)
            }
            ("clamp_max", [greatest]) => {
                let limits = (Scalar::Constant(f64::NEG_INFINITY), self.scalar(greatest)?);
                self.clamp(arg, &hints, limits, sink)
            }
            _ => unsupported(span, format!("function {}", quote(name))),
        }
    }

    fn each_float(
        &self,
        arg: &Expr,
        hints: &Hints,
        sink: &mut Sink<'_>,
        function: impl Fn(u32, f64) -> f64,
    ) -> Evaluated {
        self.map(arg, hints, sink, &mut |points| {
            points.histograms.clear();
            for point in &mut points.floats {
                point.v = function(point.step, point.v);
            }
            Ok(())
        })
    }

    fn clamp(
        &self,
        arg: &Expr,
        hints: &Hints,
        (least, greatest): (Scalar, Scalar),
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        self.map(arg, hints, sink, &mut |points| {
            points.histograms.clear();
            points.floats.retain_mut(|Point { step, v }| {
                let (least, greatest) = (least.at(*step), greatest.at(*step));
                *v = math::greater(least, math::lesser(greatest, *v));
                // Limits the wrong way round leave nothing.
                greatest.partial_cmp(&least) != Some(Ordering::Less)
            });
            Ok(())
        })
    }

    fn date_now(&self, part: DatePart, sink: &mut Sink<'_>) -> Evaluated {
        let at = |step| part.at((self.steps.time(step) / 1000) as f64);
        let mut points = Points {
            floats: self
                .steps
                .all()
                .map(|step| Point { step, v: at(step) })
                .collect(),
            ..Points::default()
        };
        sink(Head::from(Labels::default()), &mut points)
    }
}

/// Where Prometheus asks a selector with `@` for times, it forgets the offset; it reads no samples after the place that
/// the offset leads to, so only a negative one is lost.
fn without_offset_at(selector: &VectorSelector) -> Cow<'_, VectorSelector> {
    if selector.shift.at.is_none() || selector.shift.offset >= 0 {
        return Cow::Borrowed(selector);
    }
    let mut selector = selector.clone();
    selector.shift.offset = 0;
    Cow::Owned(selector)
}
