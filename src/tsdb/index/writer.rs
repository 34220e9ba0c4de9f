//! Writes version 2, byte for byte as Prometheus's writer does: without label indices, whose places in the table of contents are
//! where they would be.

use std::collections::HashMap;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use tempfile::SpooledTempFile;

use crate::cursor::{put_slice, put_uvarint};

use super::log::{Pair, PostingsLog};
use super::{ChunkMeta, HEAD, MAGIC, SERIES_ALIGN, SeriesEntry, Toc, Version};

/// Prometheus's bound: what references of four bytes reach.
const MOST_BYTES: u64 = SERIES_ALIGN * u32::MAX as u64;
const POSTINGS_ALIGN: u64 = 4;

/// Why an index cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("cannot write the index")]
    Write(#[from] io::Error),
    #[error("symbol {0:?} is not after the one before")]
    SymbolOrder(String),
    #[error("{0:?} is not among the symbols")]
    UnknownSymbol(String),
    #[error("series {0} is not after the one before")]
    SeriesOrder(String),
    #[error("labels of series {0} are not in order")]
    LabelOrder(String),
    #[error("chunks of series {0} are not in order")]
    ChunkOrder(String),
    #[error("{0} is larger than the format allows")]
    TooLarge(&'static str),
}

impl IndexError {
    /// Says which series is not in order.
    #[must_use]
    pub fn of_series(self, text: impl FnOnce() -> String) -> Self {
        match self {
            Self::SeriesOrder(_) => Self::SeriesOrder(text()),
            Self::LabelOrder(_) => Self::LabelOrder(text()),
            Self::ChunkOrder(_) => Self::ChunkOrder(text()),
            other => other,
        }
    }
}

/// The ordinals of symbols.
type Ordinals = HashMap<Box<str>, u32, foldhash::fast::RandomState>;

/// An index in the making: all symbols first, then series in label order. Labels are texts; see [`SymbolicWriter`] for
/// those who know symbols.
#[derive(Debug)]
pub struct IndexWriter<W> {
    index: SymbolicWriter<W>,
    symbols: Ordinals,
    labels: Vec<Pair>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the whole index.
    pub size: u64,
    /// Bytes of the largest series.
    pub largest_series: u64,
}

impl<W: Write> IndexWriter<W> {
    /// Begins an index in `out`. `symbols` are all names and values of labels, sorted, each once.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn new<'a>(out: W, symbols: impl IntoIterator<Item = &'a str>) -> Result<Self, IndexError> {
        let (section, symbols) = symbol_section(symbols)?;
        Ok(Self {
            index: SymbolicWriter::new(out, &section, None)?,
            symbols,
            labels: Vec::new(),
        })
    }

    /// Adds a series: labels in order, after those of the series before; chunks in the order of time and of the segments.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn add<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        self.labels.clear();
        for (name, value) in labels.clone() {
            let pair = (self.symbol(name)?, self.symbol(value)?);
            self.labels.push(pair);
        }
        let series = Series {
            labels: &self.labels,
            chunks,
        };
        let outcome = self.index.add(series);
        outcome.map_err(|error| error.of_series(|| show(labels)))
    }

    fn symbol(&self, text: &str) -> Result<u32, IndexError> {
        let found = self.symbols.get(text).copied();
        found.ok_or_else(|| IndexError::UnknownSymbol(text.to_owned()))
    }

    /// Writes the rest, and gives the output back, which is not flushed.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn finish(self) -> Result<(W, Written), IndexError> {
        let mut texts = vec![""; self.symbols.len()];
        for (text, symbol) in &self.symbols {
            texts[*symbol as usize] = text;
        }
        self.index.finish(|symbol| Ok(texts[symbol as usize]))
    }
}

/// The section of symbols as it is written, and their ordinals.
fn symbol_section<'a>(
    symbols: impl IntoIterator<Item = &'a str>,
) -> Result<(Vec<u8>, Ordinals), IndexError> {
    let mut known = HashMap::default();
    let mut section = vec![0; 8];
    let mut last: Option<&str> = None;
    for symbol in symbols {
        if last.is_some_and(|last| last >= symbol) {
            return Err(IndexError::SymbolOrder(symbol.to_owned()));
        }
        let ordinal = u32::try_from(known.len());
        known.insert(
            symbol.into(),
            ordinal.map_err(|_| IndexError::TooLarge("symbols"))?,
        );
        put_slice(&mut section, symbol.as_bytes());
        last = Some(symbol);
    }
    let length = u32::try_from(section.len() - 4).map_err(|_| IndexError::TooLarge("symbols"))?;
    section[..4].copy_from_slice(&length.to_be_bytes());
    section[4..8].copy_from_slice(&(known.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c(&section[4..]);
    section.extend_from_slice(&crc.to_be_bytes());
    Ok((section, known))
}

/// A series as it is added: symbols of names and values, and chunks.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub labels: &'a [(u32, u32)],
    pub chunks: &'a [ChunkMeta],
}

/// An index in the making whose labels are symbols, which sort as their texts do.
#[derive(Debug)]
pub struct SymbolicWriter<W> {
    out: Counted<W>,
    toc: Toc,
    postings: PostingsLog,
    spill: Option<PathBuf>,
    series: u64,
    /// Symbols of the series before.
    last: Vec<Pair>,
    last_chunk: u64,
    largest_series: u64,
    entry: SeriesEntry,
    buffer: Vec<u8>,
}

/// All series have the label of no name and no value. Symbols are counted from one in the log, so it comes first.
const EVERY: Pair = (0, 0);

impl<W: Write> SymbolicWriter<W> {
    /// Begins an index in `out` with the section of symbols, length and checksum included. What does not fit memory goes
    /// to files in the folder `spill`, if there is one.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn new(out: W, symbols: &[u8], spill: Option<PathBuf>) -> Result<Self, IndexError> {
        let mut out = Counted { out, position: 0 };
        out.write(&MAGIC.to_be_bytes())?;
        out.write(&[Version::V2.as_byte()])?;
        out.write(symbols)?;
        let toc = Toc {
            symbols: HEAD,
            series: out.position,
            label_indices: 0,
            label_offset_table: 0,
            postings: 0,
            postings_offset_table: 0,
        };
        Ok(Self {
            out,
            toc,
            postings: PostingsLog::new(spill.clone()),
            spill,
            series: 0,
            last: Vec::new(),
            last_chunk: 0,
            largest_series: 0,
            entry: SeriesEntry::default(),
            buffer: Vec::new(),
        })
    }

    /// Adds a series: labels in order, after those of the series before; chunks in the order of time and of the segments.
    ///
    /// # Errors
    /// [`IndexError`], without the series' text: [`IndexError::of_series`] puts it in.
    pub fn add(&mut self, series: Series<'_>) -> Result<(), IndexError> {
        let Series { labels, chunks } = series;
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(IndexError::LabelOrder(String::new()));
        }
        if self.series > 0 && labels <= self.last.as_slice() {
            return Err(IndexError::SeriesOrder(String::new()));
        }
        self.check_chunks(chunks)
            .ok_or_else(|| IndexError::ChunkOrder(String::new()))?;
        self.entry.labels.clear();
        self.entry.labels.extend_from_slice(labels);
        self.entry.chunks.clear();
        self.entry.chunks.extend_from_slice(chunks);
        self.write_series()
    }

    /// `None` for chunks out of order.
    fn check_chunks(&mut self, chunks: &[ChunkMeta]) -> Option<()> {
        let mut last_chunk = self.last_chunk;
        let mut last_maxt = None;
        for chunk in chunks {
            let later = last_maxt.is_none_or(|last| chunk.mint > last);
            if chunk.chunk.0 < last_chunk || !later || chunk.maxt < chunk.mint {
                return None;
            }
            (last_chunk, last_maxt) = (chunk.chunk.0, Some(chunk.maxt));
        }
        self.last_chunk = last_chunk;
        Some(())
    }

    fn write_series(&mut self) -> Result<(), IndexError> {
        self.out.pad(SERIES_ALIGN)?;
        let series = u32::try_from(self.out.position / SERIES_ALIGN)
            .map_err(|_| IndexError::TooLarge("index"))?;
        self.buffer.clear();
        self.entry.encode(&mut self.buffer);
        self.largest_series = self.largest_series.max(self.buffer.len() as u64);
        self.out.write(&self.buffer)?;
        self.series += 1;
        self.last.clone_from(&self.entry.labels);
        for (name, value) in &mut self.entry.labels {
            (*name, *value) = (*name + 1, *value + 1);
        }
        self.entry.labels.insert(0, EVERY);
        Ok(self.postings.add(&self.entry.labels, series)?)
    }

    /// Writes the rest, and gives the output back, which is not flushed. `text` knows the texts of symbols.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn finish<'t>(
        mut self,
        text: impl Fn(u32) -> Result<&'t str, IndexError>,
    ) -> Result<(W, Written), IndexError> {
        self.toc.label_indices = self.out.position;
        self.toc.postings = self.out.position;
        self.out.pad(POSTINGS_ALIGN)?;
        let mut table = Table::new(self.spill);
        if self.series == 0 {
            table.add("", "", self.out.position)?;
            write_postings(&mut self.out, &mut self.buffer, &[])?;
        }
        self.postings.drain(|pair, series| {
            let (name, value) = match pair {
                EVERY => ("", ""),
                (name, value) => (text(name - 1)?, text(value - 1)?),
            };
            table.add(name, value, self.out.position)?;
            write_postings(&mut self.out, &mut self.buffer, series)
        })?;
        self.toc.label_offset_table = self.out.position;
        self.toc.postings_offset_table = self.out.position;
        table.write(&mut self.out)?;
        self.out.write(&self.toc.encode())?;
        let written = Written {
            size: self.out.position,
            largest_series: self.largest_series,
        };
        Ok((self.out.out, written))
    }
}

fn write_postings<W: Write>(
    out: &mut Counted<W>,
    buffer: &mut Vec<u8>,
    series: &[u32],
) -> Result<(), IndexError> {
    buffer.clear();
    crate::postings::Postings::encode(series.iter().copied(), buffer);
    out.write(buffer)
}

/// Lines of the postings offset table that are held in memory.
const MOST_TABLE: usize = 4 << 20;

/// The postings offset table.
struct Table {
    count: u32,
    lines: SpooledTempFile,
    length: u64,
    crc: u32,
    line: Vec<u8>,
}

impl Table {
    fn new(spill: Option<PathBuf>) -> Self {
        let lines = match spill {
            Some(folder) => tempfile::spooled_tempfile_in(MOST_TABLE, folder),
            None => SpooledTempFile::new(usize::MAX),
        };
        Self {
            count: 0,
            lines,
            length: 0,
            crc: 0,
            line: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, value: &str, offset: u64) -> Result<(), IndexError> {
        self.count += 1;
        self.line.clear();
        put_uvarint(&mut self.line, 2);
        put_slice(&mut self.line, name.as_bytes());
        put_slice(&mut self.line, value.as_bytes());
        put_uvarint(&mut self.line, offset);
        self.length += self.line.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, &self.line);
        Ok(self.lines.write_all(&self.line)?)
    }

    fn write<W: Write>(mut self, out: &mut Counted<W>) -> Result<(), IndexError> {
        let length = u32::try_from(self.length + 4)
            .map_err(|_| IndexError::TooLarge("postings offset table"))?;
        out.write(&length.to_be_bytes())?;
        let count = self.count.to_be_bytes();
        out.write(&count)?;
        self.lines.rewind()?;
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = self.lines.read(&mut piece)?;
            if read == 0 {
                break;
            }
            out.write(&piece[..read])?;
        }
        let length = usize::try_from(self.length).map_err(io::Error::other)?;
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&count), self.crc, length);
        out.write(&crc.to_be_bytes())
    }
}

fn show<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = labels.map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Counts what is written.
#[derive(Debug)]
struct Counted<W> {
    out: W,
    position: u64,
}

impl<W: Write> Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.position += bytes.len() as u64;
        if self.position > MOST_BYTES {
            return Err(IndexError::TooLarge("index"));
        }
        Ok(self.out.write_all(bytes)?)
    }

    fn pad(&mut self, align: u64) -> Result<(), IndexError> {
        const NOTHING: [u8; SERIES_ALIGN as usize] = [0; SERIES_ALIGN as usize];
        let missing = self.position.next_multiple_of(align) - self.position;
        self.write(&NOTHING[..missing as usize])
    }
}
