//! A configuration file as it is meant: unpacked, with the environment's values for `$(NAME)`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// No configuration is larger, unpacked.
const MOST_BYTES: u64 = 256 << 20;

/// A configuration that refers to what is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} refers to environment variables that are not set: {} (set them, if only to nothing)",
    path.display(),
    names.join(", ")
)]
pub struct ExpandError {
    pub path: PathBuf,
    pub names: Vec<String>,
}

/// The content, unpacked where it begins as gzip does.
pub(super) fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    let mut unpacking = MultiGzDecoder::new(bytes.as_slice()).take(MOST_BYTES + 1);
    unpacking.read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        let text = format!("more than {MOST_BYTES} bytes when unpacked");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// The content of the file at `path` with a value for every `$(NAME)`. A dollar before anything else stays.
pub(super) fn expanded(
    path: &Path,
    content: &[u8],
    value: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<u8>, ExpandError> {
    let mut out = Vec::with_capacity(content.len());
    let mut unset = BTreeSet::new();
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let Some(name) = reference(rest) else {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        };
        match value(name) {
            Some(value) => out.extend_from_slice(value.as_encoded_bytes()),
            None => {
                unset.insert(name.to_owned());
            }
        }
        rest = &rest[name.len() + "$()".len()..];
    }
    out.extend_from_slice(rest);
    if unset.is_empty() {
        return Ok(out);
    }
    Err(ExpandError {
        path: path.to_owned(),
        names: unset.into_iter().collect(),
    })
}

/// The name in a `$(NAME)` at the beginning of `text`.
fn reference(text: &[u8]) -> Option<&str> {
    let text = text.strip_prefix(b"$(")?;
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let (name, end) = text.split_at(text.iter().position(|byte| !is_word(byte))?);
    (!name.is_empty() && end.starts_with(b")")).then(|| std::str::from_utf8(name).ok())?
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn expand(text: &str) -> Result<String, ExpandError> {
        let value = |name: &str| match name {
            "HOME" => Some("/root".into()),
            "1A" => Some("one".into()),
            "EMPTY" => Some(OsString::new()),
            _ => None,
        };
        let bytes = expanded(Path::new("p.yaml"), text.as_bytes(), value)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_names_in_parentheses_are_replaced() {
        // As a real sidecar writes it.
        assert_eq!(
            expand("a: $(HOME) $(A-B) $() $(1A) $$(HOME) ${HOME} $HOME $(_x.y) $( HOME) $")
                .unwrap(),
            "a: /root $(A-B) $() one $/root ${HOME} $HOME $(_x.y) $( HOME) $"
        );
        assert_eq!(expand("$(EMPTY)$(HOME").unwrap(), "$(HOME");
    }

    #[test]
    fn all_that_is_not_set_is_named_at_once() {
        let error = expand("$(B) $(HOME) $(A) $(B)").unwrap_err().to_string();
        assert!(
            error.starts_with("p.yaml refers to") && error.contains("set: A, B "),
            "{error}"
        );
    }

    #[test]
    fn gzip_is_unpacked_and_damaged_gzip_an_error() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(b"global: {}\n").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpacked(packed.clone()).unwrap(), b"global: {}\n");
        assert!(unpacked(packed[..packed.len() - 9].to_vec()).is_err());
        assert_eq!(unpacked(b"plain".to_vec()).unwrap(), b"plain");
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = expanded(Path::new("p"), &bytes, |_| Some("x".into()));
            let _ = unpacked([&GZIP, bytes.as_slice()].concat());
        }

        #[test]
        fn what_has_no_references_stays(text in "[a-z${}( \n]{0,80}") {
            prop_assert_eq!(expand(&text).unwrap(), text);
        }
    }
}
