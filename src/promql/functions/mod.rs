//! The functions of PromQL: what they take and return, whether the engine has them or not yet.

pub(crate) mod classic;
pub(crate) mod date;
pub(crate) mod extended;
pub(crate) mod kahan;
pub(crate) mod math;
pub(crate) mod natural;
pub(crate) mod over_time;
pub(crate) mod rate;
pub(crate) mod start;
pub(crate) mod trend;

use crate::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub variadic: Variadic,
    pub returns: ValueType,
    /// Prometheus takes it only with `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
}

/// How often the last argument may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    Once,
    /// Not at all or once.
    Optional,
    /// Any number of times.
    Repeated,
    /// At most so many times.
    UpTo(usize),
}

/// The function called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

const fn function(name: &'static str, args: &'static [ValueType]) -> Function {
    Function {
        name,
        args,
        variadic: Variadic::Once,
        returns: Vector,
        experimental: false,
    }
}

const fn over_instant(name: &'static str) -> Function {
    function(name, &[Vector])
}

const fn over_range(name: &'static str) -> Function {
    function(name, &[Matrix])
}

const fn to_scalar(name: &'static str, args: &'static [ValueType]) -> Function {
    Function {
        returns: Scalar,
        ..function(name, args)
    }
}

const fn optional(name: &'static str, args: &'static [ValueType]) -> Function {
    Function {
        variadic: Variadic::Optional,
        ..function(name, args)
    }
}

const fn repeated(name: &'static str, args: &'static [ValueType]) -> Function {
    Function {
        variadic: Variadic::Repeated,
        ..function(name, args)
    }
}

const fn experimental(function: Function) -> Function {
    Function {
        experimental: true,
        ..function
    }
}

static FUNCTIONS: &[Function] = &[
    over_instant("abs"),
    over_instant("absent"),
    over_range("absent_over_time"),
    over_instant("acos"),
    over_instant("acosh"),
    over_instant("asin"),
    over_instant("asinh"),
    over_instant("atan"),
    over_instant("atanh"),
    over_range("avg_over_time"),
    over_instant("ceil"),
    over_range("changes"),
    function("clamp", &[Vector, Scalar, Scalar]),
    function("clamp_max", &[Vector, Scalar]),
    function("clamp_min", &[Vector, Scalar]),
    over_instant("cos"),
    over_instant("cosh"),
    over_range("count_over_time"),
    optional("day_of_month", &[Vector]),
    optional("day_of_week", &[Vector]),
    optional("day_of_year", &[Vector]),
    optional("days_in_month", &[Vector]),
    over_instant("deg"),
    over_range("delta"),
    over_range("deriv"),
    experimental(function(
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
    )),
    over_instant("exp"),
    experimental(to_scalar("end", &[])),
    over_range("first_over_time"),
    over_instant("floor"),
    over_instant("histogram_avg"),
    over_instant("histogram_count"),
    function("histogram_fraction", &[Scalar, Scalar, Vector]),
    function("histogram_quantile", &[Scalar, Vector]),
    experimental(Function {
        variadic: Variadic::UpTo(9),
        ..function("histogram_quantiles", &[Vector, String, Scalar, Scalar])
    }),
    over_instant("histogram_stddev"),
    over_instant("histogram_stdvar"),
    over_instant("histogram_sum"),
    optional("hour", &[Vector]),
    over_range("idelta"),
    over_range("increase"),
    experimental(optional("info", &[Vector, Vector])),
    over_range("irate"),
    repeated("label_join", &[Vector, String, String, String]),
    function("label_replace", &[Vector, String, String, String, String]),
    over_range("last_over_time"),
    over_instant("ln"),
    over_instant("log10"),
    over_instant("log2"),
    experimental(over_range("mad_over_time")),
    experimental(to_scalar("max_of", &[Scalar, Scalar])),
    over_range("max_over_time"),
    experimental(to_scalar("min_of", &[Scalar, Scalar])),
    over_range("min_over_time"),
    optional("minute", &[Vector]),
    optional("month", &[Vector]),
    to_scalar("pi", &[]),
    function("predict_linear", &[Matrix, Scalar]),
    over_range("present_over_time"),
    function("quantile_over_time", &[Scalar, Matrix]),
    over_instant("rad"),
    experimental(to_scalar("range", &[])),
    over_range("rate"),
    over_range("resets"),
    optional("round", &[Vector, Scalar]),
    to_scalar("scalar", &[Vector]),
    over_instant("sgn"),
    over_instant("sin"),
    over_instant("sinh"),
    over_instant("sort"),
    experimental(repeated("sort_by_label", &[Vector, String])),
    experimental(repeated("sort_by_label_desc", &[Vector, String])),
    over_instant("sort_desc"),
    over_instant("sqrt"),
    experimental(to_scalar("start", &[])),
    experimental(over_instant("start_timestamp")),
    over_range("stddev_over_time"),
    over_range("stdvar_over_time"),
    experimental(to_scalar("step", &[])),
    over_range("sum_over_time"),
    over_instant("tan"),
    over_instant("tanh"),
    to_scalar("time", &[]),
    over_instant("timestamp"),
    experimental(over_range("ts_of_first_over_time")),
    experimental(over_range("ts_of_last_over_time")),
    experimental(over_range("ts_of_max_over_time")),
    experimental(over_range("ts_of_min_over_time")),
    function("vector", &[Scalar]),
    optional("year", &[Vector]),
];
