//! Labels that nobody reads: of what goes straight into an aggregation, or through a function over its windows, only the
//! labels of the groups. Sources may leave the others out. (Where labels tell whether two series became one, all are read.)

use std::collections::HashMap;

use model::{METRIC_NAME, MatchKind};

use crate::parser::ast::{Aggregate, Call, Expr, ExprKind, ValueType, VectorSelector};

/// What annotations name, and what says whether it is a counter.
const ALWAYS_READ: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// The labels that are read of selectors, by where those lie in the tree; of all others all labels are.
#[derive(Clone, Debug, Default)]
pub(super) struct Projections(HashMap<usize, Vec<String>>);

impl Projections {
    pub(super) fn of(expr: &Expr) -> Self {
        let mut found = Self::default();
        found.find(expr, None);
        found
    }

    /// The labels that are read, or none for all of them.
    pub(super) fn get(&self, selector: &VectorSelector) -> Option<&Vec<String>> {
        self.0.get(&std::ptr::from_ref(selector).addr())
    }

    /// `read` are the labels that what stands above reads.
    fn find(&mut self, expr: &Expr, read: Option<&[String]>) {
        match &expr.kind {
            ExprKind::Paren(inner) => return self.find(inner, read),
            ExprKind::Selector(selector) => self.read(selector, read),
            ExprKind::Range(range) if has_one_name(&range.selector) => {
                self.read(&range.selector, read);
            }
            ExprKind::Call(call) if is_over_windows(call) => {
                call.args.iter().for_each(|arg| self.find(arg, read));
                return;
            }
            ExprKind::Aggregate(aggregate) => return self.find_in(aggregate),
            _ => {}
        }
        for child in expr.kind.children() {
            self.find(child, None);
        }
    }

    fn find_in(&mut self, aggregate: &Aggregate) {
        let Aggregate {
            op,
            grouping,
            param,
            expr,
        } = aggregate;
        if let Some(param) = param {
            self.find(param, None);
        }
        let groups_only = !op.keeps_series() && !grouping.without;
        self.find(expr, groups_only.then_some(&grouping.labels));
    }

    fn read(&mut self, selector: &VectorSelector, read: Option<&[String]>) {
        if let Some(read) = read {
            let always = ALWAYS_READ.iter().map(|name| (*name).to_owned());
            let labels = always.chain(read.iter().cloned()).collect();
            self.0.insert(std::ptr::from_ref(selector).addr(), labels);
        }
    }
}

/// Whether a function makes of each series one of the same labels, its name apart.
fn is_over_windows(call: &Call) -> bool {
    let over_windows = |arg: &Expr| matches!(arg.unwrap_parens().kind, ExprKind::Range(_));
    let scalar = |arg: &Expr| arg.value_type() == ValueType::Scalar;
    call.function.name != "absent_over_time"
        && call.args.iter().any(over_windows)
        && call.args.iter().all(|arg| over_windows(arg) || scalar(arg))
}

/// Series of several names may have the same labels beside it.
fn has_one_name(selector: &VectorSelector) -> bool {
    let mut matchers = selector.matchers.iter();
    matchers.any(|m| m.name == METRIC_NAME && m.kind == MatchKind::Equal && !m.value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    /// The labels read of each selector, in the order of the query.
    fn read(query: &str) -> Vec<Option<Vec<String>>> {
        fn visit(expr: &Expr, found: &Projections, read: &mut Vec<Option<Vec<String>>>) {
            match &expr.kind {
                ExprKind::Selector(selector) => read.push(found.get(selector).cloned()),
                ExprKind::Range(range) => read.push(found.get(&range.selector).cloned()),
                _ => {}
            }
            for child in expr.kind.children() {
                visit(child, found, read);
            }
        }
        let expr = parse(query).expect("a query");
        let mut labels = Vec::new();
        visit(&expr, &Projections::of(&expr), &mut labels);
        for labels in labels.iter_mut().flatten() {
            labels.retain(|name| !ALWAYS_READ.contains(&name.as_str()));
        }
        labels
    }

    fn only(labels: &[&str]) -> Option<Vec<String>> {
        Some(labels.iter().map(|label| (*label).to_owned()).collect())
    }

    #[test]
    fn of_what_is_aggregated_the_labels_of_the_groups_are_read() {
        assert_eq!(read("sum(a)"), [only(&[])]);
        assert_eq!(read("sum by (x, y) ((rate(a[5m])))"), [only(&["x", "y"])]);
        assert_eq!(
            read("sum by (x) (quantile_over_time(scalar(sum by (y) (q)), a[5m]))"),
            [only(&["y"]), only(&["x"])]
        );
    }

    #[test]
    fn where_labels_tell_series_apart_all_are_read() {
        for query in [
            "a",
            "rate(a[5m])",
            "sum without (x) (a)",
            "topk by (x) (1, a)",
            "sum by (x) (rate({__name__=~\"a|b\"}[5m]))",
            "sum by (x) (-a)",
            "sum by (x) (abs(a))",
            "sum by (x) (max_over_time(a[5m:1m]))",
            "histogram_quantile(0.9, a)",
        ] {
            assert_eq!(read(query), [None], "{query}");
        }
        assert_eq!(read("sum by (x) (a / b)"), [None, None]);
    }
}
