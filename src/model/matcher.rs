//! Label matchers, with Go's reading of regular expressions.

use std::fmt;

use regex::Regex;
use regex_syntax::ast;

/// `=`, `!=`, `=~`, `!~`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchKind {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchKind {
    /// As it is written in PromQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A regular expression that Prometheus would not take either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct MatcherError(pub String);

/// One condition on one label. A label that a series does not have counts as the empty string.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub kind: MatchKind,
    pub name: String,
    pub value: String,
    regex: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.value) == (other.kind, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl Matcher {
    /// A matcher; regular expressions are compiled once, here, and match the whole value.
    ///
    /// # Errors
    /// [`MatcherError`] when `value` is no regular expression of Go's RE2 syntax.
    pub fn new(
        kind: MatchKind,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, MatcherError> {
        let value = value.into();
        let regex = match kind {
            MatchKind::Equal | MatchKind::NotEqual => None,
            MatchKind::Regex | MatchKind::NotRegex => Some(compile(&value)?),
        };
        Ok(Self {
            kind,
            name: name.into(),
            value,
            regex,
        })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            kind: MatchKind::Equal,
            name: name.into(),
            value: value.into(),
            regex: None,
        }
    }

    /// Whether a label of this value passes.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let regex = || {
            self.regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        match self.kind {
            MatchKind::Equal => self.value == value,
            MatchKind::NotEqual => self.value != value,
            MatchKind::Regex => regex(),
            MatchKind::NotRegex => !regex(),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.kind.as_str(), self.value)
    }
}

/// Compiles as Prometheus does: anchored at both ends, `.` matches a newline too.
///
/// # Errors
/// [`MatcherError`] when `pattern` is no regular expression of Go's RE2 syntax.
pub fn anchored_regex(pattern: &str) -> Result<Regex, MatcherError> {
    compile(pattern)
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let translated = translate(pattern)?;
    Regex::new(&format!("^(?s:{translated})$")).map_err(|e| MatcherError(last_line(&e.to_string())))
}

/// Rewrites what Go's `regexp` and the crate `regex` read differently: Perl classes and word boundaries
/// are ASCII in Go.
fn translate(pattern: &str) -> Result<String, MatcherError> {
    let tree = ast::parse::ParserBuilder::new()
        .nest_limit(1000)
        .build()
        .parse(pattern)
        .map_err(|e| MatcherError(format!("{}: `{pattern}`", e.kind())))?;
    let edits = ast::visit(&tree, Edits::default())?;
    let mut text = String::with_capacity(pattern.len() + 16);
    let mut done = 0;
    for (start, end, replacement) in edits {
        text.push_str(&pattern[done..start]);
        text.push_str(&replacement);
        done = end;
    }
    text.push_str(&pattern[done..]);
    Ok(text)
}

/// Go refuses repetitions above this count.
const MAX_REPEAT: u32 = 1000;

#[derive(Default)]
struct Edits(Vec<(usize, usize, String)>);

impl Edits {
    fn replace(&mut self, span: &ast::Span, text: String) {
        self.0.push((span.start.offset, span.end.offset, text));
    }

    fn perl(&mut self, class: &ast::ClassPerl, bracketed: bool) {
        let (set, not) = match class.kind {
            ast::ClassPerlKind::Digit => ("0-9", class.negated),
            ast::ClassPerlKind::Space => (r"\t\n\x0C\r ", class.negated),
            ast::ClassPerlKind::Word => ("0-9A-Za-z_", class.negated),
        };
        let caret = if not { "^" } else { "" };
        let text = if bracketed && !not {
            set.to_owned()
        } else {
            format!("[{caret}{set}]")
        };
        self.replace(&class.span, text);
    }
}

impl ast::Visitor for Edits {
    type Output = Vec<(usize, usize, String)>;
    type Err = MatcherError;

    fn finish(mut self) -> Result<Self::Output, MatcherError> {
        self.0.sort_by_key(|edit| edit.0);
        Ok(self.0)
    }

    fn visit_pre(&mut self, node: &ast::Ast) -> Result<(), MatcherError> {
        match node {
            ast::Ast::ClassPerl(class) => self.perl(class, false),
            // `\B` stays Unicode: over bytes it could match inside of a letter. It differs next to non-ASCII letters only.
            ast::Ast::Assertion(assertion)
                if assertion.kind == ast::AssertionKind::WordBoundary =>
            {
                self.replace(&assertion.span, r"(?-u:\b)".into());
            }
            ast::Ast::Repetition(repetition) => {
                if let ast::RepetitionKind::Range(range) = &repetition.op.kind {
                    let most = match range {
                        ast::RepetitionRange::Exactly(n) | ast::RepetitionRange::AtLeast(n) => *n,
                        ast::RepetitionRange::Bounded(_, n) => *n,
                    };
                    if most > MAX_REPEAT {
                        return Err(MatcherError(format!("invalid repeat count: `{{{most}}}`")));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), MatcherError> {
        if let ast::ClassSetItem::Perl(class) = item {
            self.perl(class, true);
        }
        Ok(())
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .last()
        .unwrap_or_default()
        .trim()
        .trim_start_matches("error: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str) -> Matcher {
        Matcher::new(MatchKind::Regex, "l", pattern).expect("valid")
    }

    #[test]
    fn regexes_match_the_whole_value() {
        assert!(regex("a|ab").matches("ab"));
        assert!(!regex("a").matches("ab"));
        assert!(regex(".*").matches("x\ny"));
        assert!(regex("").matches(""));
    }

    #[test]
    fn perl_classes_are_ascii_as_in_go() {
        assert!(regex(r"\d+").matches("12"));
        assert!(!regex(r"\d+").matches("١٢"));
        assert!(!regex(r"\w").matches("é"));
        assert!(regex(r"\W").matches("é"));
        assert!(regex(r"[\w-]+").matches("a-b_c"));
        assert!(regex(r"[^\d]").matches("é"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for pattern in ["(", "a{1001}", "[z-a]", r"(?=x)"] {
            assert!(
                Matcher::new(MatchKind::Regex, "l", pattern).is_err(),
                "{pattern}"
            );
        }
    }
}
