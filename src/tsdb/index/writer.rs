//! Writes version 2, byte for byte as Prometheus's writer does: without label indices, whose places in the table of contents are
//! where they would be.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use crate::cursor::{put_slice, put_uvarint};
use crate::postings::Postings;

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

/// An index in the making: all symbols first, then series in label order.
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: Counted<W>,
    toc: Toc,
    symbols: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// By the symbols of name and value, which sort as their texts do.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    /// Symbols of the series before.
    last: Vec<(u32, u32)>,
    last_chunk: u64,
    largest_series: u64,
    entry: SeriesEntry,
    buffer: Vec<u8>,
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
        let mut out = Counted { out, position: 0 };
        out.write(&MAGIC.to_be_bytes())?;
        out.write(&[Version::V2.as_byte()])?;
        let symbols = write_symbols(&mut out, symbols)?;
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
            symbols,
            postings: BTreeMap::new(),
            all: Vec::new(),
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
    /// [`IndexError`].
    pub fn add<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        let shown = || show(labels.clone());
        self.entry.labels.clear();
        for (name, value) in labels.clone() {
            let pair = (self.symbol(name)?, self.symbol(value)?);
            self.entry.labels.push(pair);
        }
        if !self.entry.labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(IndexError::LabelOrder(shown()));
        }
        if !self.all.is_empty() && self.entry.labels <= self.last {
            return Err(IndexError::SeriesOrder(shown()));
        }
        self.check_chunks(chunks)
            .ok_or_else(|| IndexError::ChunkOrder(shown()))?;
        self.entry.chunks.clear();
        self.entry.chunks.extend_from_slice(chunks);
        self.write_series()
    }

    fn symbol(&self, text: &str) -> Result<u32, IndexError> {
        let found = self.symbols.get(text).copied();
        found.ok_or_else(|| IndexError::UnknownSymbol(text.to_owned()))
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
        for pair in &self.entry.labels {
            self.postings.entry(*pair).or_default().push(series);
        }
        self.all.push(series);
        self.last.clone_from(&self.entry.labels);
        Ok(())
    }

    /// Writes the rest, and gives the output back, which is not flushed.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn finish(mut self) -> Result<(W, Written), IndexError> {
        self.toc.label_indices = self.out.position;
        self.toc.postings = self.out.position;
        let mut texts = vec![""; self.symbols.len()];
        for (text, symbol) in &self.symbols {
            texts[*symbol as usize] = text;
        }
        self.out.pad(POSTINGS_ALIGN)?;
        // The first list is that of all series, under the empty name and value.
        let mut table = Table::default();
        table.add("", "", self.out.position);
        self.buffer.clear();
        Postings::encode(self.all.iter().copied(), &mut self.buffer);
        self.out.write(&self.buffer)?;
        for ((name, value), series) in &self.postings {
            table.add(
                texts[*name as usize],
                texts[*value as usize],
                self.out.position,
            );
            self.buffer.clear();
            Postings::encode(series.iter().copied(), &mut self.buffer);
            self.out.write(&self.buffer)?;
        }
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

fn write_symbols<'a, W: Write>(
    out: &mut Counted<W>,
    symbols: impl IntoIterator<Item = &'a str>,
) -> Result<HashMap<Box<str>, u32, foldhash::fast::RandomState>, IndexError> {
    let mut known = HashMap::default();
    let mut content = vec![0; 4];
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
        put_slice(&mut content, symbol.as_bytes());
        last = Some(symbol);
    }
    content[..4].copy_from_slice(&(known.len() as u32).to_be_bytes());
    out.write_section("symbols", &content)?;
    Ok(known)
}

/// The postings offset table.
#[derive(Default)]
struct Table {
    count: u32,
    lines: Vec<u8>,
}

impl Table {
    fn add(&mut self, name: &str, value: &str, offset: u64) {
        self.count += 1;
        put_uvarint(&mut self.lines, 2);
        put_slice(&mut self.lines, name.as_bytes());
        put_slice(&mut self.lines, value.as_bytes());
        put_uvarint(&mut self.lines, offset);
    }

    fn write<W: Write>(self, out: &mut Counted<W>) -> Result<(), IndexError> {
        let mut content = self.count.to_be_bytes().to_vec();
        content.extend_from_slice(&self.lines);
        out.write_section("postings offset table", &content)
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
        let missing = self.position.next_multiple_of(align) - self.position;
        self.write(&vec![0; missing as usize])
    }

    fn write_section(&mut self, part: &'static str, content: &[u8]) -> Result<(), IndexError> {
        let length = u32::try_from(content.len()).map_err(|_| IndexError::TooLarge(part))?;
        self.write(&length.to_be_bytes())?;
        self.write(content)?;
        self.write(&crc32c::crc32c(content).to_be_bytes())
    }
}
