//! Marks: small documents in a block's folder that say what is not to be done with it, or that it is to go.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::durable;

use super::{MetaError, VERSION, check_version, escape_as_go, parse};

/// A document of one kind.
pub trait Mark: Serialize + DeserializeOwned {
    /// The file in the block's folder.
    const FILE: &'static str;

    fn version(&self) -> i64;

    /// Reads a mark.
    ///
    /// # Errors
    /// [`MetaError`]: one that was written half is not readable.
    fn parse(bytes: &[u8]) -> Result<Self, MetaError> {
        let mark: Self = parse(Self::FILE, bytes)?;
        check_version(Self::FILE, mark.version())?;
        Ok(mark)
    }

    /// The mark as it is written: one line, as Thanos does.
    fn to_json(&self) -> String {
        // Structs of numbers and texts always have a form.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{}\n", escape_as_go(&json))
    }

    /// Writes it into a block's folder.
    ///
    /// # Errors
    /// [`MetaError::Write`].
    fn write(&self, block: &Path) -> Result<(), MetaError> {
        let path = block.join(Self::FILE);
        durable::write(&path, self.to_json().as_bytes())
            .map_err(|source| MetaError::Write { path, source })
    }
}

macro_rules! mark {
    ($(#[$doc:meta])* $name:ident in $file:literal { $time:ident $(, $reason:ident)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            pub id: Ulid,
            pub version: i64,
            #[serde(default, skip_serializing_if = "String::is_empty")]
            pub details: String,
            /// Seconds since 1970.
            pub $time: i64,
            $(pub $reason: String,)?
        }

        impl $name {
            /// A mark on block `id`, made at `time`, in seconds since 1970.
            #[must_use]
            pub fn new(id: Ulid, details: impl Into<String>, time: i64 $(, $reason: impl Into<String>)?) -> Self {
                Self {
                    id,
                    version: VERSION,
                    details: details.into(),
                    $time: time,
                    $($reason: $reason.into(),)?
                }
            }
        }

        impl Mark for $name {
            const FILE: &'static str = $file;

            fn version(&self) -> i64 {
                self.version
            }
        }
    };
}

mark! {
    /// The block is to be deleted, some delay after `deletion_time`.
    DeletionMark in "deletion-mark.json" { deletion_time }
}
mark! {
    /// The block is not to be compacted. Reasons: `manual`, `index-size-exceeding`, `block-index-out-of-order-chunk`,
    /// `downsample-vertical-compaction`.
    NoCompactMark in "no-compact-mark.json" { no_compact_time, reason }
}
mark! {
    /// The block is not to be downsampled. Reason: `manual`.
    NoDownsampleMark in "no-downsample-mark.json" { no_downsample_time, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01M81PCFJPQEVF2FAM8CMP1MBJ";

    #[test]
    fn marks_are_written_as_thanos_writes_them() {
        let id = Ulid::from_string(ID).expect("an id");
        let mark = DeletionMark::new(id, "source of compacted <block>", 1_767_592_740);
        let json = r#"{"id":"01M81PCFJPQEVF2FAM8CMP1MBJ","version":1,"details":"source of compacted \u003cblock\u003e","deletion_time":1767592740}"#;
        assert_eq!(mark.to_json(), format!("{json}\n"));
        assert_eq!(DeletionMark::parse(json.as_bytes()).expect("a mark"), mark);
        let mark = NoCompactMark::new(id, "", 5, "manual");
        let json = r#"{"id":"01M81PCFJPQEVF2FAM8CMP1MBJ","version":1,"no_compact_time":5,"reason":"manual"}"#;
        assert_eq!(mark.to_json().trim_end(), json);
    }

    #[test]
    fn half_a_mark_and_another_version_are_errors() {
        let json = NoDownsampleMark::new(Ulid::nil(), "", 5, "manual").to_json();
        for len in 0..json.len() - 2 {
            assert!(
                NoDownsampleMark::parse(&json.as_bytes()[..len]).is_err(),
                "{len}"
            );
        }
        let two = json.replace("\"version\":1", "\"version\":2");
        let error = NoDownsampleMark::parse(two.as_bytes()).expect_err("version 2");
        assert_eq!(
            error.to_string(),
            "unexpected version 2 of no-downsample-mark.json"
        );
    }

    #[test]
    fn a_mark_lies_in_the_folder_of_its_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = DeletionMark::new(Ulid::nil(), "", 1);
        mark.write(folder.path()).expect("written");
        let names: Vec<_> = std::fs::read_dir(folder.path()).expect("listed").collect();
        assert_eq!(names.len(), 1);
        let bytes = std::fs::read(folder.path().join("deletion-mark.json")).expect("read");
        assert_eq!(DeletionMark::parse(&bytes).expect("a mark"), mark);
    }
}
