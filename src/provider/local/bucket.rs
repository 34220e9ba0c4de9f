//! `local.bucket`: a folder that stands for an object store's bucket, its files for objects.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Attributes, Value};

use super::{off_thread, renamed};
use crate::properties::{Properties, check_name};

pub(super) const KIND: Kind = Kind {
    name: "local.bucket",
    properties: &["name", "force_destroy"],
    computed: &["dir"],
};

fn folder(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("buckets").join(name)
}

pub(super) fn plan(request: &PlanRequest<'_>, data_dir: &Path) -> Result<Planned, ProviderError> {
    let properties = Properties(request.properties);
    properties.boolean("force_destroy", false)?;
    let name = properties.required("name")?;
    name.map_or(Ok(()), |name| check_name("name", name, true))?;
    let dir = match name {
        Some(name) => super::path_value(&folder(data_dir, name)),
        None => Value::unknown(format!("{}.dir", request.address)),
    };
    let mut attributes = request.properties.clone();
    attributes.insert("dir".into(), dir);
    Ok(Planned::Attributes {
        attributes,
        replace: renamed(request, "name", "a bucket cannot be renamed"),
    })
}

pub(super) fn read(
    data_dir: &Path,
    prior: &Attributes,
) -> Result<Option<Attributes>, ProviderError> {
    let name = Properties(prior).required("name")?.unwrap_or_default();
    let dir = folder(data_dir, name);
    if !dir.is_dir() {
        return Ok(None);
    }
    let mut attributes = prior.clone();
    attributes.insert("dir".into(), super::path_value(&dir));
    Ok(Some(attributes))
}

/// Adopts a folder that is there.
pub(super) fn create(data_dir: &Path, planned: &Attributes) -> Result<Attributes, ProviderError> {
    let name = Properties(planned).required("name")?.unwrap_or_default();
    check_name("name", name, true)?;
    let dir = folder(data_dir, name);
    fs::create_dir_all(&dir).map_err(|error| {
        ProviderError::new(format!("cannot make the folder {}", dir.display())).source(error)
    })?;
    let mut attributes = planned.clone();
    attributes.insert("dir".into(), super::path_value(&dir));
    Ok(attributes)
}

pub(super) async fn delete(data_dir: &Path, prior: &Attributes) -> Result<(), ProviderError> {
    let properties = Properties(prior);
    let name = properties.required("name")?.unwrap_or_default().to_owned();
    check_name("name", &name, true)?;
    let force = properties.boolean("force_destroy", false)?;
    let dir = folder(data_dir, &name);
    off_thread(move || remove(&name, &dir, force)).await
}

fn remove(name: &str, dir: &Path, force: bool) -> Result<(), ProviderError> {
    let failed = |error: io::Error| {
        let message = format!("cannot remove bucket {name:?} at {}", dir.display());
        ProviderError::new(message).source(error)
    };
    let objects = match objects(dir) {
        Ok(objects) => objects,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if objects > 0 && !force {
        return Err(refusal(name, dir, objects));
    }
    fs::remove_dir_all(dir).map_err(failed)?;
    super::remove_if_empty(dir.parent());
    Ok(())
}

fn refusal(name: &str, dir: &Path, objects: u64) -> ProviderError {
    let noun = if objects == 1 { "object" } else { "objects" };
    ProviderError::new(format!(
        "bucket {name:?} is not empty: it holds {objects} {noun}"
    ))
    .property("force_destroy")
    .help(format!(
        "set `force_destroy: true` on it and apply, then destroy; or empty {} yourself",
        dir.display()
    ))
}

/// The files below a folder.
fn objects(dir: &Path) -> io::Result<u64> {
    let (mut count, mut folders) = (0, vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    Ok(count)
}
