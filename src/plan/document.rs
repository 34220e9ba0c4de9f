//! JSON documents that tell what they are and whether they are whole: `format`, `version`, `checksum` (SHA-256 of the
//! compact JSON of all other fields), then their own fields.

use aws_lc_rs::digest;
use serde_json::{Map, Value as Json};

const FORMAT: &str = "format";
const VERSION: &str = "version";
const CHECKSUM: &str = "checksum";

/// A kind of document, in the version that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) version: u64,
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

    /// The fields of a document, which may be of an older version.
    pub(crate) fn read(self, bytes: &[u8]) -> Result<Map<String, Json>, DocumentError> {
        let mut document = self.parse(bytes)?;
        let written = document.get(CHECKSUM).cloned();
        if written.as_ref().and_then(Json::as_str) != Some(&checksum(&mut document)) {
            return Err(DocumentError::Checksum);
        }
        Ok(document)
    }

    /// As [`Self::read`], of a document that was changed by hand on purpose: its checksum was taken out.
    pub(crate) fn read_edited(self, bytes: &[u8]) -> Result<Map<String, Json>, DocumentError> {
        let document = self.parse(bytes)?;
        match document.get(CHECKSUM) {
            None | Some(Json::Null) => Ok(document),
            Some(_) => self.read(bytes),
        }
    }

    fn parse(self, bytes: &[u8]) -> Result<Map<String, Json>, DocumentError> {
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
        match document.get(VERSION).and_then(Json::as_u64) {
            None => Err(foreign),
            Some(found) if found > self.version => Err(DocumentError::Newer {
                found,
                known: self.version,
            }),
            Some(_) => Ok(document),
        }
    }
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
        version: 2,
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
    fn empty_foreign_and_newer_documents_are_told_apart() {
        assert!(matches!(FORMAT.read(b" \n"), Err(DocumentError::Empty)));
        assert!(matches!(
            FORMAT.read(b"{}"),
            Err(DocumentError::Foreign { .. })
        ));
        let newer = Format {
            version: 3,
            ..FORMAT
        }
        .write(Map::new());
        assert!(matches!(
            FORMAT.read(&newer),
            Err(DocumentError::Newer { found: 3, known: 2 })
        ));
    }
}
