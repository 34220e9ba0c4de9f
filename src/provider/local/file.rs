//! `local.file`: a file with a content and a mode, written to a temporary name, synced, renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Attributes, Secret, Value};

use super::renamed;
use crate::properties::{Properties, sha256, wrong};

pub(super) const KIND: Kind = Kind {
    name: "local.file",
    properties: &["path", "content", "mode"],
    computed: &["sha256"],
};

const MODE: u32 = 0o644;
/// Of a file with a secret in it.
const SECRET_MODE: u32 = 0o600;

pub(super) fn plan(request: &PlanRequest<'_>, data_dir: &Path) -> Result<Planned, ProviderError> {
    let properties = Properties(request.properties);
    properties
        .required("path")?
        .map_or(Ok(()), |path| check_path(data_dir, path))?;
    let content = content(properties)?;
    let mode = mode(properties, content)?;
    let unknown = |name: &str| Value::unknown(format!("{}.{name}", request.address));
    let mut attributes = request.properties.clone();
    attributes.insert("mode".into(), mode.map_or_else(|| unknown("mode"), octal));
    attributes.insert(
        "sha256".into(),
        content.map_or_else(|| unknown("sha256"), hash),
    );
    let replace = renamed(request, "path", "a file is where it is");
    Ok(Planned::Attributes {
        attributes,
        replace,
    })
}

/// The content, `None` while it is unknown. Empty is a content.
fn content(properties: Properties<'_>) -> Result<Option<&Value>, ProviderError> {
    match properties.get("content") {
        None => Err(ProviderError::new("`content` is missing").property("content")),
        Some(Value::Unknown(_)) => Ok(None),
        Some(value @ (Value::String(_) | Value::Secret(_))) => Ok(Some(value)),
        Some(value) => Err(wrong("content", "a string", value)),
    }
}

/// The mode as written, else by what is in the file; `None` while that is unknown.
fn mode(properties: Properties<'_>, content: Option<&Value>) -> Result<Option<u32>, ProviderError> {
    if properties.waits("mode") {
        return Ok(None);
    }
    let Some(text) = properties.text("mode")? else {
        let default = |content: &Value| match content {
            Value::Secret(_) => SECRET_MODE,
            _ => MODE,
        };
        return Ok(content.map(default));
    };
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    mode.map(Some).ok_or_else(|| {
        let message = format!("`mode` is {text:?}, and no file mode");
        ProviderError::new(message)
            .property("mode")
            .help("write octal digits in quotes: \"0644\"")
    })
}

fn octal(mode: u32) -> Value {
    format!("{mode:04o}").into()
}

/// The hash of a secret is secret: short ones could be guessed from it.
fn hash(content: &Value) -> Value {
    let hash = sha256(content.as_text().unwrap_or_default().as_bytes());
    match content {
        Value::Secret(_) => Value::Secret(Secret::new(hash)),
        _ => hash.into(),
    }
}

fn check_path(data_dir: &Path, path: &str) -> Result<(), ProviderError> {
    if data_dir.join(path).file_name().is_some() && !path.ends_with('/') {
        return Ok(());
    }
    Err(ProviderError::new(format!("`path` is {path:?}, and no file's")).property("path"))
}

fn path_of(data_dir: &Path, attributes: &Attributes) -> Result<PathBuf, ProviderError> {
    Ok(data_dir.join(Properties(attributes).required("path")?.unwrap_or_default()))
}

/// The attributes with what is really in the file: an edited one differs from its module.
pub(super) fn read(
    data_dir: &Path,
    prior: &Attributes,
) -> Result<Option<Attributes>, ProviderError> {
    let path = path_of(data_dir, prior)?;
    let (bytes, mode) = match contents(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", &path, error)),
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let content = match prior.get("content") {
        Some(Value::Secret(_)) => Value::Secret(Secret::new(text)),
        _ => Value::String(text),
    };
    let mut attributes = prior.clone();
    attributes.insert("sha256".into(), hash(&content));
    attributes.insert("content".into(), content);
    attributes.insert("mode".into(), octal(mode));
    Ok(Some(attributes))
}

fn contents(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let bytes = fs::read(path)?;
    Ok((bytes, fs::metadata(path)?.permissions().mode() & 0o7777))
}

/// Writes the file, over whatever is there.
pub(super) fn create(data_dir: &Path, planned: &Attributes) -> Result<Attributes, ProviderError> {
    let properties = Properties(planned);
    let path = path_of(data_dir, planned)?;
    check_path(data_dir, path.to_str().unwrap_or_default())?;
    let content = content(properties)?.cloned().unwrap_or_default();
    let mode = mode(properties, Some(&content))?.unwrap_or(MODE);
    write(
        &path,
        content.as_text().unwrap_or_default().as_bytes(),
        mode,
    )
    .map_err(|error| cannot("write", &path, error))?;
    let mut attributes = planned.clone();
    attributes.insert("mode".into(), octal(mode));
    attributes.insert("sha256".into(), hash(&content));
    Ok(attributes)
}

/// Whole or not at all, even if the machine stops in between.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let unfinished = unfinished(path);
    remove(&unfinished)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(&unfinished)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = remove(&unfinished);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// Where a file is before it is whole: always the same name beside it, so that what a killed run left is found again.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash: String = sha256(name.as_bytes()).chars().take(16).collect();
    path.with_file_name(format!(".tks-{hash}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn delete(data_dir: &Path, prior: &Attributes) -> Result<(), ProviderError> {
    let path = path_of(data_dir, prior)?;
    for file in [&path, &unfinished(&path)] {
        remove(file).map_err(|error| cannot("remove", file, error))?;
    }
    super::remove_empty_parents(&path, data_dir);
    Ok(())
}

fn cannot(act: &str, path: &Path, error: io::Error) -> ProviderError {
    ProviderError::new(format!("cannot {act} {}", path.display()))
        .property("path")
        .source(error)
}
