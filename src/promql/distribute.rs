//! A query in parts, each evaluated at several places that hold different series, and what is left to do with their answers.
//!
//! The places differ in *partition labels*: series that agree in them are at one place. What never looks across partitions can be
//! evaluated at each place, and the answers put side by side. An aggregation that does look across is split: each place
//! aggregates what it has by the partition labels too, and the rest is aggregated here. Everything else reads series here.
//! Thanos's distributed mode divides queries so (its proposal "Distributed Query Execution").

use std::collections::BTreeSet;

use model::{Grouping, MatchKind, Matcher};

use crate::Span;
use crate::parser::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind, Matching, TimeShift, ValueType,
    VectorSelector,
};

/// The label by which a selector reads the answers to a part: its value is the part's place in [`Distributed::parts`].
pub const PART: &str = "__tks_part__";

/// A query whose parts are evaluated elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Distributed {
    /// What is left, with selectors of [`PART`].
    pub expr: Expr,
    /// What is evaluated at every place.
    pub parts: Vec<Expr>,
}

/// Divides `expr`; `None` when nothing of it can be evaluated elsewhere.
#[must_use]
pub fn distribute(expr: &Expr, partition: &BTreeSet<String>) -> Option<Distributed> {
    if partition.is_empty() {
        return None;
    }
    let mut division = Division {
        partition,
        parts: Vec::new(),
    };
    let expr = division.divide(expr);
    let parts = division.parts;
    (!parts.is_empty()).then_some(Distributed { expr, parts })
}

/// Where an expression can be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Anywhere: it reads no series.
    Anywhere,
    /// At each partition by itself.
    Apart,
    /// Where everything is.
    Together,
}

struct Division<'p> {
    partition: &'p BTreeSet<String>,
    parts: Vec<Expr>,
}

impl Division<'_> {
    fn divide(&mut self, expr: &Expr) -> Expr {
        if self.place(expr) == Place::Apart && expr.value_type() == ValueType::Vector {
            return self.part(expr.clone());
        }
        let kind = match &expr.kind {
            ExprKind::Aggregate(aggregate) => return self.aggregate(expr.span, aggregate),
            // Their labels come from the selector that they are given; `info` chooses series by others.
            ExprKind::Call(call) if is_whole(call) => return expr.clone(),
            ExprKind::Call(call) => ExprKind::Call(Call {
                args: call.args.iter().map(|arg| self.divide(arg)).collect(),
                ..call.clone()
            }),
            ExprKind::Binary(binary) => ExprKind::Binary(Binary {
                left: Box::new(self.divide(&binary.left)),
                right: Box::new(self.divide(&binary.right)),
                ..binary.clone()
            }),
            ExprKind::Unary { negative, operand } => ExprKind::Unary {
                negative: *negative,
                operand: Box::new(self.divide(operand)),
            },
            ExprKind::Paren(inner) => ExprKind::Paren(Box::new(self.divide(inner))),
            // Parts are evaluated at the steps of the query, not at those of a subquery.
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Range(_)
            | ExprKind::Subquery(_) => return expr.clone(),
        };
        Expr::new(expr.span, kind)
    }

    /// A selector that reads the answers to `expr`.
    fn part(&mut self, expr: Expr) -> Expr {
        let span = expr.span;
        let place = self.parts.len().to_string();
        self.parts.push(expr);
        let matcher = Matcher::new(MatchKind::Equal, PART, place);
        let selector = VectorSelector {
            name: None,
            matchers: matcher.into_iter().collect(),
            shift: TimeShift::default(),
            offset_expr: None,
            extended: None,
        };
        Expr::new(span, ExprKind::Selector(selector))
    }

    fn aggregate(&mut self, span: Span, whole: &Aggregate) -> Expr {
        use AggregateOp::{Avg, Bottomk, Count, Group, Max, Min, Sum, Topk};
        let param = whole.param.as_deref();
        let splits = self.place(&whole.expr) == Place::Apart
            && param.is_none_or(|param| self.place(param) == Place::Anywhere);
        let of = |op| Aggregate {
            op,
            ..whole.clone()
        };
        match whole.op {
            Sum | Min | Max | Group | Topk | Bottomk if splits => self.split(span, whole, whole.op),
            Count if splits => self.split(span, whole, Sum),
            Avg if splits => {
                let sum = self.split(span, &of(Sum), Sum);
                let count = self.split(span, &of(Count), Sum);
                let quotient = Binary {
                    op: BinaryOp::Div,
                    op_span: span,
                    left: Box::new(sum),
                    right: Box::new(count),
                    return_bool: false,
                    matching: Matching::default(),
                };
                Expr::new(span, ExprKind::Binary(quotient))
            }
            _ => {
                let aggregate = Aggregate {
                    param: param.map(|param| Box::new(self.divide(param))),
                    expr: Box::new(self.divide(&whole.expr)),
                    ..whole.clone()
                };
                Expr::new(span, ExprKind::Aggregate(aggregate))
            }
        }
    }

    /// Aggregates at each partition, and the answers with `op`.
    fn split(&mut self, span: Span, whole: &Aggregate, op: AggregateOp) -> Expr {
        let inner = Aggregate {
            grouping: self.finer(&whole.grouping),
            ..whole.clone()
        };
        let part = self.part(Expr::new(span, ExprKind::Aggregate(inner)));
        let outer = Aggregate {
            op,
            expr: Box::new(part),
            ..whole.clone()
        };
        Expr::new(span, ExprKind::Aggregate(outer))
    }

    /// The same groups, of each partition.
    fn finer(&self, grouping: &Grouping) -> Grouping {
        let partition = self.partition.iter();
        let labels = if grouping.without {
            let kept = |label: &&String| !self.partition.contains(*label);
            grouping.labels.iter().filter(kept).cloned().collect()
        } else {
            let new = partition.filter(|label| !grouping.labels.contains(label));
            grouping.labels.iter().chain(new).cloned().collect()
        };
        Grouping {
            labels,
            ..grouping.clone()
        }
    }

    fn place(&self, expr: &Expr) -> Place {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Place::Anywhere,
            ExprKind::Selector(_) | ExprKind::Range(_) => Place::Apart,
            ExprKind::Subquery(subquery) => self.place(&subquery.expr),
            ExprKind::Unary { operand, .. } => self.place(operand),
            ExprKind::Paren(inner) => self.place(inner),
            ExprKind::Call(call) => self.place_of_call(call),
            ExprKind::Aggregate(aggregate) => self.place_of_aggregate(aggregate),
            ExprKind::Binary(binary) => self.place_of_binary(binary),
        }
    }

    fn place_of_call(&self, call: &Call) -> Place {
        let names_partition = |arg: Option<&Expr>| match arg.map(|arg| &arg.unwrap_parens().kind) {
            Some(ExprKind::String(label)) => self.partition.contains(label),
            _ => true,
        };
        let looks_across = match call.function.name {
            "scalar" | "vector" => true,
            "label_replace" | "label_join" => names_partition(call.args.get(1)),
            name => is_whole(call) || name.starts_with("sort"),
        };
        if looks_across {
            return Place::Together;
        }
        let places = call.args.iter().map(|arg| self.place(arg));
        places.fold(Place::Anywhere, |all, one| match (all, one) {
            (Place::Together, _) | (_, Place::Together) => Place::Together,
            (Place::Apart, _) | (_, Place::Apart) => Place::Apart,
            _ => Place::Anywhere,
        })
    }

    fn place_of_aggregate(&self, aggregate: &Aggregate) -> Place {
        let param = aggregate.param.as_deref();
        let stays = match aggregate.op {
            AggregateOp::CountValues => param.is_some_and(|param| match &param.kind {
                ExprKind::String(label) => !self.partition.contains(label),
                _ => false,
            }),
            _ => param.is_none_or(|param| self.place(param) == Place::Anywhere),
        };
        let grouping = &aggregate.grouping;
        let keeps = if grouping.without {
            self.partition
                .iter()
                .all(|label| !grouping.labels.contains(label))
        } else {
            self.partition
                .iter()
                .all(|label| grouping.labels.contains(label))
        };
        match self.place(&aggregate.expr) {
            Place::Apart if stays && keeps => Place::Apart,
            _ => Place::Together,
        }
    }

    fn place_of_binary(&self, binary: &Binary) -> Place {
        let places =
            [&binary.left, &binary.right].map(|side| (self.place(side), side.value_type()));
        match places {
            [(Place::Anywhere, ValueType::Scalar), (place, _)]
            | [(place, _), (Place::Anywhere, ValueType::Scalar)] => place,
            [
                (Place::Apart, ValueType::Vector),
                (Place::Apart, ValueType::Vector),
            ] if self.meets_at_partition(&binary.matching) => Place::Apart,
            _ => Place::Together,
        }
    }

    /// Whether only series of one partition find each other.
    fn meets_at_partition(&self, matching: &Matching) -> bool {
        let is_named = |label: &String| matching.labels.contains(label);
        let taken = |label: &String| matching.include.contains(label);
        self.partition
            .iter()
            .all(|label| is_named(label) == matching.on && !taken(label))
    }
}

/// Whether a call has to see the selector that it is given.
fn is_whole(call: &Call) -> bool {
    matches!(call.function.name, "absent" | "absent_over_time" | "info")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn divided(query: &str) -> String {
        let partition = ["cluster".to_owned(), "region".to_owned()].into();
        let expr = parse(query).expect(query);
        match distribute(&expr, &partition) {
            None => "here".to_owned(),
            Some(Distributed { expr, parts }) => {
                let mut text = expr.to_string();
                for (place, part) in parts.iter().enumerate() {
                    let selector = format!("{{{PART}=\"{place}\"}}");
                    text = text.replace(&selector, &format!("<{part}>"));
                }
                text
            }
        }
    }

    #[test]
    fn what_looks_at_one_partition_goes_there_whole() {
        for query in [
            "up",
            "rate(x[5m])",
            "-up",
            "(up + 1) * 2",
            "sum by (cluster, region, job) (rate(x[5m]))",
            "sum without (instance) (x)",
            "histogram_quantile(0.9, sum by (le, cluster, region) (rate(x_bucket[5m])))",
            "a / b",
            "a / on (cluster, region, job) b",
            "a / ignoring (job) group_left b",
            "a and b",
            "max_over_time(sum by (cluster, region) (x)[5m:1m])",
            "topk by (cluster, region) (3, x)",
            "label_replace(x, \"place\", \"$1\", \"zone\", \"(.*)\")",
            "x @ end() offset 5m",
        ] {
            assert_eq!(divided(query), format!("<{}>", parse(query).expect(query)));
        }
    }

    #[test]
    fn aggregations_are_split() {
        for (query, expected) in [
            ("sum(x)", "sum(<sum by (cluster, region) (x)>)"),
            (
                "sum by (job) (x)",
                "sum by (job) (<sum by (job, cluster, region) (x)>)",
            ),
            ("count(x)", "sum(<count by (cluster, region) (x)>)"),
            (
                "min without (cluster, job) (x)",
                "min without (cluster, job) (<min without (job) (x)>)",
            ),
            ("topk(3, x)", "topk(3, <topk by (cluster, region) (3, x)>)"),
            (
                "avg(x)",
                "sum(<sum by (cluster, region) (x)>) / sum(<count by (cluster, region) (x)>)",
            ),
            (
                "sum(rate(x[5m])) / 2",
                "sum(<sum by (cluster, region) (rate(x[5m]))>) / 2",
            ),
            (
                "sum(a) / sum(b)",
                "sum(<sum by (cluster, region) (a)>) / sum(<sum by (cluster, region) (b)>)",
            ),
            ("quantile(0.5, x)", "quantile(0.5, <x>)"),
            ("stddev(rate(x[1m]))", "stddev(<rate(x[1m])>)"),
            ("sort(x)", "sort(<x>)"),
            (
                "scalar(sum(x))",
                "scalar(sum(<sum by (cluster, region) (x)>))",
            ),
            ("a / on (job) b", "<a> / on (job) <b>"),
            (
                "a / ignoring (job) group_left (cluster) b",
                "<a> / ignoring (job) group_left (cluster) <b>",
            ),
            (
                "sum(sum by (job) (x))",
                "sum(sum by (job) (<sum by (job, cluster, region) (x)>))",
            ),
            ("topk(scalar(n), x)", "topk(scalar(<n>), <x>)"),
            (
                "count_values(\"cluster\", x)",
                "count_values(\"cluster\", <x>)",
            ),
            ("a or vector(1)", "<a> or vector(1)"),
            (
                "label_replace(x, \"region\", \"$1\", \"zone\", \"(.*)\")",
                "label_replace(<x>, \"region\", \"$1\", \"zone\", \"(.*)\")",
            ),
        ] {
            assert_eq!(divided(query), expected, "{query}");
        }
    }

    #[test]
    fn what_has_to_see_everything_stays_here() {
        for query in [
            "1 + 2",
            "time()",
            "vector(1)",
            "absent(x)",
            "absent_over_time(x[5m])",
            "max_over_time(sum(x)[5m:1m])",
            "\"text\"",
        ] {
            assert_eq!(divided(query), "here", "{query}");
        }
        let expr = parse("up").expect("a query");
        assert_eq!(distribute(&expr, &BTreeSet::new()), None);
    }
}
