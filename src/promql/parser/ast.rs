//! The syntax tree. Every node knows its place in the text.

use model::{Grouping, Matcher, Timestamp};

use crate::Span;
use crate::functions::Function;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub span: Span,
    pub kind: ExprKind,
    /// Nodes on the longest way down, this one included.
    depth: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Number(Number),
    String(String),
    Selector(VectorSelector),
    Range(RangeSelector),
    Subquery(Subquery),
    Call(Call),
    Aggregate(Aggregate),
    Binary(Binary),
    /// `-x` and `+x`.
    Unary {
        negative: bool,
        operand: Box<Expr>,
    },
    Paren(Box<Expr>),
}

/// A number, or a duration where a number may stand (its seconds).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    pub value: f64,
    pub duration: bool,
}

/// `name{label="value"}`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces. The matcher for it is the last of `matchers`.
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub shift: TimeShift,
    /// An `offset` that has to be computed first ([`super::duration::resolve`]); `shift` has none then.
    pub offset_expr: Option<Box<DurationExpr>>,
    pub extended: Option<Extended>,
}

/// How a range treats its boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// `anchored`: the sample before the range counts as one at its start.
    Anchored,
    /// `smoothed`: values at both boundaries are interpolated.
    Smoothed,
}

impl Extended {
    /// As it is written in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// `offset` and `@`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeShift {
    /// Milliseconds back.
    pub offset: i64,
    pub at: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Time(Timestamp),
    Start,
    End,
}

/// `selector[range]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    pub selector: VectorSelector,
    /// Milliseconds; 0 as long as `range_expr` is not resolved.
    pub range: i64,
    pub range_expr: Option<Box<DurationExpr>>,
}

/// `expr[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: Box<Expr>,
    /// Milliseconds; 0 as long as `range_expr` is not resolved.
    pub range: i64,
    /// Milliseconds; `None` as long as `step_expr` is not resolved.
    pub step: Option<i64>,
    pub shift: TimeShift,
    pub range_expr: Option<Box<DurationExpr>>,
    pub step_expr: Option<Box<DurationExpr>>,
    pub offset_expr: Option<Box<DurationExpr>>,
}

/// A duration that depends on the query's step or range, or is at least no plain number.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub span: Span,
    pub kind: DurationKind,
    /// Whether parentheses stand around it.
    pub wrapped: bool,
    /// Nodes on the longest way down, this one included.
    pub(crate) depth: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// Seconds.
    Number(Number),
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `min_of(a, b)`.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`.
    Negative(Box<DurationExpr>),
    /// `a + b`; arithmetic operators only.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// `function(args)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
}

/// `sum by (a) (expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub grouping: Grouping,
    pub param: Option<Box<Expr>>,
    pub expr: Box<Expr>,
}

/// `left op right`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub op_span: Span,
    pub left: Box<Expr>,
    pub right: Box<Expr>,
    pub return_bool: bool,
    pub matching: Matching,
}

/// How the series of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    pub cardinality: Cardinality,
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// What stands for a series that the left side does not have (`fill`, `fill_left`).
    pub fill_left: Option<f64>,
    /// What stands for a series that the right side does not have (`fill`, `fill_right`).
    pub fill_right: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    #[default]
    OneToOne,
    ManyToOne,
    OneToMany,
}

/// What an expression is evaluated to at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

impl ValueType {
    /// As the documentation calls it.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }

    /// As the HTTP API calls it (`resultType`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }
}

/// Declares an enum of words or signs of the language, with both ways between the two.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            /// As it is written in a query.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one written `text`, in lower case.
            pub(crate) fn from_word(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

vocabulary! {
    /// A binary operator.
    BinaryOp {
        Add = "+", Sub = "-", Mul = "*", Div = "/", Mod = "%", Pow = "^", Atan2 = "atan2",
        Eql = "==", Neq = "!=", Gtr = ">", Lss = "<", Gte = ">=", Lte = "<=",
        TrimUpper = "</", TrimLower = ">/",
        And = "and", Or = "or", Unless = "unless",
    }
}

vocabulary! {
    /// An aggregation.
    AggregateOp {
        Sum = "sum", Avg = "avg", Count = "count", Min = "min", Max = "max", Group = "group",
        Stddev = "stddev", Stdvar = "stdvar", Topk = "topk", Bottomk = "bottomk",
        CountValues = "count_values", Quantile = "quantile", Limitk = "limitk", LimitRatio = "limit_ratio",
    }
}

impl BinaryOp {
    /// `==` and its like.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Eql | Self::Neq | Self::Gtr | Self::Lss | Self::Gte | Self::Lte
        )
    }

    /// `and`, `or`, `unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// How strongly it binds; higher is stronger.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Eql
            | Self::Neq
            | Self::Gtr
            | Self::Lss
            | Self::Gte
            | Self::Lte
            | Self::TrimUpper
            | Self::TrimLower => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }
}

impl AggregateOp {
    /// The type of the parameter before the expression, if it has one.
    #[must_use]
    pub fn param(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    pub(crate) fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

impl Expr {
    pub(crate) fn new(span: Span, kind: ExprKind) -> Self {
        let below = kind
            .children()
            .iter()
            .map(|child| child.depth)
            .max()
            .unwrap_or(0);
        Self {
            span,
            kind,
            depth: below + 1,
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// What it is evaluated to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Unary { operand, .. } | ExprKind::Paren(operand) => operand.value_type(),
            ExprKind::Binary(binary) => {
                match (binary.left.value_type(), binary.right.value_type()) {
                    (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                    _ => ValueType::Vector,
                }
            }
        }
    }

    /// The matchers of every selector, in the order of the text.
    #[must_use]
    pub fn selectors(&self) -> Vec<Vec<Matcher>> {
        let (mut found, mut left) = (Vec::new(), vec![self]);
        while let Some(expr) = left.pop() {
            match &expr.kind {
                ExprKind::Selector(selector) => found.push(selector.matchers.clone()),
                ExprKind::Range(range) => found.push(range.selector.matchers.clone()),
                other => left.extend(other.children().into_iter().rev()),
            }
        }
        found
    }

    /// Hands each selector to `change`, which keeps a name's matcher the last.
    pub fn change_selectors(&mut self, change: &mut impl FnMut(&mut VectorSelector)) {
        match &mut self.kind {
            ExprKind::Selector(selector) => change(selector),
            ExprKind::Range(range) => change(&mut range.selector),
            other => {
                for child in other.children_mut() {
                    child.change_selectors(change);
                }
            }
        }
    }

    /// The expression inside of all parentheses around it.
    #[must_use]
    pub fn unwrap_parens(&self) -> &Self {
        match &self.kind {
            ExprKind::Paren(inner) => inner.unwrap_parens(),
            _ => self,
        }
    }
}

impl ExprKind {
    /// The expressions right below, in the order of the text.
    #[must_use]
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Selector(_) | Self::Range(_) => Vec::new(),
            Self::Subquery(subquery) => vec![&subquery.expr],
            Self::Call(call) => call.args.iter().collect(),
            Self::Aggregate(aggregate) => aggregate
                .param
                .as_deref()
                .into_iter()
                .chain([aggregate.expr.as_ref()])
                .collect(),
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Unary { operand, .. } => vec![operand],
            Self::Paren(inner) => vec![inner],
        }
    }

    /// [`Self::children`], to be changed. Whoever does keeps the tree's depth.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Selector(_) | Self::Range(_) => Vec::new(),
            Self::Subquery(subquery) => vec![&mut subquery.expr],
            Self::Call(call) => call.args.iter_mut().collect(),
            Self::Aggregate(aggregate) => aggregate
                .param
                .as_deref_mut()
                .into_iter()
                .chain([aggregate.expr.as_mut()])
                .collect(),
            Self::Binary(binary) => vec![&mut binary.left, &mut binary.right],
            Self::Unary { operand, .. } => vec![operand],
            Self::Paren(inner) => vec![inner],
        }
    }
}
