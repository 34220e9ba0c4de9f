//! Hard links to a block's files, which stay when Prometheus deletes the block.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use tsdb::Ulid;
use tsdb::meta::{File, FileHash};

use super::{CHUNKS, Hash, INDEX, META, ShipError, block_dir};

/// A file's name, when it is a segment of chunks.
pub(super) fn segment(file: &File) -> Option<&str> {
    file.rel_path.strip_prefix(CHUNKS)?.strip_prefix('/')
}

/// A staged block; its links are removed when it is dropped.
#[derive(Debug)]
pub(super) struct Staged {
    id: Ulid,
    dir: PathBuf,
    files: Vec<File>,
}

impl Staged {
    /// Links the chunks and the index of a block to `<tsdb>/thanos/upload/<ULID>`. What an earlier,
    /// killed run left there goes first.
    pub(super) fn link(tsdb: &Path, id: Ulid, hash: Hash) -> Result<Self, ShipError> {
        let dir = block_dir(&tsdb.join("thanos/upload"), id);
        let mut staged = Self {
            id,
            dir: dir.clone(),
            files: Vec::new(),
        };
        let block = block_dir(tsdb, id);
        let linked = link_files(&block, &dir).and_then(|()| listed(&dir, hash));
        staged.files = linked.map_err(|source| ShipError::Stage {
            block: id,
            path: dir,
            source,
        })?;
        Ok(staged)
    }

    pub(super) fn id(&self) -> Ulid {
        self.id
    }

    /// Chunks, index and meta, by path.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn path(&self, file: &File) -> PathBuf {
        self.dir.join(&file.rel_path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Left-overs are removed when the block is staged again.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn link_files(block: &Path, staged: &Path) -> io::Result<()> {
    match fs::remove_dir_all(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(staged.join(CHUNKS))?;
    for segment in fs::read_dir(block.join(CHUNKS))? {
        let segment = segment?;
        fs::hard_link(
            segment.path(),
            staged.join(CHUNKS).join(segment.file_name()),
        )?;
    }
    fs::hard_link(block.join(INDEX), staged.join(INDEX))
}

pub(crate) fn listed(dir: &Path, hash: Hash) -> io::Result<Vec<File>> {
    let mut paths = vec![INDEX.to_owned()];
    for segment in fs::read_dir(dir.join(CHUNKS))? {
        let name = segment?.file_name().into_string();
        let name = name.map_err(|_| io::Error::other("a segment's name is not text"))?;
        paths.push(format!("{CHUNKS}/{name}"));
    }
    paths.sort();
    let described = paths.into_iter().map(|path| described(dir, path, hash));
    let mut files = described.collect::<io::Result<Vec<_>>>()?;
    files.push(File {
        rel_path: META.to_owned(),
        size_bytes: 0,
        hash: None,
    });
    Ok(files)
}

fn described(dir: &Path, rel_path: String, hash: Hash) -> io::Result<File> {
    let path = dir.join(&rel_path);
    Ok(File {
        size_bytes: fs::metadata(&path)?.len(),
        hash: match hash {
            Hash::None => None,
            Hash::Sha256 => Some(FileHash {
                function: "SHA256".to_owned(),
                value: sha256(&path)?,
            }),
        },
        rel_path,
    })
}

pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let hex = |byte: &u8| format!("{byte:02x}");
    Ok(context.finish().as_ref().iter().map(hex).collect())
}
