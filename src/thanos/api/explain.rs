//! How a query is evaluated, as trees of `{name, children}` with the names of Thanos: for `query_explain`, and as `analysis` of an
//! answer. A query is evaluated in one pass here, so that only its root has a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use promql::distribute::PART;
use promql::parser::ast::Aggregate;
use promql::{Expr, ExprKind};
use serde::Serialize;

use super::error::ApiError;
use super::params::{Params, Steps};
use super::query::{Asked, When, millis, now};
use super::{Api, Stats, json, tree};

/// A node of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    execution_time: String,
    #[serde(skip_serializing_if = "is_zero")]
    peak_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_samples: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Node>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// `GET|POST /api/v1/query_explain`.
pub(super) async fn instant(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let when = When::Instant(params.time_or("time", now())?);
    api.explain(&params, when, millis(api.settings.instant_resolution))
}

/// `GET|POST /api/v1/query_range_explain`.
pub(super) async fn range(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let Steps { start, end, step } = params.steps(millis(api.settings.default_step))?;
    api.explain(&params, When::Range { start, end, step }, step / 5)
}

impl Api {
    fn explain(&self, params: &Params, when: When, resolution: i64) -> Result<Response, ApiError> {
        if params.get("engine") != "thanos" {
            return Err(ApiError::bad_data("engine type must be 'thanos'"));
        }
        let asked = Asked::parse(self, params, when, resolution)?;
        let plan = self.plan(asked);
        Ok(json::success(&node(&plan.expr, &plan.parts), Vec::new()))
    }
}

/// The plan of an evaluated query, with what it cost.
pub(super) fn analysis(plan: Node, stats: &Stats) -> Node {
    Node {
        name: "[query]".to_owned(),
        execution_time: format!("{:?}", Duration::from_secs_f64(stats.eval_time)),
        peak_samples: stats.peak_samples,
        total_samples: stats.total_samples,
        children: vec![plan],
    }
}

/// A plan as a tree. `parts` are what selectors of [`PART`] read.
pub(super) fn node(expr: &Expr, parts: &[Expr]) -> Node {
    let below = expr.kind.children();
    let children = below.into_iter().map(|child| node(child, parts)).collect();
    let (kind, text) = match &expr.kind {
        ExprKind::Selector(selector) => match selector.matchers.as_slice() {
            [part] if part.name == PART => return remote(&part.value, parts),
            _ => ("vectorSelector", expr.to_string()),
        },
        ExprKind::Range(_) => ("matrixSelector", expr.to_string()),
        ExprKind::Aggregate(aggregate) => ("aggregate", grouping(aggregate)),
        ExprKind::Call(call) => ("function", call.function.name.to_owned()),
        ExprKind::Binary(binary) => ("binary", binary.op.as_str().to_owned()),
        ExprKind::Number(_) | ExprKind::String(_) => (tree::node_type(expr), expr.to_string()),
        ExprKind::Subquery(_) | ExprKind::Unary { .. } | ExprKind::Paren(_) => {
            (tree::node_type(expr), String::new())
        }
    };
    Node {
        name: format!("[{kind}] {text}").trim_end().to_owned(),
        children,
        ..Node::default()
    }
}

fn remote(place: &str, parts: &[Expr]) -> Node {
    let part = place.parse().ok().and_then(|place: usize| parts.get(place));
    Node {
        name: "[remoteExec]".to_owned(),
        children: part.map(|part| node(part, &[])).into_iter().collect(),
        ..Node::default()
    }
}

fn grouping(aggregate: &Aggregate) -> String {
    let word = if aggregate.grouping.without {
        "without"
    } else {
        "by"
    };
    let labels = aggregate.grouping.labels.join(", ");
    format!("{} {word} ({labels})", aggregate.op.as_str())
}
