//! Selectors and lists of label names.

use model::{METRIC_NAME, MatchKind, Matcher};

use super::ast::{BinaryOp, Expr, ExprKind, TimeShift, VectorSelector};
use super::{Parsed, Parser};
use crate::Span;
use crate::lexer::text::{is_utf8, quote, unquote};
use crate::lexer::{Keyword, Token, TokenKind};

/// What messages call the braces of a selector.
const MATCHERS: &str = "label matching";
/// What messages call the parentheses of `by`, `on` and the like.
const GROUPING: &str = "grouping opts";

impl<'a> Parser<'a> {
    /// A selector, whose name is ahead if there is one.
    pub(super) fn selector(&mut self, name: Option<Token<'a>>) -> Parsed<Expr> {
        let start = self.token().span;
        let name = name.map(|token| token.text.to_owned());
        if name.is_some() {
            self.advance();
        }
        let mut matchers = Vec::new();
        if self.accept(TokenKind::LeftBrace).is_some() {
            self.matchers(&mut matchers)?;
        }
        matchers.extend(
            name.as_deref()
                .map(|name| Matcher::equal(METRIC_NAME, name)),
        );
        let selector = VectorSelector {
            name,
            matchers,
            shift: TimeShift::default(),
            offset_expr: None,
            extended: None,
        };
        self.node(start.to(self.last().span), ExprKind::Selector(selector))
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<()> {
        loop {
            if self.peek() == TokenKind::RightBrace && (matchers.is_empty() || self.after_comma()) {
                break;
            }
            matchers.push(self.matcher()?);
            match self.peek() {
                TokenKind::Comma => self.advance(),
                TokenKind::RightBrace => break,
                _ => return Err(self.unexpected(MATCHERS, "\",\" or \"}\"")),
            };
        }
        self.advance();
        Ok(())
    }

    fn after_comma(&self) -> bool {
        self.last().kind == TokenKind::Comma
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let label = self.token();
        let name = match label.kind {
            TokenKind::Identifier => label.text.to_owned(),
            TokenKind::String => unquote(label.text),
            _ => return Err(self.unexpected(MATCHERS, "identifier or \"}\"")),
        };
        self.advance();
        let kind = match self.peek() {
            TokenKind::Equal => MatchKind::Equal,
            TokenKind::Operator(BinaryOp::Neq) => MatchKind::NotEqual,
            TokenKind::EqualRegex => MatchKind::Regex,
            TokenKind::NotRegex => MatchKind::NotRegex,
            // A quoted name alone is the metric's.
            TokenKind::Comma | TokenKind::RightBrace if label.kind == TokenKind::String => {
                return Ok(Matcher::equal(METRIC_NAME, name));
            }
            _ if label.kind == TokenKind::String => {
                return Err(self.unexpected(MATCHERS, "\",\" or \"}\""));
            }
            _ => return Err(self.unexpected(MATCHERS, "label matching operator")),
        };
        self.advance();
        let value = self.expect(TokenKind::String, MATCHERS, "string")?;
        Matcher::new(kind, name, unquote(value.text)).or_else(|error| {
            let span: Span = label.span.to(value.span);
            self.error(span, error.to_string())
        })
    }

    /// `(a, b, "c d")`.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.expect(TokenKind::LeftParen, GROUPING, "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if self.peek() == TokenKind::RightParen && (labels.is_empty() || self.after_comma()) {
                break;
            }
            labels.push(self.grouping_label()?);
            match self.peek() {
                TokenKind::Comma => self.advance(),
                TokenKind::RightParen => break,
                _ => return Err(self.unexpected(GROUPING, "\",\" or \")\"")),
            };
        }
        self.advance();
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.token();
        let name = match token.kind {
            TokenKind::String => unquote(token.text),
            // Every word may be a label here, arithmetic signs may not.
            TokenKind::Operator(op) if op.is_set() || op == BinaryOp::Atan2 => {
                token.text.to_owned()
            }
            TokenKind::Keyword(
                Keyword::By
                | Keyword::On
                | Keyword::Ignoring
                | Keyword::GroupLeft
                | Keyword::GroupRight
                | Keyword::Bool
                | Keyword::Fill
                | Keyword::FillLeft
                | Keyword::FillRight
                | Keyword::Offset
                | Keyword::Anchored
                | Keyword::Smoothed,
            )
            | TokenKind::Identifier
            | TokenKind::MetricIdentifier
            | TokenKind::Aggregator(_)
            | TokenKind::Start
            | TokenKind::End
            | TokenKind::Step
            | TokenKind::Range
            | TokenKind::MinOf
            | TokenKind::MaxOf => token.text.to_owned(),
            _ => return Err(self.unexpected(GROUPING, "label")),
        };
        self.advance();
        if name.is_empty() || !is_utf8(&name) {
            let message = format!("invalid label name for grouping: {}", quote(&name));
            return self.error(token.span, message);
        }
        Ok(name)
    }
}
