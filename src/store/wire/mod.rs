//! Series as they travel between queriers: encoded. A frame that comes is checked once and never taken apart: its series are
//! compared, joined and handed on as the bytes that they are.
//!
//! What is relied on from then on is the *plain form*: a message [`proto::thanos::Series`] as every known writer encodes it (labels
//! before chunks, fields in order, lengths as short as they can be), its labels sorted by name, names unique, no value
//! empty. What comes in another form is decoded, put right and encoded anew.

mod batch;
mod chunk;
mod codec;
mod field;
mod labels;

pub use batch::Batch;
pub(crate) use batch::{Builder, Series};
pub(crate) use chunk::Chunk;
pub(crate) use codec::{Answer, AskCodec, Frame, request};
pub(crate) use labels::{Labels, split, text};
