//! Tokens into a syntax tree: operator precedence climbing after Pratt, then a check of types. The grammar and the
//! words of the messages follow Prometheus (`promql/parser/generated_parser.y`, `parse.go`); the first mistake ends it.

pub mod ast;
mod check;
pub mod duration;
mod expression;
mod labels;
mod modifier;
mod pretty;
mod printer;

use model::Matcher;

pub use pretty::prettify;

use crate::Span;
use crate::lexer::{self, Token, TokenKind};
use ast::{BinaryOp, Expr, ExprKind};

/// Parentheses in parentheses, at most.
const MAX_NESTING: u32 = 128;
/// Nodes on the longest way down the tree, at most: whoever walks it recurses.
const MAX_DEPTH: u32 = 512;

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{span}: parse error: {message}")]
pub struct ParseError {
    pub span: Span,
    pub message: String,
}

/// Parts of the language that have to be enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `--enable-feature=promql-experimental-functions`.
    pub experimental_functions: bool,
    /// `--enable-feature=promql-duration-expr`; Prometheus 3.15 has them always, Thanos 0.42 not.
    pub duration_expressions: bool,
    /// `--enable-feature=promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_ranges: bool,
    /// `--enable-feature=promql-binop-fill-modifiers`.
    pub fill_modifiers: bool,
}

impl Features {
    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_ranges: true,
            fill_modifiers: true,
        }
    }
}

/// Reads an expression and checks its types.
///
/// # Errors
/// [`ParseError`], the first mistake in the text.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, Features::default())
}

/// [`parse`] with `features`.
///
/// # Errors
/// [`ParseError`].
pub fn parse_with(text: &str, features: Features) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text, features);
    if parser.peek() == TokenKind::Eof {
        let line = u32::from(!text.is_empty());
        let span = Span {
            line,
            column: line,
            ..Span::default()
        };
        return Err(ParseError {
            span,
            message: "no expression found in input".to_owned(),
        });
    }
    let expr = parser.expression(0)?;
    parser.end()?;
    check::check(&expr)?;
    Ok(expr)
}

/// Reads the tokens of a text only: how many there are, the end included.
///
/// # Errors
/// [`ParseError`] where there is none.
pub fn scan(text: &str) -> Result<usize, ParseError> {
    let (tokens, message) = lexer::tokens(text);
    match tokens.last() {
        Some(last) if last.kind == TokenKind::Error => Err(ParseError {
            span: last.span,
            message,
        }),
        _ => Ok(tokens.len()),
    }
}

/// Reads a series selector, as `match[]` of the HTTP API has them. Whether it selects at least something (one matcher
/// that does not match the empty string) is the caller's question.
///
/// # Errors
/// [`ParseError`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text, Features::default());
    let expr = match parser.peek() {
        TokenKind::LeftBrace => parser.selector(None)?,
        _ => match parser.metric_name() {
            Some(name) => parser.selector(Some(name))?,
            None => return Err(parser.unexpected("", "")),
        },
    };
    parser.end()?;
    match expr.kind {
        ExprKind::Selector(selector) => Ok(selector.matchers),
        _ => Ok(Vec::new()),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    /// Why the lexer stopped, if the last token is an error.
    lexer_message: String,
    position: usize,
    nesting: u32,
    /// How many argument lists of aggregations we are in.
    aggregations: u32,
    features: Features,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str, features: Features) -> Self {
        let (tokens, lexer_message) = lexer::tokens(text);
        Self {
            tokens,
            lexer_message,
            position: 0,
            nesting: 0,
            aggregations: 0,
            features,
        }
    }

    /// The token ahead. The last one, the end or an error, stays ahead for ever.
    fn token(&self) -> Token<'a> {
        self.tokens[self.position.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> TokenKind {
        self.token().kind
    }

    fn peek_second(&self) -> TokenKind {
        self.tokens[(self.position + 1).min(self.tokens.len() - 1)].kind
    }

    fn advance(&mut self) -> Token<'a> {
        let token = self.token();
        self.position += 1;
        token
    }

    fn accept(&mut self, kind: TokenKind) -> Option<Token<'a>> {
        (self.peek() == kind).then(|| self.advance())
    }

    fn expect(&mut self, kind: TokenKind, context: &str, expected: &str) -> Parsed<Token<'a>> {
        self.accept(kind)
            .ok_or_else(|| self.unexpected(context, expected))
    }

    /// The token that was read last.
    fn last(&self) -> Token<'a> {
        self.tokens[self.position.saturating_sub(1).min(self.tokens.len() - 1)]
    }

    /// Where the last closing bracket or number that was read ends.
    fn last_closing(&self) -> Span {
        self.last().span
    }

    fn end(&self) -> Parsed<()> {
        match self.peek() {
            TokenKind::Eof => Ok(()),
            _ => Err(self.unexpected_here()),
        }
    }

    /// The mistake that the token ahead is.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.token();
        if token.kind == TokenKind::Error {
            return ParseError {
                span: token.span,
                message: self.lexer_message.clone(),
            };
        }
        let mut message = format!("unexpected {}", token.describe());
        if !context.is_empty() {
            message = format!("{message} in {context}");
        }
        if !expected.is_empty() {
            message = format!("{message}, expected {expected}");
        }
        ParseError {
            span: token.span,
            message,
        }
    }

    /// [`Self::unexpected`] where only the surroundings are known.
    fn unexpected_here(&self) -> ParseError {
        let context = if self.aggregations > 0 {
            "aggregation"
        } else {
            ""
        };
        self.unexpected(context, "")
    }

    /// An error about what was read.
    fn error<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError {
            span,
            message: message.into(),
        })
    }

    /// An error about what the token ahead completes: where the lexer gives up right there, that comes first.
    fn error_ahead<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        match self.peek() {
            TokenKind::Error => Err(self.unexpected("", "")),
            _ => self.error(span, message),
        }
    }

    /// Whether an expression can begin with the token ahead.
    fn at_expression(&self) -> bool {
        match self.peek() {
            TokenKind::Number
            | TokenKind::Duration
            | TokenKind::String
            | TokenKind::LeftParen
            | TokenKind::LeftBrace
            | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => true,
            _ => self.metric_name().is_some(),
        }
    }

    fn node(&self, span: Span, kind: ExprKind) -> Parsed<Expr> {
        let expr = Expr::new(span, kind);
        if expr.depth() > MAX_DEPTH {
            return self.error(span, "expression is nested too deeply");
        }
        Ok(expr)
    }
}

#[cfg(test)]
mod tests;
