//! Evaluates an expression at one instant or at all steps of a range.
//!
//! One pass over each series for all steps: a series is decoded into reused scratch, its windows move forward by
//! index, and its points go straight to what stands above (an aggregation folds them, nothing else keeps them). So a
//! query holds its result, its groups and one series; only operators between vectors and functions that look across
//! series hold rows. Semantics are those of Prometheus 3: a selector looks at samples *after* `t - lookback` or
//! `t - range`, up to and including `t`.

mod absent;
mod aggregate;
pub(crate) mod annotations;
mod arithmetic;
mod binary;
mod call;
mod count_values;
pub(crate) mod evaluate;
mod flow;
mod histograms;
mod info;
mod invariant;
mod matching;
mod merged;
pub(crate) mod points;
mod projection;
pub(crate) mod query;
pub(crate) mod range;
mod ranked;
mod relabel;
pub(crate) mod samples;
mod selector;
mod set;
mod shared;
mod sorting;
mod steps;
mod subquery;

use std::sync::Arc;

use model::{
    Cancel, Cancelled, FloatHistogram, Labels, Queryable, SelectError, Symbols, Timestamp,
};

use crate::Span;
use crate::parser::ParseError;
use crate::parser::ast::{Expr, ValueType};
use crate::parser::duration::{self, DurationError};
use evaluate::Evaluation;
use projection::Projections;
use query::Query;
use shared::Sharing;
use steps::Steps;

/// How queries are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a sample counts as the current one, milliseconds.
    pub lookback: i64,
    /// How many samples and points a query may hold at a time.
    pub max_samples: usize,
    /// The step of subqueries that name none, milliseconds.
    pub subquery_step: i64,
    /// How many threads a query may work on, the one that asks included. The answer is the same for any number.
    pub threads: usize,
    /// Names go with the answer, not with the function that makes them wrong
    /// (`--enable-feature=promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// `__type__` tells what is a counter (`--enable-feature=type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// A sample that began later than the one before is a reset (`--enable-feature=use-start-timestamps`).
    pub start_timestamps: bool,
}

impl Default for Options {
    /// Prometheus's: five minutes, fifty million, a minute, one thread, no features.
    fn default() -> Self {
        Self {
            lookback: 300_000,
            max_samples: 50_000_000,
            subquery_step: 60_000,
            threads: 1,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
        }
    }
}

pub(crate) type Evaluated<T = ()> = Result<T, QueryError>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Correct PromQL that this engine cannot evaluate yet.
    #[error("{span}: {construct} is not supported yet")]
    Unsupported { span: Span, construct: String },
    /// The request makes no sense (the API's `bad_data`).
    #[error("{0}")]
    Invalid(String),
    #[error("{0} in expression evaluation")]
    Cancelled(Cancelled),
    /// More than a limit allows; the text names it.
    #[error("{0}")]
    Limit(String),
    /// The source of the series failed.
    #[error("expanding series: {0}")]
    Storage(#[source] SelectError),
    /// The series do not fit the expression.
    #[error("{0}")]
    Execution(String),
}

impl From<Cancelled> for QueryError {
    fn from(why: Cancelled) -> Self {
        Self::Cancelled(why)
    }
}

impl From<SelectError> for QueryError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Cancelled(why) => Self::Cancelled(why),
            other => Self::Storage(other),
        }
    }
}

impl From<DurationError> for QueryError {
    fn from(error: DurationError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// What a query gives.
#[derive(Debug)]
pub struct Answer {
    /// The table that all labels of `value` are over.
    pub symbols: Arc<Symbols>,
    pub value: AnswerValue,
    /// What the source could not give (partial response), and what is wrong with the query, as
    /// `PromQL warning: … (line:column)`.
    pub warnings: Vec<String>,
    /// Notes on the query itself, as `PromQL info: … (line:column)`.
    pub infos: Vec<String>,
    pub stats: Stats,
}

/// What was done for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series read.
    pub series: u64,
    /// Samples decoded.
    pub samples: u64,
    /// The most samples and points held at a time.
    pub peak_samples: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AnswerValue {
    Scalar(Timestamp, f64),
    String(Timestamp, String),
    /// In the order of the series.
    Vector(Vec<InstantSample>),
    /// In label order.
    Matrix(Vec<RangeSeries>),
}

impl AnswerValue {
    /// Its type.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(..) => ValueType::Scalar,
            Self::String(..) => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

/// One element of an instant vector: a float, or a histogram if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstantSample {
    pub labels: Labels,
    pub t: Timestamp,
    /// 0 beside a histogram.
    pub v: f64,
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// One series of a matrix: floats and histograms apart, times ascending in each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeSeries {
    pub labels: Labels,
    pub points: Vec<(Timestamp, f64)>,
    pub histograms: Vec<(Timestamp, Arc<FloatHistogram>)>,
}

/// Evaluates expressions.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: Options,
}

impl Engine {
    /// An engine with `options`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Evaluates `expr` at `time`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn instant(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        time: Timestamp,
        cancel: &Cancel,
    ) -> Result<Answer, QueryError> {
        on_enough_stack(expr, || {
            let expr = duration::resolve(expr, 0, 0)?;
            let mut query = Query::new(source, cancel, &self.options, Steps::instant(time));
            query.pins = invariant::has_pins(&expr);
            query.counts_only = histograms::CountsOnly::of(&expr);
            query.projections = Projections::of(&expr);
            query.sharing = Sharing::of(&expr, &Evaluation::new(&query));
            let value = Evaluation::new(&query).instant(&expr)?;
            Ok(query.answer(value))
        })
    }

    /// Evaluates `expr` at `start`, `start + step`, … up to `end`, all in milliseconds.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn range(
        &self,
        source: &dyn Queryable,
        expr: &Expr,
        start: Timestamp,
        end: Timestamp,
        step: i64,
        cancel: &Cancel,
    ) -> Result<Answer, QueryError> {
        let value_type = expr.value_type();
        if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            let value_type = value_type.documented();
            return Err(QueryError::Invalid(format!(
                "invalid expression type \"{value_type}\" for range query, must be Scalar or instant Vector"
            )));
        }
        let steps = Steps::range(start, end, step, self.options.max_samples)?;
        on_enough_stack(expr, || {
            let expr = duration::resolve(expr, step, end.saturating_sub(start))?;
            let mut query = Query::new(source, cancel, &self.options, steps);
            query.pins = invariant::has_pins(&expr);
            query.counts_only = histograms::CountsOnly::of(&expr);
            query.projections = Projections::of(&expr);
            query.sharing = Sharing::of(&expr, &Evaluation::new(&query));
            let value = Evaluation::new(&query).range(&expr)?;
            Ok(query.answer(value))
        })
    }
}

/// Up to this depth any thread's stack is enough.
const SHALLOW: u32 = 32;
/// What a level of the tree may take of the stack.
const STACK_PER_LEVEL: usize = 64 << 10;

/// Evaluates a deep tree on a thread of its own: what walks it recurses.
fn on_enough_stack<T: Send>(
    expr: &Expr,
    evaluate: impl FnOnce() -> Evaluated<T> + Send,
) -> Evaluated<T> {
    if expr.depth() <= SHALLOW {
        return evaluate();
    }
    let stack = STACK_PER_LEVEL * (expr.depth() as usize + 1);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack);
        match thread.spawn_scoped(scope, evaluate) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(QueryError::Limit(format!(
                "no stack for so deep an expression: {error}"
            ))),
        }
    })
}

#[cfg(test)]
mod tests;
