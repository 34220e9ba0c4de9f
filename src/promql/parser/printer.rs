//! The tree as text again, as Prometheus prints it. What is printed parses to the same tree.

use std::fmt::{self, Display, Formatter};

use model::{METRIC_NAME, MatchKind, Matcher, format_duration};

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Extended,
    Matching, Number, Subquery, VectorSelector,
};
use crate::lexer::text::quote;
use crate::number::{format_plain, format_short};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Selector(selector) => {
                write_series(f, selector)?;
                write_at(f, selector.shift.at)?;
                write_extended(f, selector.extended)?;
                write_offset(f, selector.shift.offset, selector.offset_expr.as_deref())
            }
            ExprKind::Range(range) => {
                write_series(f, &range.selector)?;
                let selector = &range.selector;
                write!(f, "[{}]", print_duration(range.range, &range.range_expr))?;
                write_extended(f, selector.extended)?;
                write_at(f, selector.shift.at)?;
                write_offset(f, selector.shift.offset, selector.offset_expr.as_deref())
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}{}", subquery.expr, subquery.suffix())
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                write_joined(f, &call.args)?;
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => aggregate.fmt(f),
            ExprKind::Binary(binary) => binary.fmt(f),
            ExprKind::Unary { negative, operand } => {
                write!(f, "{}{operand}", if *negative { "-" } else { "+" })
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            return f.write_str(&format_duration((self.value * 1000.0).round() as i64));
        }
        f.write_str(&format_plain(self.value))
    }
}

fn write_series(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(selector.name.as_deref().unwrap_or_default())?;
    let is_name = |m: &&Matcher| {
        let name = selector.name.as_deref();
        m.name == METRIC_NAME && m.kind == MatchKind::Equal && name == Some(m.value.as_str())
    };
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|m| !is_name(m))
        .map(print_matcher)
        .collect();
    matchers.sort();
    match matchers.is_empty() && selector.name.is_some() {
        true => Ok(()),
        false => write!(f, "{{{}}}", matchers.join(",")),
    }
}

fn print_matcher(matcher: &Matcher) -> String {
    let (name, sign) = (print_label(&matcher.name), matcher.kind.as_str());
    format!("{name}{sign}{}", quote(&matcher.value))
}

/// A label's name, quoted if it is none of the old kind.
fn print_label(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let legacy = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if legacy && !name.is_empty() {
        name.to_owned()
    } else {
        quote(name)
    }
}

fn print_labels(names: &[String]) -> String {
    names
        .iter()
        .map(|name| print_label(name))
        .collect::<Vec<_>>()
        .join(", ")
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_offset(f: &mut Formatter<'_>, offset: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    match (expr, offset) {
        (Some(expr), _) => write!(f, " offset {expr}"),
        (None, 0) => Ok(()),
        (None, offset) => write!(f, " offset {}", format_duration(offset)),
    }
}

fn write_extended(f: &mut Formatter<'_>, extended: Option<Extended>) -> fmt::Result {
    match extended {
        None => Ok(()),
        Some(extended) => write!(f, " {}", extended.as_str()),
    }
}

fn print_duration(ms: i64, expr: &Option<Box<DurationExpr>>) -> String {
    match expr {
        Some(expr) => expr.to_string(),
        None => format_duration(ms),
    }
}

impl Subquery {
    /// What stands after the expression: `[5m:1m] @ 7.000 offset 1m`.
    pub(super) fn suffix(&self) -> String {
        let step = match (self.step, &self.step_expr) {
            (Some(ms), _) => format_duration(ms),
            (None, Some(expr)) => expr.to_string(),
            (None, None) => String::new(),
        };
        let range = print_duration(self.range, &self.range_expr);
        format!("[{range}:{step}]{}", Shift(self))
    }
}

/// The shift of a subquery.
struct Shift<'s>(&'s Subquery);

impl Display for Shift<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_at(f, self.0.shift.at)?;
        write_offset(f, self.0.shift.offset, self.0.offset_expr.as_deref())
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.wrapped { ("(", ")") } else { ("", "") };
        f.write_str(open)?;
        match &self.kind {
            DurationKind::Number(number) => number.fmt(f)?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::MinOf(left, right) => write!(f, "min_of({left}, {right})")?,
            DurationKind::MaxOf(left, right) => write!(f, "max_of({left}, {right})")?,
            DurationKind::Negative(operand) => write!(f, "-{operand}")?,
            DurationKind::Binary(op, left, right) => {
                write!(f, "{left} {} {right}", op.as_str())?;
            }
        }
        f.write_str(close)
    }
}

fn write_joined(f: &mut Formatter<'_>, exprs: &[Expr]) -> fmt::Result {
    for (at, expr) in exprs.iter().enumerate() {
        write!(f, "{}{expr}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

impl Aggregate {
    /// What stands before the arguments: `sum by (a) `.
    pub(super) fn head(&self) -> String {
        let (op, labels) = (self.op.as_str(), print_labels(&self.grouping.labels));
        match (self.grouping.without, labels.is_empty()) {
            (true, _) => format!("{op} without ({labels}) "),
            (false, false) => format!("{op} by ({labels}) "),
            (false, true) => op.to_owned(),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head())?;
        match &self.param {
            Some(param) => write!(f, "({param}, {})", self.expr),
            None => write!(f, "({})", self.expr),
        }
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, self.operator(), self.right)
    }
}

impl Binary {
    /// What stands between the operands: `> bool on (a)`.
    pub(super) fn operator(&self) -> String {
        let boolean = if self.return_bool { " bool" } else { "" };
        format!("{}{boolean}{}", self.op.as_str(), self.matching)
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let matching = self;
        let grouped = matching.cardinality != Cardinality::OneToOne;
        if matching.on || grouped || !matching.labels.is_empty() {
            let word = if matching.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", print_labels(&matching.labels))?;
        }
        if grouped {
            let side = match matching.cardinality {
                Cardinality::ManyToOne => "left",
                _ => "right",
            };
            write!(f, " group_{side} ({})", print_labels(&matching.include))?;
        }
        matching.write_fills(f)
    }
}

impl Matching {
    fn write_fills(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => {
                write!(f, " fill ({})", format_short(left))
            }
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", format_short(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", format_short(right))?;
                }
                Ok(())
            }
        }
    }
}
