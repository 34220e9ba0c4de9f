//! The tree over several lines: what is longer than 100 characters on one line is split, one level deeper each time.

use std::fmt::Write as _;

use super::ast::{Expr, ExprKind};

/// The longest line that is left as it is, in bytes.
const LINE: usize = 100;

/// `expr` laid out over lines, as Prometheus's formatter does.
#[must_use]
pub fn prettify(expr: &Expr) -> String {
    pretty(expr, 0)
}

fn pretty(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    if let ExprKind::Unary { negative, operand } = &expr.kind {
        let sign = if *negative { '-' } else { '+' };
        return format!("{indent}{sign}{}", pretty(operand, level).trim());
    }
    let line = expr.to_string();
    if line.len() <= LINE {
        // A subquery has its indentation from the expression inside, so a short one has none.
        return match &expr.kind {
            ExprKind::Subquery(_) => line,
            _ => indent + &line,
        };
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            let mut text = format!("{indent}{}(\n", aggregate.head());
            if let Some(param) = &aggregate.param {
                let _ = writeln!(text, "{},", pretty(param, level + 1));
            }
            let _ = write!(text, "{}\n{indent})", pretty(&aggregate.expr, level + 1));
            text
        }
        ExprKind::Binary(binary) => {
            let (left, right) = (
                pretty(&binary.left, level + 1),
                pretty(&binary.right, level + 1),
            );
            format!("{left}\n{indent}{}\n{right}", binary.operator())
        }
        ExprKind::Call(call) => {
            let args = call.args.iter().map(|arg| pretty(arg, level + 1));
            let args: Vec<String> = args.collect();
            let name = call.function.name;
            format!("{indent}{name}(\n{}\n{indent})", args.join(",\n"))
        }
        ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", pretty(inner, level + 1)),
        ExprKind::Subquery(subquery) => {
            format!("{}{}", pretty(&subquery.expr, level), subquery.suffix())
        }
        _ => indent + &line,
    }
}
