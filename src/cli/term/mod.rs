//! The terminal: where text goes, colours, tables, progress.

mod plan;
mod printer;
mod progress;
mod table;

pub(crate) use plan::{render as render_plan, short};
pub(crate) use printer::{Paint, Printer, last_words};
pub(crate) use progress::ApplyProgress;
pub(crate) use table::table;
