//! Unit tests of rules: the files that `promtool test rules` runs
//! (<https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/>).
//!
//! [`TestFile::parse`] reads such a file, [`RuleFile::parse`] the rule files it names (who calls finds and reads them),
//! and [`TestFile::run`] evaluates the rules over the input series, interval by interval, as a rule manager would:
//! recorded series and `ALERTS` are there for the rules and queries after them, and what ends goes stale.

mod alerting;
mod calls;
mod check;
mod file;
mod humanize;
mod manager;
mod rules;
mod template;
mod template_run;

pub use check::{Failure, Outcome};
pub use file::{FileError, TestFile};
pub use rules::{RuleError, RuleFile};

/// Labels or annotations, sorted by name.
type Pairs = Vec<(String, String)>;

/// As Prometheus prints labels.
fn display(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests;
