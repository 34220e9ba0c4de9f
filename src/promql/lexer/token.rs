//! What the lexer finds.

use crate::Span;
use crate::parser::ast::{AggregateOp, BinaryOp};

use super::text::{quote, quote_start};

/// Words that are neither operators nor aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Fill,
    FillLeft,
    FillRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    /// Here the lexer gave up; it says why.
    Error,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    Equal,
    EqualRegex,
    NotRegex,
    Operator(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// As Prometheus names what it did not expect.
    pub(crate) fn describe(&self) -> String {
        let what = match self.kind {
            TokenKind::Eof => return "end of input".to_owned(),
            TokenKind::Identifier => return format!("identifier {}", quote(self.text)),
            TokenKind::MetricIdentifier => {
                return format!("metric identifier {}", quote(self.text));
            }
            TokenKind::Number => "number ",
            TokenKind::Duration => "duration ",
            TokenKind::String => "string ",
            TokenKind::Operator(_) | TokenKind::At => return format!("<op:{}>", self.text),
            TokenKind::Aggregator(_) => return format!("<aggr:{}>", self.text),
            TokenKind::Keyword(_) => return format!("<{}>", self.text),
            _ => "",
        };
        format!("{what}{}", quote_start(self.text, 10))
    }
}

/// The keyword that `word` is, in any case.
pub(super) fn keyword(word: &str) -> Option<TokenKind> {
    let lower = word.to_ascii_lowercase();
    if let Some(op) = BinaryOp::from_word(&lower) {
        return Some(TokenKind::Operator(op));
    }
    if let Some(op) = AggregateOp::from_word(&lower) {
        return Some(TokenKind::Aggregator(op));
    }
    Some(match lower.as_str() {
        "offset" => TokenKind::Keyword(Keyword::Offset),
        "smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        "anchored" => TokenKind::Keyword(Keyword::Anchored),
        "by" => TokenKind::Keyword(Keyword::By),
        "without" => TokenKind::Keyword(Keyword::Without),
        "on" => TokenKind::Keyword(Keyword::On),
        "ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        "group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        "group_right" => TokenKind::Keyword(Keyword::GroupRight),
        "bool" => TokenKind::Keyword(Keyword::Bool),
        "fill" => TokenKind::Keyword(Keyword::Fill),
        "fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        "fill_right" => TokenKind::Keyword(Keyword::FillRight),
        "start" => TokenKind::Start,
        "end" => TokenKind::End,
        "step" => TokenKind::Step,
        "range" => TokenKind::Range,
        "min_of" => TokenKind::MinOf,
        "max_of" => TokenKind::MaxOf,
        "inf" | "nan" => TokenKind::Number,
        _ => return None,
    })
}
