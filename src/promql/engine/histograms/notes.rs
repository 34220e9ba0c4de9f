//! What is to be said about calculations with native histograms, in Prometheus's words.

use crate::Span;
use crate::engine::annotations::Annotations;
use crate::lexer::text::quote;

/// What was calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Calculation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Calculation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// Where it happened: the metric, and the expression that it comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Notes<'n> {
    pub(in crate::engine) name: &'n str,
    pub(in crate::engine) span: Span,
    pub(in crate::engine) all: &'n Annotations,
}

impl Notes<'_> {
    /// Custom bounds differed.
    pub(in crate::engine) fn reconciled(&self, calculation: Calculation) {
        let calculation = calculation.as_str();
        let text = format!("mismatched custom buckets were reconciled during {calculation}");
        self.all.info(self.span, text);
    }

    /// Some histograms follow a reset, others are known not to.
    pub(in crate::engine) fn collision(&self, calculation: Calculation) {
        let calculation = calculation.as_str();
        let text = format!("conflicting counter resets during histogram {calculation}");
        self.all.warn(self.span, text);
    }

    pub(in crate::engine) fn mixed_schemas(&self) {
        let name = quote(self.name);
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for \
             metric name {name}"
        );
        self.all.warn(self.span, text);
    }

    pub(in crate::engine) fn mixed_kinds(&self) {
        let name = quote(self.name);
        let text = format!("encountered a mix of histograms and floats for metric name {name}");
        self.all.warn(self.span, text);
    }

    pub(in crate::engine) fn not_counter(&self) {
        let name = quote(self.name);
        let text = format!("this native histogram metric is not a counter: {name}");
        self.all.warn(self.span, text);
    }

    pub(in crate::engine) fn not_gauge(&self) {
        let name = quote(self.name);
        let text = format!("this native histogram metric is not a gauge: {name}");
        self.all.warn(self.span, text);
    }

    /// An info that names the metric if its name is still known.
    pub(in crate::engine) fn info(&self, text: &str) {
        self.all.info(self.span, self.named(text));
    }

    /// A warning that names the metric if its name is still known.
    pub(in crate::engine) fn warn(&self, text: &str) {
        self.all.warn(self.span, self.named(text));
    }

    pub(in crate::engine) fn named(&self, text: &str) -> String {
        match self.name {
            "" => text.to_owned(),
            name => format!("{text} for metric name {}", quote(name)),
        }
    }
}
