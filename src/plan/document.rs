//! JSON documents that tell what they are and whether they are whole: `format`, `version`, `checksum` (SHA-256 of the
//! compact JSON of all other fields), then their own fields.

use aws_lc_rs::digest;
use serde_json::{Map, Value as Json};

const FORMAT: &str = "format";
const VERSION: &str = "version";
const CHECKSUM: &str = "checksum";

/// Makes the fields of one version of those of the version before.
pub(crate) type Migration = fn(&mut Map<String, Json>);

/// A kind of document, in the version that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) version: u64,
    /// From the oldest version that is still read, one after the other, to `version`.
    pub(crate) migrations: &'static [Migration],
}

/// Bytes that are no whole document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("it is empty")]
    Empty,
    #[error("it is not whole JSON")]
    Json(#[from] serde_json::Error),
    #[error("it is not a {wanted} document")]
    Foreign { wanted: &'static str },
    #[error("it has format version {found}, and this tks knows versions up to {known}")]
    Newer { found: u64, known: u64 },
    #[error("it has format version {found}, and this tks reads versions from {oldest} on")]
    Older { found: u64, oldest: u64 },
    #[error("its checksum does not match: it is damaged, or was changed by hand")]
    Checksum,
    #[error("{0}")]
    Meaning(String),
}

impl Format {
    /// The bytes of a document with these fields.
    pub(crate) fn write(self, fields: Map<String, Json>) -> Vec<u8> {
        let mut document = Map::new();
        document.insert(FORMAT.into(), self.name.into());
        document.insert(VERSION.into(), self.version.into());
        document.insert(CHECKSUM.into(), Json::Null);
        document.extend(fields);
        let checksum = checksum(&mut document);
        document.insert(CHECKSUM.into(), checksum.into());
        format!("{:#}\n", Json::Object(document)).into_bytes()
    }

    /// The fields of a document, which may be of an older version, as this version has them.
    pub(crate) fn read(self, bytes: &[u8]) -> Result<Map<String, Json>, DocumentError> {
        let (mut document, older) = self.parse(bytes)?;
        let written = document.get(CHECKSUM).cloned();
        if written.as_ref().and_then(Json::as_str) != Some(&checksum(&mut document)) {
            return Err(DocumentError::Checksum);
        }
        Ok(migrated(document, older))
    }

    /// As [`Self::read`], of a document that was changed by hand on purpose: its checksum was taken out.
    pub(crate) fn read_edited(self, bytes: &[u8]) -> Result<Map<String, Json>, DocumentError> {
        let (document, older) = self.parse(bytes)?;
        match document.get(CHECKSUM) {
            None | Some(Json::Null) => Ok(migrated(document, older)),
            Some(_) => self.read(bytes),
        }
    }

    /// The fields as they are written, and what makes this version of theirs.
    fn parse(
        self,
        bytes: &[u8],
    ) -> Result<(Map<String, Json>, &'static [Migration]), DocumentError> {
        if bytes.trim_ascii().is_empty() {
            return Err(DocumentError::Empty);
        }
        let foreign = DocumentError::Foreign { wanted: self.name };
        let Json::Object(document) = serde_json::from_slice(bytes)? else {
            return Err(foreign);
        };
        if document.get(FORMAT).and_then(Json::as_str) != Some(self.name) {
            return Err(foreign);
        }
        let Some(found) = document.get(VERSION).and_then(Json::as_u64) else {
            return Err(foreign);
        };
        let known = self.version;
        let Some(steps) = known.checked_sub(found) else {
            return Err(DocumentError::Newer { found, known });
        };
        let current = self.migrations.len();
        let first = current.checked_sub(usize::try_from(steps).unwrap_or(usize::MAX));
        match first.and_then(|first| self.migrations.get(first..)) {
            Some(older) => Ok((document, older)),
            None => Err(DocumentError::Older {
                found,
                oldest: known - current as u64,
            }),
        }
    }
}

fn migrated(mut document: Map<String, Json>, older: &[Migration]) -> Map<String, Json> {
    for migrate in older {
        migrate(&mut document);
    }
    document
}

/// Takes the checksum's own field for null while computing.
fn checksum(document: &mut Map<String, Json>) -> String {
    document.insert(CHECKSUM.into(), Json::Null);
    let compact = Json::Object(std::mem::take(document));
    let hash = digest::digest(&digest::SHA256, compact.to_string().as_bytes());
    if let Json::Object(fields) = compact {
        *document = fields;
    }
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        name: "test",
        version: 4,
        migrations: &[
            |fields| {
                let old = fields.remove("old").unwrap_or_default();
                fields.insert("new".to_owned(), old);
            },
            |fields| drop(fields.insert("more".to_owned(), fields["new"].clone())),
        ],
    };

    #[test]
    fn a_document_reads_back_and_any_changed_byte_is_seen() {
        let fields = Map::from_iter([
            ("f".to_owned(), Json::from(1.5)),
            ("s".to_owned(), "ü".into()),
        ]);
        let bytes = FORMAT.write(fields);
        assert_eq!(FORMAT.read(&bytes).unwrap()["f"], 1.5);
        for at in (0..bytes.len()).filter(|at| !bytes[*at].is_ascii_whitespace()) {
            let mut hostile = bytes.clone();
            hostile[at] ^= 1;
            assert!(FORMAT.read(&hostile).is_err(), "byte {at}");
            assert!(FORMAT.read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn documents_of_older_versions_become_what_they_are_now() {
        let of_version = |version, field: &str| {
            let format = Format { version, ..FORMAT };
            format.write(Map::from_iter([(field.to_owned(), "kept".into())]))
        };
        let migrated = FORMAT.read(&of_version(2, "old")).unwrap();
        assert_eq!(
            (&migrated["new"], &migrated["more"]),
            (&"kept".into(), &"kept".into())
        );
        assert!(!migrated.contains_key("old"));
        let migrated = FORMAT.read(&of_version(3, "new")).unwrap();
        assert_eq!(migrated["more"], "kept");
        let current = FORMAT.read(&of_version(4, "new")).unwrap();
        assert!(!current.contains_key("more"));
        let mut damaged = of_version(2, "old");
        let at = damaged.windows(4).position(|four| four == b"kept").unwrap();
        damaged[at] = b'K';
        assert!(matches!(
            FORMAT.read(&damaged),
            Err(DocumentError::Checksum)
        ));
        let refused = FORMAT.read(&of_version(1, "old")).unwrap_err();
        let told = "it has format version 1, and this tks reads versions from 2 on";
        assert_eq!(refused.to_string(), told);
    }

    #[test]
    fn empty_foreign_and_newer_documents_are_told_apart() {
        assert!(matches!(FORMAT.read(b" \n"), Err(DocumentError::Empty)));
        assert!(matches!(
            FORMAT.read(b"{}"),
            Err(DocumentError::Foreign { .. })
        ));
        let newer = Format {
            version: 5,
            ..FORMAT
        }
        .write(Map::new());
        assert!(matches!(
            FORMAT.read(&newer),
            Err(DocumentError::Newer { found: 5, known: 4 })
        ));
    }
}
