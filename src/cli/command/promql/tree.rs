//! The tree of an expression as lines.

use promql::Expr;
use thanos::api::node_type;

/// One line per node, indented by depth.
pub(super) fn text(expr: &Expr) -> String {
    let mut lines = Vec::new();
    add_lines(expr, 0, &mut lines);
    lines.join("\n")
}

fn add_lines(expr: &Expr, depth: usize, lines: &mut Vec<String>) {
    let (kind, value_type) = (node_type(expr), expr.value_type().documented());
    let indent = "  ".repeat(depth);
    lines.push(format!(
        "{indent}{kind}  {value_type}  {}  {expr}",
        expr.span
    ));
    for child in expr.kind.children() {
        add_lines(child, depth + 1, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
