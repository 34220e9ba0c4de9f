//! Prometheus's test language (`promql/promqltest`, the format of its `.test` files and of the series in rule unit
//! tests): series to load, expressions to evaluate, and what is expected of them.
//!
//! ```text
//! load 1m
//!   requests_total{job="api"} 0+10x5 _ stale
//!
//! eval instant at 5m rate(requests_total[5m])
//!   expect no_warn
//!   {job="api"} 0.16
//! ```
//!
//! [`Script::parse`] reads a file, [`Script::run`] runs it over [`Memory`]. As in Prometheus, an instant query is run
//! again with every selector pinned by `@`, at other times, and as the middle step of a range query.

mod classic;
mod compare;
mod expect;
mod histogram;
mod memory;
mod pin;
mod run;
mod script;
mod series;

pub use memory::Memory;
pub use run::{Outcome, engine};
pub use script::{Script, ScriptError};
pub use series::{SeriesError, SeriesLine, Value, parse_series, parse_values};

#[cfg(test)]
mod tests;
