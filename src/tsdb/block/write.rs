//! Writes a block: chunks as they come, the index and `meta.json` at the end, all in a folder of another name that is renamed when
//! it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use model::{Labels, Symbols};

use crate::Ulid;
use crate::chunk::{Encoding, XorAppender};
use crate::durable;
use crate::index::{ChunkMeta, IndexError, IndexWriter};
use crate::meta::{IndexStats, Meta, MetaError};
use crate::segment::SegmentWriter;
use crate::tombstone::Tombstones;

/// Samples of a chunk, as Prometheus cuts them.
const SAMPLES_PER_CHUNK: usize = 120;

/// Why a block cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write block {block}")]
    Files {
        block: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the index of block {block}")]
    Index {
        block: PathBuf,
        #[source]
        source: IndexError,
    },
    #[error(transparent)]
    Meta(#[from] MetaError),
}

/// A chunk that is ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct EncodedChunk<'a> {
    /// Of its first sample.
    pub mint: i64,
    /// Of its last sample.
    pub maxt: i64,
    pub samples: u64,
    /// As a segment's encoding byte.
    pub encoding: u8,
    pub data: &'a [u8],
}

/// A block in the making.
#[derive(Debug)]
pub struct BlockWriter {
    folder: PathBuf,
    temporary: PathBuf,
    segments: SegmentWriter,
    symbols: Symbols,
    series: Vec<(Labels, Vec<ChunkMeta>)>,
    meta: Meta,
}

impl BlockWriter {
    /// Begins block `id` in `parent`.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn create(parent: &Path, id: Ulid) -> Result<Self, WriteError> {
        let folder = parent.join(id.to_string());
        let temporary = folder.with_added_extension("tmp-for-creation");
        let segments = SegmentWriter::create(&temporary).map_err(|source| WriteError::Files {
            block: folder.clone(),
            source,
        })?;
        Ok(Self {
            folder,
            temporary,
            segments,
            symbols: Symbols::new(),
            series: Vec::new(),
            meta: Meta::new(id, i64::MAX, i64::MIN),
        })
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError::Files {
            block: self.folder.clone(),
            source,
        }
    }

    /// Adds a series, in label order after the ones before, with its chunks in time order.
    ///
    /// # Errors
    /// [`WriteError`]; wrong order is found at the end.
    pub fn add<'a, 'b>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        chunks: impl IntoIterator<Item = EncodedChunk<'b>>,
    ) -> Result<(), WriteError> {
        let labels = Labels::from_pairs(labels, &self.symbols);
        let mut written = Vec::new();
        for chunk in chunks {
            let place = self
                .segments
                .push(chunk.encoding, chunk.data)
                .map_err(|source| self.failed(source))?;
            written.push(ChunkMeta {
                mint: chunk.mint,
                maxt: chunk.maxt,
                chunk: place,
            });
            self.count(&chunk);
        }
        self.meta.stats.num_series += 1;
        self.series.push((labels, written));
        Ok(())
    }

    fn count(&mut self, chunk: &EncodedChunk<'_>) {
        let meta = &mut self.meta;
        meta.min_time = meta.min_time.min(chunk.mint);
        meta.max_time = meta.max_time.max(chunk.maxt.saturating_add(1));
        meta.stats.num_chunks += 1;
        meta.stats.num_samples += chunk.samples;
        match Encoding::from_byte(chunk.encoding) {
            Ok(Encoding::Xor | Encoding::Xor2) => meta.stats.num_float_samples += chunk.samples,
            Ok(_) => meta.stats.num_histogram_samples += chunk.samples,
            // Aggregates are counted by neither.
            Err(_) => {}
        }
    }

    /// Adds a series of floats, cut into chunks of 120 samples.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn add_floats<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: &[(i64, f64)],
    ) -> Result<(), WriteError> {
        let encode = |part: &[(i64, f64)]| {
            let mut appender = XorAppender::new();
            part.iter().for_each(|(t, v)| appender.push(*t, *v));
            appender.finish()
        };
        let parts = || samples.chunks(SAMPLES_PER_CHUNK);
        let encoded: Vec<Vec<u8>> = parts().map(encode).collect();
        let chunks = parts().zip(&encoded).map(|(part, data)| EncodedChunk {
            mint: part[0].0,
            maxt: part[part.len() - 1].0,
            samples: part.len() as u64,
            encoding: Encoding::Xor.as_byte(),
            data,
        });
        self.add(labels, chunks)
    }

    /// The `meta.json` that will be written, to be completed.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// Writes the rest, and gives the block its name.
    ///
    /// # Errors
    /// [`WriteError`]; then there is no block.
    pub fn finish(self) -> Result<Meta, WriteError> {
        let (folder, temporary) = (self.folder.clone(), self.temporary.clone());
        let outcome = self.write_rest();
        let outcome = outcome.and_then(|meta| {
            durable::rename(&temporary, &folder)
                .map(|()| meta)
                .map_err(|source| WriteError::Files {
                    block: folder,
                    source,
                })
        });
        if outcome.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        outcome
    }

    fn write_rest(mut self) -> Result<Meta, WriteError> {
        let block = self.folder.clone();
        let failed = |source| WriteError::Files {
            block: block.clone(),
            source,
        };
        let (_, largest_chunk) = self.segments.finish().map_err(failed)?;
        let index = self.temporary.join("index");
        let written = write_index(&index, &self.symbols, &self.series).map_err(|source| {
            WriteError::Index {
                block: block.clone(),
                source,
            }
        })?;
        let tombstones = Tombstones::default().encode();
        durable::write(&self.temporary.join(Tombstones::FILE), &tombstones).map_err(failed)?;
        if self.series.is_empty() {
            (self.meta.min_time, self.meta.max_time) = (0, 0);
        }
        if let Some(thanos) = &mut self.meta.thanos {
            thanos.index_stats = IndexStats {
                series_max_size: written,
                chunk_max_size: largest_chunk,
            };
        }
        self.meta.write(&self.temporary)?;
        Ok(self.meta)
    }
}

/// Returns the bytes of the largest series.
fn write_index(
    path: &Path,
    symbols: &Symbols,
    series: &[(Labels, Vec<ChunkMeta>)],
) -> Result<u64, IndexError> {
    let mut texts: Vec<&str> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter(symbols))
        .flat_map(|(name, value)| [name, value])
        .collect();
    texts.sort_unstable();
    texts.dedup();
    let file = BufWriter::with_capacity(1 << 18, File::create(path)?);
    let mut index = IndexWriter::new(file, texts)?;
    for (labels, chunks) in series {
        let pairs: Vec<(&str, &str)> = labels.iter(symbols).collect();
        index.add(pairs.iter().copied(), chunks)?;
    }
    let (file, written) = index.finish()?;
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(written.largest_series)
}
