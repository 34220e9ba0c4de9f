//! `thanos.shipper.json`: `{"version": 1, "uploaded": ["<ULID>", …]}`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tsdb::Ulid;

use super::Options;

const VERSION: i64 = 1;

/// The record's file.
pub(super) struct Record(PathBuf);

#[derive(Deserialize, Serialize)]
struct Content {
    version: i64,
    /// Thanos writes null for none.
    uploaded: Option<Vec<String>>,
}

impl Record {
    pub(super) fn in_folder(options: &Options) -> Self {
        Self(options.dir.join(&options.meta_file_name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What is uploaded. A record that cannot be read is written anew: the bucket knows the truth.
    pub(super) fn read(&self) -> BTreeSet<Ulid> {
        match self.try_read() {
            Ok(uploaded) => uploaded,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(
                        err = &error as &dyn std::error::Error,
                        path = %self.0.display(),
                        "reading meta file failed, will override it"
                    );
                }
                BTreeSet::new()
            }
        }
    }

    fn try_read(&self) -> io::Result<BTreeSet<Ulid>> {
        let content: Content = serde_json::from_slice(&std::fs::read(&self.0)?)?;
        if content.version != VERSION {
            return Err(io::Error::other(format!(
                "version {} is not known",
                content.version
            )));
        }
        let ids = content.uploaded.unwrap_or_default();
        ids.iter()
            .map(|id| Ulid::from_string(id).map_err(io::Error::other))
            .collect()
    }

    /// Replaces the record in one step, on disk before this returns.
    pub(super) fn write(&self, uploaded: &[Ulid]) -> io::Result<()> {
        let content = Content {
            version: VERSION,
            uploaded: Some(uploaded.iter().map(Ulid::to_string).collect()),
        };
        let mut temporary = self.0.clone().into_os_string();
        temporary.push(".tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&tabbed(&content)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.0)?;
        match self.0.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// JSON as Go indents it with a tab, and a newline at its end.
fn tabbed(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut out, format,
    ))?;
    out.push(b'\n');
    Ok(out)
}
