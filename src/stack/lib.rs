//! A live tree of YAML becomes a [`Stack`] per fleet: units with resources whose properties are expressions.

mod address;
mod build;
mod catalog;
mod diagnostic;
mod expr;
mod hook;
pub mod live;
pub mod merge;
mod module;
mod names;
mod node;
mod reading;
mod refactor;
mod schema;
mod stack;
mod template;
mod value;

pub use address::{Address, AddressError, ClusterPath, UnitPath};
pub use build::build;
pub use catalog::Catalog;
pub use diagnostic::{Diagnostic, Diagnostics, Position, closest};
pub use hook::{Hook, When};
pub use live::{LiveCluster, LiveFleet, LiveTree, LoadOptions, RoleCatalog};
pub use module::PLATFORMS;
pub use names::{Names, fit};
pub use node::{Key, Node, NodeValue, parse};
pub use reading::Reading;
pub use refactor::{Import, Move, Moved, Refactoring, Removed, Subject};
pub use schema::json_schema;
pub use stack::{Cluster, Fleet, Known, Lifecycle, OnDestroy, Place, Resource, Stack, Unit};
pub use value::{Attributes, Secret, Unknown, Value};
