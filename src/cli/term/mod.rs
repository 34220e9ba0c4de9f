//! The terminal: where text goes, colours, tables, progress.

mod markdown;
mod plan;
mod printer;
mod progress;
mod table;
mod tree;
mod value;

pub(crate) use markdown::render as render_markdown;
pub(crate) use plan::{Detail, render as render_plan, verdict};
pub(crate) use printer::{Paint, Printer, last_words};
pub(crate) use progress::{ApplyProgress, Watched, doing, done, interrupted};
pub(crate) use table::table;
pub(crate) use tree::Branch;
pub(crate) use value::short;
