//! Thanos's bucket configuration: `type`, `config`, `prefix`, strictly.
//!
//! `$(NAME)` is replaced by the environment's value before the YAML is read, as Thanos does with the
//! content of `--objstore.config` and `--objstore.config-file`.

mod env;
mod s3;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use s3::{HttpConfig, Lookup, S3Config, Secret, SseConfig, SseType, TlsConfig};

/// The kinds of buckets that Thanos knows and this build does not speak.
const NOT_BUILT: [&str; 8] = [
    "GCS",
    "AZURE",
    "SWIFT",
    "COS",
    "ALIYUNOSS",
    "BOS",
    "OCI",
    "OBS",
];

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read bucket configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("bucket configuration: {0}")]
    Yaml(String),
    #[error("bucket configuration: type {0} is not supported")]
    UnknownType(String),
    #[error("bucket configuration: type {0} is not built yet, S3 and FILESYSTEM are")]
    NotBuilt(&'static str),
    #[error("bucket configuration: key `{key}`: {reason}")]
    Key { key: &'static str, reason: String },
    #[error("bucket configuration: found reference to unset environment variable {0:?}")]
    Unset(String),
    #[error("cannot open bucket folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot open bucket {bucket}")]
    Open {
        bucket: String,
        #[source]
        source: object_store::Error,
    },
}

/// Where a configuration is given: `--objstore.config` or `--objstore.config-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Inline(String),
    File(PathBuf),
}

impl Source {
    /// The text, environment references replaced.
    ///
    /// # Errors
    /// [`ConfigError`], when the file cannot be read or a variable is not set.
    pub fn text(&self) -> Result<String, ConfigError> {
        let text = match self {
            Self::Inline(text) => text.clone(),
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?
            }
        };
        env::expand(&text, |name| std::env::var(name).ok())
    }
}

/// What a bucket is.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub kind: Kind,
    /// Stands before every object's name, without slashes at its ends.
    pub prefix: String,
}

/// A kind of bucket with its keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Filesystem { directory: PathBuf },
    S3(Box<S3Config>),
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
    #[serde(default)]
    prefix: Option<String>,
}

/// The same document, read once its kind is known: unknown keys are errors where they stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<C> {
    #[serde(rename = "type")]
    _type: String,
    #[serde(rename = "prefix", default)]
    _prefix: Option<String>,
    config: Option<C>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filesystem {
    directory: PathBuf,
}

impl Config {
    /// The configuration of a folder.
    #[must_use]
    pub fn filesystem(directory: impl Into<PathBuf>) -> Self {
        Self {
            kind: Kind::Filesystem {
                directory: directory.into(),
            },
            prefix: String::new(),
        }
    }

    /// Reads and checks a configuration; `None` when nothing is configured (empty text, as in Thanos).
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(source: &Source) -> Result<Option<Self>, ConfigError> {
        let text = source.text()?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        Self::parse(&text).map(Some)
    }

    /// Checks a configuration whose environment references are already replaced.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column where the text is at fault.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let head: Head = yaml(text)?;
        let kind = match head.r#type.to_ascii_uppercase().as_str() {
            "FILESYSTEM" => Kind::Filesystem {
                directory: absolute(&settings::<Filesystem>(text)?.directory)?,
            },
            "S3" => Kind::S3(Box::new(settings::<S3Config>(text)?.checked()?)),
            other => return Err(no_such_type(other, &head.r#type)),
        };
        let prefix = head.prefix.unwrap_or_default();
        Ok(Self {
            kind,
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }

    /// What errors and metrics call the bucket.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Filesystem { directory } => format!("fs: {}", directory.display()),
            Kind::S3(s3) => s3.bucket.clone(),
        }
    }
}

fn no_such_type(upper: &str, written: &str) -> ConfigError {
    match NOT_BUILT.iter().find(|name| **name == upper) {
        Some(name) => ConfigError::NotBuilt(name),
        None => ConfigError::UnknownType(written.to_owned()),
    }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    serde_yaml::from_str(text).map_err(|error| ConfigError::Yaml(error.to_string()))
}

fn settings<C: DeserializeOwned>(text: &str) -> Result<C, ConfigError> {
    yaml::<Document<C>>(text)?.config.ok_or(ConfigError::Key {
        key: "config",
        reason: "missing".to_owned(),
    })
}

fn absolute(directory: &Path) -> Result<PathBuf, ConfigError> {
    if directory.as_os_str().is_empty() {
        return Err(ConfigError::Key {
            key: "directory",
            reason: "missing".to_owned(),
        });
    }
    std::path::absolute(directory).map_err(|source| ConfigError::Folder {
        path: directory.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
