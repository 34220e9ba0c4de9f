//! PromQL: text → syntax tree → result, over any [`model::Queryable`]. Synchronous; no IO of its own.
//!
//! * [`parse`] reads an expression as Prometheus 3 does, with positions on every node and Prometheus's messages.
//! * [`Engine`] evaluates it, one series at a time over all steps.
//!
//! What the parser takes and the engine cannot evaluate yet is a [`QueryError::Unsupported`] with its position:
//! nothing is ever answered wrongly.

pub mod distribute;
pub mod engine;
pub mod functions;
mod lexer;
pub mod number;
pub mod parser;
mod position;
pub mod testlang;
pub mod unittest;

pub use engine::{
    Answer, AnswerValue, Engine, InstantSample, Options, QueryError, RangeSeries, Stats,
};
pub use number::format_float;
pub use parser::ast::{Expr, ExprKind, ValueType};
pub use parser::{Features, ParseError, parse, parse_selector, parse_with};
pub use position::Span;
