//! Modules and roles: what a unit takes, makes and gives (DESIGN 3).
//!
//! `modules/<name>/module.yaml` declares inputs and outputs, `modules/<name>/<platform>.yaml` the resources of one platform, and
//! `modules/roles/<role>.yaml` which units a cluster of that role has. Every document is strict: an unknown key is a mistake, at its
//! place, with what was probably meant.

mod body;
mod declaration;
mod document;
mod role;
mod types;

pub(crate) use body::{Body, ResourceBody};
pub(crate) use declaration::{Input, Module};
pub(crate) use document::Document;
pub(crate) use role::{Role, RoleUnit};
pub(crate) use types::Type;

/// The platforms that a module may be written for.
pub const PLATFORMS: [&str; 3] = ["local", "kubernetes", "aws"];
