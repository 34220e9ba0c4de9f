//! The expressions of a live tree and of modules: `${…}` inside YAML scalars (DESIGN 2).
//!
//! ```text
//! expression = and { "||" and }            and    = equal { "&&" equal }
//! equal      = else [ ( "==" | "!=" ) else ]
//! else       = unary { "??" unary }        unary  = "!" unary | path | literal
//! path       = name { "." member | ".*" | "[" expression "]" }
//! literal    = quoted | number | "true" | "false" | "null"
//! ```
//!
//! * A scalar that is one expression keeps the expression's type; inside text the expression must be a scalar.
//!   `$${` is a literal `${`.
//! * A member of null is null. A member that a map does not have is an error, which `??` turns into its right side; a name that
//!   cannot exist (an undeclared input, a field that clusters do not have) is an error in any case.
//! * In brackets stands a member's name: `a["b"]`, or what gives it, as in `resource.sidecar[each.key]`.
//! * `.*` gives the members of a list, or the values of a map in key order; what follows is applied to each. Members that turn out
//!   null are dropped, and a second `.*` flattens.
//! * Unknown and secret values spread: text with a secret in it is a secret, text with an unknown in it waits for the same.
//!
//! There are no functions and no arithmetic: repetition is a role's business.

mod eval;
mod lexer;
mod parser;
mod term;

pub(crate) use eval::{Failure, Item, Members, Miss, World, evaluate, item, materialise};
pub(crate) use term::{Kind, Term};

use crate::Position;

/// A syntax tree with the place of every part.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) position: Position,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Literal(crate::Value),
    Path {
        root: String,
        steps: Vec<Step>,
    },
    Not(Box<Expr>),
    Equal(Box<Expr>, Box<Expr>),
    NotEqual(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `a ?? b`.
    Else(Box<Expr>, Box<Expr>),
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) position: Position,
}

#[derive(Clone, Debug)]
pub(crate) enum StepKind {
    Member(String),
    /// The member whose name the expression gives.
    Index(Box<Expr>),
    Star,
}

#[cfg(test)]
mod tests;
