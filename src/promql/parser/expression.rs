//! Operators, operands, calls and aggregations.

use model::Grouping;

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, Number,
};
use super::{MAX_NESTING, Parsed, Parser};
use crate::functions;
use crate::lexer::text::{quote, unquote};
use crate::lexer::{Keyword, Token, TokenKind};
use crate::number::parse_number;

impl<'a> Parser<'a> {
    /// An expression whose operators bind at least as strongly as `least`.
    pub(super) fn expression(&mut self, least: u8) -> Parsed<Expr> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.error(self.token().span, "expression is nested too deeply");
        }
        let mut left = self.unary()?;
        while let TokenKind::Operator(op) = self.peek() {
            if op.precedence() < least {
                break;
            }
            left = self.binary(left, op)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn binary(&mut self, left: Expr, op: BinaryOp) -> Parsed<Expr> {
        let op_span = self.advance().span;
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool)).is_some();
        let matching = self.matching()?;
        // Only the power operator groups to the right.
        let right = self.expression(op.precedence() + u8::from(op != BinaryOp::Pow))?;
        let span = left.span.to(right.span);
        let (left, right) = (Box::new(left), Box::new(right));
        let binary = Binary {
            op,
            op_span,
            left,
            right,
            return_bool,
            matching,
        };
        let fills = binary
            .matching
            .fill_left
            .or(binary.matching.fill_right)
            .is_some();
        if fills && !self.features.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return self.error_ahead(span, message);
        }
        self.node(span, ExprKind::Binary(binary))
    }

    fn matching(&mut self) -> Parsed<Matching> {
        let mut matching = Matching::default();
        match self.peek() {
            TokenKind::Keyword(Keyword::On) => matching.on = true,
            TokenKind::Keyword(Keyword::Ignoring) => {}
            _ => {
                self.fill(&mut matching)?;
                return Ok(matching);
            }
        }
        self.advance();
        matching.labels = self.grouping_labels()?;
        matching.cardinality = match self.peek() {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => Cardinality::OneToOne,
        };
        if matching.cardinality != Cardinality::OneToOne {
            self.advance();
            let fills = matches!(
                self.peek(),
                TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
            );
            if self.peek() == TokenKind::LeftParen || !fills && !self.at_expression() {
                matching.include = self.grouping_labels()?;
            }
        }
        self.fill(&mut matching)?;
        Ok(matching)
    }

    /// `fill (0)`, or one or both of `fill_left (0)` and `fill_right (0)`.
    fn fill(&mut self, matching: &mut Matching) -> Parsed<()> {
        if self.accept(TokenKind::Keyword(Keyword::Fill)).is_some() {
            let value = Some(self.fill_value()?);
            (matching.fill_left, matching.fill_right) = (value, value);
            return Ok(());
        }
        loop {
            match self.peek() {
                TokenKind::Keyword(Keyword::FillLeft) if matching.fill_left.is_none() => {
                    self.advance();
                    matching.fill_left = Some(self.fill_value()?);
                }
                TokenKind::Keyword(Keyword::FillRight) if matching.fill_right.is_none() => {
                    self.advance();
                    matching.fill_right = Some(self.fill_value()?);
                }
                _ => return Ok(()),
            }
        }
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        if self.accept(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected_here());
        }
        let negative = match self.peek() {
            TokenKind::Operator(BinaryOp::Sub) => true,
            TokenKind::Operator(BinaryOp::Add) => false,
            _ => return self.fill_number(),
        };
        self.advance();
        let value = self.fill_number()?;
        Ok(if negative { -value } else { value })
    }

    fn fill_number(&mut self) -> Parsed<f64> {
        if !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected_here());
        }
        let (_, number) = self.number()?;
        match self.accept(TokenKind::RightParen) {
            Some(_) => Ok(number.value),
            None => Err(self.unexpected_here()),
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let negative = match self.peek() {
            TokenKind::Operator(BinaryOp::Add) => false,
            TokenKind::Operator(BinaryOp::Sub) => true,
            _ => {
                let primary = self.primary()?;
                return self.modifiers(primary);
            }
        };
        let sign = self.advance().span;
        // As strong as a product, so only a power goes into the operand.
        let operand = self.expression(BinaryOp::Pow.precedence())?;
        let span = sign.to(operand.span);
        match operand.kind {
            ExprKind::Number(number) => {
                let value = if negative {
                    -number.value
                } else {
                    number.value
                };
                self.node(span, ExprKind::Number(Number { value, ..number }))
            }
            _ => self.node(
                span,
                ExprKind::Unary {
                    negative,
                    operand: Box::new(operand),
                },
            ),
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.token();
        match (token.kind, self.peek_second()) {
            (TokenKind::Number | TokenKind::Duration, _) => {
                let (span, number) = self.number()?;
                self.node(span, ExprKind::Number(number))
            }
            (TokenKind::String, _) => {
                self.advance();
                self.node(token.span, ExprKind::String(unquote(token.text)))
            }
            (TokenKind::LeftParen, _) => self.paren(),
            (TokenKind::LeftBrace, _) => self.selector(None),
            (
                TokenKind::Identifier
                | TokenKind::Start
                | TokenKind::End
                | TokenKind::Step
                | TokenKind::Range
                | TokenKind::MinOf
                | TokenKind::MaxOf,
                TokenKind::LeftParen,
            ) => self.call(),
            (
                TokenKind::Aggregator(op),
                TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without),
            ) => self.aggregate(op),
            _ => match self.metric_name() {
                Some(name) => self.selector(Some(name)),
                None => Err(self.unexpected_here()),
            },
        }
    }

    fn paren(&mut self) -> Parsed<Expr> {
        let open = self.advance().span;
        let inner = self.expression(0)?;
        let Some(close) = self.accept(TokenKind::RightParen) else {
            return Err(self.unexpected_here());
        };
        self.node(open.to(close.span), ExprKind::Paren(Box::new(inner)))
    }

    /// A number or a duration, without sign.
    pub(super) fn number(&mut self) -> Parsed<(crate::Span, Number)> {
        let Token { kind, span, text } = self.advance();
        if kind == TokenKind::Duration {
            return match model::parse_duration(text) {
                Ok(ms) => Ok((
                    span,
                    Number {
                        value: ms as f64 / 1000.0,
                        duration: true,
                    },
                )),
                Err(error) => self.error(span, error.to_string()),
            };
        }
        match parse_number(text) {
            Ok(value) => Ok((
                span,
                Number {
                    value,
                    duration: false,
                },
            )),
            Err(error) => {
                let (text, why) = (quote(text), error.as_str());
                let message =
                    format!("error parsing number: strconv.ParseFloat: parsing {text}: {why}");
                self.error(span, message)
            }
        }
    }

    /// The name ahead, if it may be a metric's: most keywords may.
    pub(super) fn metric_name(&self) -> Option<Token<'a>> {
        let is_name = match self.peek() {
            TokenKind::Identifier
            | TokenKind::MetricIdentifier
            | TokenKind::Aggregator(_)
            | TokenKind::Start
            | TokenKind::End
            | TokenKind::Step
            | TokenKind::Range
            | TokenKind::MinOf
            | TokenKind::MaxOf => true,
            TokenKind::Operator(op) => op.is_set(),
            TokenKind::Keyword(keyword) => matches!(
                keyword,
                Keyword::By
                    | Keyword::Without
                    | Keyword::Offset
                    | Keyword::Anchored
                    | Keyword::Smoothed
                    | Keyword::Fill
                    | Keyword::FillLeft
                    | Keyword::FillRight
            ),
            _ => false,
        };
        is_name.then(|| self.token())
    }

    fn call(&mut self) -> Parsed<Expr> {
        let name = self.advance();
        let args = self.arguments()?;
        let Some(function) = functions::find(name.text) else {
            let message = format!("unknown function with name {}", quote(name.text));
            return self.error(name.span, message);
        };
        if function.experimental && !self.features.experimental_functions {
            let message = format!("function {} is not enabled", quote(name.text));
            return self.error(name.span, message);
        }
        let span = name.span.to(self.last().span);
        self.node(span, ExprKind::Call(Call { function, args }))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.accept(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected_here());
        }
        if self.accept(TokenKind::RightParen).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.accept(TokenKind::RightParen).is_some() {
                return Ok(args);
            }
            let Some(comma) = self.accept(TokenKind::Comma) else {
                return Err(self.unexpected_here());
            };
            if !self.at_expression() {
                return self.error_ahead(
                    comma.span,
                    "trailing commas not allowed in function call args",
                );
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let word = self.advance().span;
        self.aggregations += 1;
        let before = self.aggregate_grouping()?;
        let args = self.arguments()?;
        self.aggregations -= 1;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.aggregate_grouping()?.unwrap_or_default(),
        };
        let span = word.to(self.last().span);
        let aggregate = self.assemble_aggregate(op, grouping, args, span)?;
        self.node(span, ExprKind::Aggregate(aggregate))
    }

    fn aggregate_grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek() {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        let labels = self.grouping_labels()?;
        Ok(Some(Grouping { without, labels }))
    }

    fn assemble_aggregate(
        &self,
        op: AggregateOp,
        grouping: Grouping,
        args: Vec<Expr>,
        span: crate::Span,
    ) -> Parsed<Aggregate> {
        if args.is_empty() {
            return self.error_ahead(span, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return self.error_ahead(span, message);
        }
        let wanted = if op.param().is_some() { 2 } else { 1 };
        let given = args.len();
        let mut args = args.into_iter();
        let param = op.param().and_then(|_| args.next()).map(Box::new);
        match (args.next(), args.next()) {
            (Some(expr), None) => Ok(Aggregate {
                op,
                grouping,
                param,
                expr: Box::new(expr),
            }),
            _ => self.error_ahead(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, \
                     expected {wanted}, got {given}"
                ),
            ),
        }
    }
}
