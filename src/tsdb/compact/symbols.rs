//! The symbols of several blocks as those of one: sorted, each once, in a file that is mapped, since a large block has
//! millions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::block::WriteError;
use crate::corrupt::Corrupt;
use crate::cursor::put_uvarint;
use crate::header::symbols::SymbolTable;
use crate::index::{HEAD, IndexError, Version};

use super::CompactError;
use super::scan::SymbolScan;

/// A block's symbols as those of the block that is made.
#[derive(Debug)]
pub(super) enum SymbolMap {
    /// By ordinal.
    V2(Vec<u32>),
    /// By place in the index.
    V1(HashMap<u32, u32, foldhash::fast::RandomState>),
}

impl SymbolMap {
    fn new(version: Version) -> Self {
        match version {
            Version::V2 => Self::V2(Vec::new()),
            Version::V1 => Self::V1(HashMap::default()),
        }
    }

    fn push(&mut self, place: u64, merged: u32) {
        match self {
            Self::V2(ordinals) => ordinals.push(merged),
            Self::V1(places) => {
                places.insert(place as u32, merged);
            }
        }
    }

    pub(super) fn get(&self, symbol: u32) -> Option<u32> {
        match self {
            Self::V2(ordinals) => ordinals.get(symbol as usize).copied(),
            Self::V1(places) => places.get(&symbol).copied(),
        }
    }
}

/// The symbols of the block that is made.
#[derive(Debug)]
pub(super) struct Symbols {
    table: SymbolTable,
    path: PathBuf,
    bytes: bytes::Bytes,
}

impl Symbols {
    /// The section of an index.
    pub(super) fn section(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn text(&self, symbol: u32) -> Result<&str, Corrupt> {
        self.table.get(symbol)
    }
}

impl Drop for Symbols {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Merges the symbols of blocks into a file in `folder`; returns also what each block's symbols became.
pub(super) fn merge(
    sources: &[(PathBuf, Version)],
    folder: &Path,
) -> Result<(Symbols, Vec<SymbolMap>), CompactError> {
    let path = folder.join("symbols.tmp");
    let failed = |source: io::Error| {
        CompactError::Write(WriteError::Files {
            block: folder.to_owned(),
            source,
        })
    };
    let mut out = Section::create(&path).map_err(failed)?;
    let mut maps: Vec<_> = sources.iter().map(|(_, v)| SymbolMap::new(*v)).collect();
    let mut scans = Vec::with_capacity(sources.len());
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (at, (source, _)) in sources.iter().enumerate() {
        let mut scan = SymbolScan::open(source)?;
        let mut text = Vec::new();
        if let Some(place) = scan.next(&mut text)? {
            heads.push(Reverse((text, at, place)));
        }
        scans.push(scan);
    }
    let (mut last, mut ordinal, mut any) = (Vec::new(), 0u32, false);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((text, at, place)) = &mut *head;
        if !any || last != *text {
            ordinal = if any { ordinal + 1 } else { 0 };
            out.push(text).map_err(failed)?;
            any = true;
            last.clone_from(text);
        }
        maps[*at].push(*place, ordinal);
        let before = last.as_slice();
        match scans[*at].next(text)? {
            Some(next) if text.as_slice() > before => *place = next,
            Some(_) => {
                return Err(CompactError::Unsound {
                    path: sources[*at].0.join("index"),
                    what: format!(
                        "symbol {:?} is not after the one before",
                        String::from_utf8_lossy(text)
                    ),
                });
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
    }
    let bytes = out.finish(&path).map_err(failed)?;
    let damaged = |source| {
        CompactError::Block(crate::block::BlockError::Damaged {
            path: path.clone(),
            source,
        })
    };
    let table = SymbolTable::load(Version::V2, HEAD, HEAD, bytes.clone()).map_err(damaged)?;
    Ok((Symbols { table, path, bytes }, maps))
}

/// The section of symbols being written.
struct Section {
    out: BufWriter<File>,
    count: u32,
    length: u64,
    crc: u32,
    head: Vec<u8>,
}

impl Section {
    fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(64 << 10, File::create(path)?);
        out.write_all(&[0; 8])?;
        Ok(Self {
            out,
            count: 0,
            length: 0,
            crc: 0,
            head: Vec::new(),
        })
    }

    fn push(&mut self, symbol: &[u8]) -> io::Result<()> {
        self.head.clear();
        put_uvarint(&mut self.head, symbol.len() as u64);
        for part in [self.head.as_slice(), symbol] {
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.out.write_all(part)?;
            self.length += part.len() as u64;
        }
        self.count += 1;
        Ok(())
    }

    /// Fills in the length, and maps the file.
    fn finish(mut self, path: &Path) -> io::Result<bytes::Bytes> {
        let too_large = |_| io::Error::other(IndexError::TooLarge("symbols"));
        let length = u32::try_from(self.length + 4).map_err(too_large)?;
        let count = self.count.to_be_bytes();
        let content = usize::try_from(self.length).map_err(io::Error::other)?;
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&count), self.crc, content);
        self.out.write_all(&crc.to_be_bytes())?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&count)?;
        self.out.flush()?;
        crate::header::map(path)
    }
}
