//! The tree as text again, as Prometheus prints it. What is printed parses to the same tree.

use std::fmt::{self, Display, Formatter};

use model::{METRIC_NAME, MatchKind, Matcher, format_duration};

use super::ast::{
    Aggregate, At, Binary, Cardinality, Expr, ExprKind, Number, TimeShift, VectorSelector,
};
use crate::lexer::text::quote;
use crate::number::format_plain;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Selector(selector) => {
                write_series(f, selector)?;
                selector.shift.fmt(f)
            }
            ExprKind::Range(range) => {
                write_series(f, &range.selector)?;
                write!(
                    f,
                    "[{}]{}",
                    format_duration(range.range),
                    range.selector.shift
                )
            }
            ExprKind::Subquery(subquery) => {
                let step = subquery.step.map(format_duration).unwrap_or_default();
                let range = format_duration(subquery.range);
                write!(f, "{}[{range}:{step}]{}", subquery.expr, subquery.shift)
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
    match matchers.is_empty() {
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

impl Display for TimeShift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0)?,
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
        }
        match self.offset {
            0 => Ok(()),
            offset => write!(f, " offset {}", format_duration(offset)),
        }
    }
}

fn write_joined(f: &mut Formatter<'_>, exprs: &[Expr]) -> fmt::Result {
    for (at, expr) in exprs.iter().enumerate() {
        write!(f, "{}{expr}", if at == 0 { "" } else { ", " })?;
    }
    Ok(())
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        let labels = print_labels(&self.grouping.labels);
        match (self.grouping.without, labels.is_empty()) {
            (true, _) => write!(f, " without ({labels}) ")?,
            (false, false) => write!(f, " by ({labels}) ")?,
            (false, true) => {}
        }
        match &self.param {
            Some(param) => write!(f, "({param}, {})", self.expr),
            None => write!(f, "({})", self.expr),
        }
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let boolean = if self.return_bool { " bool" } else { "" };
        write!(f, "{} {}{boolean}", self.left, self.op.as_str())?;
        let matching = &self.matching;
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
        write!(f, " {}", self.right)
    }
}
