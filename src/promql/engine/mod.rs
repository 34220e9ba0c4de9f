//! Evaluates an expression at one instant or at all steps of a range.
//!
//! One pass over each series for all steps: a series is decoded into reused scratch, its windows move forward by
//! index, and its points go straight to what stands above (an aggregation folds them, nothing else keeps them). So a
//! query holds its result, its groups and one series. Semantics are those of Prometheus 3: a selector looks at
//! samples *after* `t - lookback` or `t - range`, up to and including `t`.

mod aggregate;
mod arithmetic;
mod evaluate;
mod steps;
mod window;

use std::sync::Arc;

use model::{Cancel, Cancelled, Labels, Queryable, SelectError, Symbols, Timestamp};

use crate::Span;
use crate::parser::ParseError;
use crate::parser::ast::{Expr, ValueType};
use evaluate::Evaluation;
use steps::Steps;

/// How queries are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a sample counts as the current one, milliseconds.
    pub lookback: i64,
    /// How many samples and points a query may hold at a time.
    pub max_samples: usize,
}

impl Default for Options {
    /// Prometheus's: five minutes, fifty million.
    fn default() -> Self {
        Self {
            lookback: 300_000,
            max_samples: 50_000_000,
        }
    }
}

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

/// What a query gives.
#[derive(Debug)]
pub struct Answer {
    /// The table that all labels of `value` are over.
    pub symbols: Arc<Symbols>,
    pub value: AnswerValue,
    /// What the source could not give (partial response).
    pub warnings: Vec<String>,
    /// Notes on the query itself, as `PromQL info: …`.
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

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSample {
    pub labels: Labels,
    pub t: Timestamp,
    pub v: f64,
}

/// One series of a matrix, times ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSeries {
    pub labels: Labels,
    pub points: Vec<(Timestamp, f64)>,
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
        let steps = Steps::instant(time);
        let evaluation = Evaluation::new(source, cancel, &self.options, steps);
        let value = evaluation.instant(expr)?;
        Ok(evaluation.answer(value))
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
        let evaluation = Evaluation::new(source, cancel, &self.options, steps);
        let value = evaluation.range(expr)?;
        Ok(evaluation.answer(value))
    }
}

#[cfg(test)]
mod tests;
