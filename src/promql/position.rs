//! Where something stands in a query.

use std::fmt;

/// A stretch of the query's text. Displayed as Prometheus names a place: `line:column`, both from one, the column
/// in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Line of `start`; 0 for no place at all.
    pub line: u32,
    /// Column of `start`.
    pub column: u32,
}

impl Span {
    /// From the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            end: other.end,
            ..self
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str("unknown position");
        }
        write!(f, "{}:{}", self.line, self.column)
    }
}
