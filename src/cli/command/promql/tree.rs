//! The tree of an expression: as lines, and as JSON with the field names of Prometheus's `/api/v1/parse_query`, and
//! `position` besides.

use model::{MatchKind, Matcher};
use promql::parser::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, Extended, Subquery, TimeShift,
    VectorSelector,
};
use promql::{Expr, ExprKind, Span};
use serde_json::{Value as Json, json};

/// One line per node, indented by depth.
pub(super) fn text(expr: &Expr) -> String {
    let mut lines = Vec::new();
    add_lines(expr, 0, &mut lines);
    lines.join("\n")
}

fn add_lines(expr: &Expr, depth: usize, lines: &mut Vec<String>) {
    let (kind, value_type) = (name(expr), expr.value_type().documented());
    let indent = "  ".repeat(depth);
    lines.push(format!(
        "{indent}{kind}  {value_type}  {}  {expr}",
        expr.span
    ));
    for child in expr.kind.children() {
        add_lines(child, depth + 1, lines);
    }
}

fn name(expr: &Expr) -> &'static str {
    match &expr.kind {
        ExprKind::Number(_) => "numberLiteral",
        ExprKind::String(_) => "stringLiteral",
        ExprKind::Selector(_) => "vectorSelector",
        ExprKind::Range(_) => "matrixSelector",
        ExprKind::Subquery(_) => "subquery",
        ExprKind::Call(_) => "call",
        ExprKind::Aggregate(_) => "aggregation",
        ExprKind::Binary(_) => "binaryExpr",
        ExprKind::Unary { .. } => "unaryExpr",
        ExprKind::Paren(_) => "parenExpr",
    }
}

pub(super) fn json(expr: &Expr) -> Json {
    let mut node = match &expr.kind {
        ExprKind::Number(number) => json!({ "val": promql::format_float(number.value) }),
        ExprKind::String(text) => json!({ "val": text }),
        ExprKind::Selector(selector) => vector_selector(selector),
        ExprKind::Range(range) => {
            let mut node = vector_selector(&range.selector);
            node["range"] = range.range.into();
            add_computed(&mut node, "rangeExpr", range.range_expr.as_deref());
            node
        }
        ExprKind::Subquery(subquery) => of_subquery(subquery),
        ExprKind::Call(call) => of_call(call),
        ExprKind::Aggregate(aggregate) => of_aggregate(aggregate),
        ExprKind::Binary(binary) => of_binary(binary),
        ExprKind::Unary { negative, operand } => {
            json!({ "op": if *negative { "-" } else { "+" }, "expr": json(operand) })
        }
        ExprKind::Paren(inner) => json!({ "expr": json(inner) }),
    };
    let mut whole = json!({ "type": name(expr), "position": position(expr.span) });
    if let (Some(whole), Some(node)) = (whole.as_object_mut(), node.as_object_mut()) {
        whole.append(node);
    }
    whole
}

/// `start` and `end` in bytes, `end` outside; `line` and `column` from 1.
fn position(span: Span) -> Json {
    json!({ "start": span.start, "end": span.end, "line": span.line, "column": span.column })
}

fn vector_selector(selector: &VectorSelector) -> Json {
    let mut node = json!({
        "name": selector.name.as_deref().unwrap_or_default(),
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
    });
    add_shift(&mut node, &selector.shift);
    add_computed(&mut node, "offsetExpr", selector.offset_expr.as_deref());
    if let Some(extended) = selector.extended {
        node["anchored"] = (extended == Extended::Anchored).into();
        node["smoothed"] = (extended == Extended::Smoothed).into();
    }
    node
}

/// A duration that depends on the query's range or step, as text.
fn add_computed(node: &mut Json, name: &str, expr: Option<&DurationExpr>) {
    if let Some(expr) = expr {
        node[name] = expr.to_string().into();
    }
}

fn matcher(matcher: &Matcher) -> Json {
    let kind = match matcher.kind {
        MatchKind::Equal => "=",
        MatchKind::NotEqual => "!=",
        MatchKind::Regex => "=~",
        MatchKind::NotRegex => "!~",
    };
    json!({ "name": matcher.name, "value": matcher.value, "type": kind })
}

/// Milliseconds.
fn add_shift(node: &mut Json, shift: &TimeShift) {
    let (timestamp, start_or_end) = match shift.at {
        None => (Json::Null, Json::Null),
        Some(At::Time(t)) => (t.into(), Json::Null),
        Some(At::Start) => (Json::Null, "start".into()),
        Some(At::End) => (Json::Null, "end".into()),
    };
    node["offset"] = shift.offset.into();
    node["timestamp"] = timestamp;
    node["startOrEnd"] = start_or_end;
}

fn of_subquery(subquery: &Subquery) -> Json {
    let mut node = json!({
        "expr": json(&subquery.expr),
        "range": subquery.range,
        "step": subquery.step.unwrap_or(0),
    });
    add_shift(&mut node, &subquery.shift);
    add_computed(&mut node, "rangeExpr", subquery.range_expr.as_deref());
    add_computed(&mut node, "stepExpr", subquery.step_expr.as_deref());
    add_computed(&mut node, "offsetExpr", subquery.offset_expr.as_deref());
    node
}

fn of_call(call: &Call) -> Json {
    let types: Vec<&str> = call.function.args.iter().map(|arg| arg.as_str()).collect();
    json!({
        "func": { "name": call.function.name, "argTypes": types, "returnType": call.function.returns.as_str() },
        "args": call.args.iter().map(json).collect::<Vec<_>>(),
    })
}

fn of_aggregate(aggregate: &Aggregate) -> Json {
    json!({
        "op": aggregate.op.as_str(),
        "expr": json(&aggregate.expr),
        "param": aggregate.param.as_deref().map(json),
        "grouping": aggregate.grouping.labels,
        "without": aggregate.grouping.without,
    })
}

fn of_binary(binary: &Binary) -> Json {
    let matching = &binary.matching;
    let card = match matching.cardinality {
        Cardinality::OneToOne if binary.op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "op": binary.op.as_str(),
        "lhs": json(&binary.left),
        "rhs": json(&binary.right),
        "bool": binary.return_bool,
        "matching": {
            "card": card,
            "labels": matching.labels,
            "on": matching.on,
            "include": matching.include,
            "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_place() {
        let expr =
            promql::parse("sum by (a) (rate(x{b!=\"c\"}[5m] offset 1m)) / 2").expect("PromQL");
        let tree = json(&expr);
        assert_eq!(tree["type"], "binaryExpr");
        assert_eq!(tree["lhs"]["grouping"], json!(["a"]));
        let range = &tree["lhs"]["expr"]["args"][0];
        assert_eq!(range["range"], 300_000);
        assert_eq!(range["offset"], 60_000);
        assert_eq!(
            range["matchers"][0],
            json!({ "name": "b", "value": "c", "type": "!=" })
        );
        assert_eq!(range["position"]["column"], 18);
        assert_eq!(tree["rhs"]["val"], "2");
    }

    #[test]
    fn lines_are_indented_by_depth() {
        let expr = promql::parse("-(a)").expect("PromQL");
        let text = text(&expr);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[2].starts_with("    vectorSelector  instant vector  1:3  a"),
            "{text}"
        );
    }
}
