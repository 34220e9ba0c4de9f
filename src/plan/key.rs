//! The key that secrets are sealed with: AES-256-GCM with a random nonce before the text.
//!
//! It comes from `TKS_KEY` (32 bytes in base64), else from the file that `TKS_KEY_FILE` names (32 bytes, or those in base64),
//! else from `TKS_PASSPHRASE` (PBKDF2-HMAC-SHA-256, 600,000 rounds, the salt in `key.salt`), else from `key` in
//! the data folder, which the first apply makes.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use stack::Secret;

use crate::disk;

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const SALT_LEN: usize = 16;
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
/// Ties a sealed text to its purpose.
const PURPOSE: &[u8] = b"tks sealed value 1";

/// Where the key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySource {
    /// 32 bytes in base64.
    pub key: Option<Secret>,
    pub file: Option<PathBuf>,
    pub passphrase: Option<Secret>,
}

impl KeySource {
    /// What `TKS_KEY`, `TKS_KEY_FILE` and `TKS_PASSPHRASE` say; empty ones say nothing.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name| {
            std::env::var(name)
                .ok()
                .filter(|text: &String| !text.is_empty())
        };
        Self {
            key: text("TKS_KEY").map(Secret::new),
            file: text("TKS_KEY_FILE").map(PathBuf::from),
            passphrase: text("TKS_PASSPHRASE").map(Secret::new),
        }
    }
}

/// No usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is state, and its key is not here.
    #[error(
        "there is state, but not the key that its secrets are sealed with: put it back at {}, or name it with TKS_KEY_FILE (or TKS_KEY, TKS_PASSPHRASE)",
        .0.display()
    )]
    Missing(PathBuf),
    /// A secret is to be written before there is a key.
    #[error(
        "there is no key yet to seal secrets with: the first apply makes one, or set TKS_KEY or TKS_KEY_FILE"
    )]
    NotYet,
    #[error("{origin} is not a key: 32 bytes in base64 are wanted")]
    Malformed { origin: String },
    #[error("cannot read or write the key {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Sealed with another key, or damaged.
    #[error("a sealed value does not open: it was sealed with another key, or is damaged")]
    DoesNotOpen,
    #[error("the system gives no random numbers")]
    Random,
}

/// Seals and opens.
pub(crate) struct Key {
    aead: RandomizedNonceKey,
    id: String,
}

impl Key {
    fn new(bytes: &[u8], origin: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed {
            origin: origin.to_owned(),
        };
        let bytes: &[u8; KEY_LEN] = bytes.try_into().map_err(|_| malformed())?;
        let hash = digest::digest(
            &digest::SHA256,
            &[b"tks key id ".as_slice(), bytes].concat(),
        );
        let id = hash
            .as_ref()
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let aead = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| malformed())?;
        Ok(Self { aead, id })
    }

    /// Tells keys apart without telling anything of them.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Base64 of nonce, text and tag.
    pub(crate) fn seal(&self, text: &str) -> Result<String, KeyError> {
        let mut sealed = text.as_bytes().to_vec();
        let nonce = self
            .aead
            .seal_in_place_append_tag(Aad::from(PURPOSE), &mut sealed);
        let nonce = nonce.map_err(|_| KeyError::Random)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(BASE64.encode(whole))
    }

    /// The text behind [`Self::seal`].
    pub(crate) fn open(&self, sealed: &str) -> Result<String, KeyError> {
        let whole = BASE64.decode(sealed).map_err(|_| KeyError::DoesNotOpen)?;
        let (nonce, text) = whole
            .split_at_checked(NONCE_LEN)
            .ok_or(KeyError::DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::DoesNotOpen)?;
        let mut text = text.to_vec();
        let opened = self
            .aead
            .open_in_place(nonce, Aad::from(PURPOSE), &mut text);
        let opened = opened.map_err(|_| KeyError::DoesNotOpen)?;
        String::from_utf8(opened.to_vec()).map_err(|_| KeyError::DoesNotOpen)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Finds the key of a data folder once, and makes it when that is allowed.
#[derive(Debug)]
pub(crate) struct Keyring {
    source: KeySource,
    data_dir: PathBuf,
    found: OnceLock<Key>,
}

impl Keyring {
    pub(crate) fn new(source: KeySource, data_dir: &Path) -> Self {
        Self {
            source,
            data_dir: data_dir.to_owned(),
            found: OnceLock::new(),
        }
    }

    /// The key, if there is one.
    pub(crate) fn existing(&self) -> Result<Option<&Key>, KeyError> {
        if self.found.get().is_none()
            && let Some(key) = self.find()?
        {
            return Ok(Some(self.found.get_or_init(|| key)));
        }
        Ok(self.found.get())
    }

    /// The key; one is made unless `has_state`.
    pub(crate) fn or_make(&self, has_state: bool) -> Result<&Key, KeyError> {
        if let Some(key) = self.existing()? {
            return Ok(key);
        }
        if has_state {
            return Err(KeyError::Missing(self.own_file()));
        }
        self.make()?;
        self.existing()?.ok_or(KeyError::NotYet)
    }

    /// Where the key lies when the environment does not say.
    pub(crate) fn own_file(&self) -> PathBuf {
        self.data_dir.join("key")
    }

    fn salt_file(&self) -> PathBuf {
        self.data_dir.join("key.salt")
    }

    fn find(&self) -> Result<Option<Key>, KeyError> {
        if let Some(key) = &self.source.key {
            return decode(key.reveal().as_bytes(), "TKS_KEY").map(Some);
        }
        if let Some(file) = &self.source.file {
            return file_key(file).map(Some);
        }
        if let Some(passphrase) = &self.source.passphrase {
            return read(&self.salt_file())?
                .map(|salt| derive(passphrase, &salt))
                .transpose();
        }
        let file = self.own_file();
        read(&file)?
            .map(|bytes| decode(&bytes, &file.display().to_string()))
            .transpose()
    }

    fn make(&self) -> Result<(), KeyError> {
        if self.source.passphrase.is_none() {
            return write_new(&self.own_file());
        }
        let (path, salt) = (self.salt_file(), random::<SALT_LEN>()?);
        disk::write(&path, &salt).map_err(|source| KeyError::Io { path, source })
    }
}

/// The key in a file.
pub(crate) fn file_key(file: &Path) -> Result<Key, KeyError> {
    let bytes = read(file)?.ok_or_else(|| KeyError::Io {
        path: file.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    decode(&bytes, &file.display().to_string())
}

/// The key in a file, which is made with a new one if it is not there.
pub(crate) fn fresh_key(file: &Path) -> Result<Key, KeyError> {
    if read(file)?.is_none() {
        write_new(file)?;
    }
    file_key(file)
}

fn write_new(file: &Path) -> Result<(), KeyError> {
    let text = format!("{}\n", BASE64.encode(random::<KEY_LEN>()?));
    disk::write(file, text.as_bytes()).map_err(|source| KeyError::Io {
        path: file.to_owned(),
        source,
    })
}

fn decode(bytes: &[u8], origin: &str) -> Result<Key, KeyError> {
    if bytes.len() == KEY_LEN {
        return Key::new(bytes, origin);
    }
    let malformed = |_| KeyError::Malformed {
        origin: origin.to_owned(),
    };
    Key::new(
        &BASE64.decode(bytes.trim_ascii()).map_err(malformed)?,
        origin,
    )
}

fn derive(passphrase: &Secret, salt: &[u8]) -> Result<Key, KeyError> {
    let mut bytes = [0; KEY_LEN];
    let passphrase = passphrase.reveal().as_bytes();
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ROUNDS,
        salt,
        passphrase,
        &mut bytes,
    );
    Key::new(&bytes, "TKS_PASSPHRASE")
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    disk::read(path).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_with_its_key_only_and_never_looks_the_same() {
        let key = Key::new(&[1; KEY_LEN], "test").unwrap();
        let sealed = key.seal("text").unwrap();
        assert_eq!(key.open(&sealed).unwrap(), "text");
        assert_ne!(key.seal("text").unwrap(), sealed);
        let other = Key::new(&[2; KEY_LEN], "test").unwrap();
        assert!(matches!(other.open(&sealed), Err(KeyError::DoesNotOpen)));
        for hostile in ["", "AAAA", "not base64", &sealed[4..]] {
            assert!(
                matches!(key.open(hostile), Err(KeyError::DoesNotOpen)),
                "{hostile}"
            );
        }
    }

    #[test]
    fn a_key_is_made_for_a_new_folder_and_never_for_one_with_state() {
        let dir = tempfile::tempdir().unwrap();
        let ring = || Keyring::new(KeySource::default(), dir.path());
        assert!(matches!(ring().or_make(true), Err(KeyError::Missing(_))));
        let made = ring().or_make(false).unwrap().id().to_owned();
        assert_eq!(ring().or_make(true).unwrap().id(), made);
    }

    #[test]
    fn a_passphrase_makes_the_same_key_again() {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource {
            passphrase: Some(Secret::new("horse")),
            ..KeySource::default()
        };
        let ring = || Keyring::new(source.clone(), dir.path());
        let made = ring().or_make(false).unwrap().id().to_owned();
        assert_eq!(ring().existing().unwrap().unwrap().id(), made);
    }
}
