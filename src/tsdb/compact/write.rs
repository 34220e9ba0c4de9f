//! The threads, and what the last of them writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use model::Cancel;

use crate::block::WriteError;
use crate::chunk::Encoding;
use crate::index::{ChunkMeta, IndexError, Series, SymbolicWriter};
use crate::meta::{Meta, Stats};
use crate::segment::SegmentWriter;
use crate::{durable, segment};

use super::batch::{Batch, ToWrite};
use super::error::{CompactError, MergeError};
use super::piece::Piece;
use super::read::{Reader, Source};
use super::symbols::{self, Symbols};
use super::{Health, Options};

/// A block that is to be made.
pub(super) struct Job<'j> {
    pub(super) parent: &'j Path,
    pub(super) meta: Meta,
    pub(super) options: &'j Options,
    pub(super) cancel: &'j Cancel,
}

impl Job<'_> {
    /// Reads `sources`, calls `work` with the chunks of each series, and writes what it gives.
    pub(super) fn run<S>(
        self,
        sources: Vec<Source>,
        range: Option<(i64, i64)>,
        scratch: impl Fn() -> S + Sync,
        work: impl for<'a> Fn(&mut S, Vec<Vec<Piece<'a>>>) -> Result<Vec<Piece<'a>>, MergeError> + Sync,
    ) -> Result<Option<Meta>, CompactError> {
        let folder = self.parent.join(self.meta.ulid.to_string());
        let temporary = folder.with_added_extension("tmp-for-creation");
        let failed = |source| WriteError::Files {
            block: folder.clone(),
            source,
        };
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(failed)?;
        }
        fs::create_dir_all(&temporary).map_err(failed)?;
        let outcome = self.write(&temporary, &folder, sources, range, scratch, work);
        let outcome = outcome.and_then(|meta| match meta {
            Some(meta) => {
                durable::rename(&temporary, &folder).map_err(failed)?;
                Ok(Some(meta))
            }
            None => Ok(None),
        });
        if !matches!(outcome, Ok(Some(_))) {
            let _ = fs::remove_dir_all(&temporary);
        }
        outcome
    }

    fn write<S>(
        self,
        temporary: &Path,
        folder: &Path,
        sources: Vec<Source>,
        range: Option<(i64, i64)>,
        scratch: impl Fn() -> S + Sync,
        work: impl for<'a> Fn(&mut S, Vec<Vec<Piece<'a>>>) -> Result<Vec<Piece<'a>>, MergeError> + Sync,
    ) -> Result<Option<Meta>, CompactError> {
        let folders: Vec<PathBuf> = sources.iter().map(|source| source.folder.clone()).collect();
        let versions: Vec<_> = sources
            .iter()
            .map(|source| (source.folder.clone(), source.version()))
            .collect();
        let (symbols, maps) = symbols::merge(&versions, temporary)?;
        let reader = Reader::new(sources, maps, range);
        let writer = Writer::create(temporary, folder, &symbols, self.options.segment_size)?;
        let work = |batch: &mut Batch, scratch: &mut S| {
            batch.work(&folders, |chunks| work(scratch, chunks))
        };
        let writer = Threads {
            workers: self.options.threads.max(1),
            cancel: self.cancel,
        }
        .run(reader, writer, scratch, work)?;
        let stats = writer.finish(&symbols)?;
        drop(symbols);
        if stats.num_samples == 0 {
            return Ok(None);
        }
        let mut meta = self.meta;
        meta.stats = match &meta.thanos {
            // As Thanos: the other numbers stay those of the block before.
            Some(_) => Stats {
                num_chunks: stats.num_chunks,
                num_samples: stats.num_samples,
                num_series: stats.num_series,
                ..meta.stats
            },
            None => stats,
        };
        let health = Health::of_index(temporary, meta.min_time, meta.max_time)?;
        if let Some(issue) = health.first_issue() {
            return Err(CompactError::Unsound {
                path: folder.join("index"),
                what: issue.to_string(),
            });
        }
        let thanos = meta.thanos.get_or_insert_default();
        thanos.index_stats = health.index_stats();
        thanos.segment_files = segment::names(temporary).map_err(|source| WriteError::Files {
            block: folder.to_owned(),
            source,
        })?;
        thanos.files.clear();
        thanos.upload_time = None;
        meta.write(temporary).map_err(WriteError::from)?;
        Ok(Some(meta))
    }
}

/// One thread reads, some work, one writes. Batches go round, so there are never more of them than there were at the start.
struct Threads<'c> {
    workers: usize,
    cancel: &'c Cancel,
}

/// Batches beside the ones that are worked on.
const SPARE: usize = 3;

impl Threads<'_> {
    fn run<S>(
        self,
        mut reader: Reader,
        mut writer: Writer,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut Batch, &mut S) -> Result<(), CompactError> + Sync,
    ) -> Result<Writer, CompactError> {
        let all = self.workers + SPARE;
        let (give_back, empty) = sync_channel::<Batch>(all);
        let (to_work, filled) = sync_channel::<Batch>(all);
        let (to_write, worked) = sync_channel::<Batch>(all);
        for _ in 0..all {
            let _ = give_back.send(Batch::default());
        }
        let filled = Arc::new(Mutex::new(filled));
        let failure = Failure::default();
        thread::scope(|scope| {
            for _ in 0..self.workers {
                let (filled, to_write) = (filled.clone(), to_write.clone());
                let (failure, scratch, work) = (&failure, &scratch, &work);
                scope.spawn(move || {
                    let mut scratch = scratch();
                    while let Some(mut batch) = receive(&filled) {
                        if let Err(error) = work(&mut batch, &mut scratch) {
                            return failure.tell(error);
                        }
                        if to_write.send(batch).is_err() {
                            return;
                        }
                    }
                });
            }
            drop((filled, to_write));
            let written = scope.spawn(|| {
                let outcome = write_in_order(worked, &give_back, &mut writer);
                // Whoever waits for a batch sees that there will be none.
                drop(give_back);
                outcome
            });
            let read = self.read(&mut reader, &empty, &to_work, &failure);
            drop(to_work);
            // Without these, a writer that waits for a place would wait forever.
            let written = written.join().map_err(|_| CompactError::Ended)?;
            failure.result()?;
            read.and(written)
        })?;
        Ok(writer)
    }

    fn read(
        &self,
        reader: &mut Reader,
        empty: &Receiver<Batch>,
        to_work: &SyncSender<Batch>,
        failure: &Failure,
    ) -> Result<(), CompactError> {
        let mut number = 0;
        // Both channels end when a thread has failed: its error is told.
        while !failure.is_told()
            && let Ok(mut batch) = empty.recv()
        {
            self.cancel.check()?;
            batch.clear();
            batch.number = number;
            reader.fill(&mut batch)?;
            if batch.is_empty() || to_work.send(batch).is_err() {
                break;
            }
            number += 1;
        }
        Ok(())
    }
}

/// The first error of a worker.
#[derive(Default)]
struct Failure(Mutex<Option<CompactError>>);

impl Failure {
    fn tell(&self, error: CompactError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    fn is_told(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn take(&self) -> Option<CompactError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn result(&self) -> Result<(), CompactError> {
        self.take().map_or(Ok(()), Err)
    }
}

fn receive(filled: &Mutex<Receiver<Batch>>) -> Option<Batch> {
    let filled = filled.lock().unwrap_or_else(PoisonError::into_inner);
    filled.recv().ok()
}

fn write_in_order(
    worked: Receiver<Batch>,
    give_back: &SyncSender<Batch>,
    writer: &mut Writer,
) -> Result<(), CompactError> {
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    for batch in worked {
        waiting.insert(batch.number, batch);
        while let Some(batch) = waiting.remove(&next) {
            writer.write(&batch)?;
            next += 1;
            // Nobody may want it any more.
            let _ = give_back.send(batch);
        }
    }
    if waiting.is_empty() {
        Ok(())
    } else {
        Err(CompactError::Ended)
    }
}

/// Writes segments and index.
struct Writer {
    folder: PathBuf,
    path: PathBuf,
    segments: SegmentWriter,
    index: SymbolicWriter<BufWriter<File>>,
    stats: Stats,
    metas: Vec<ChunkMeta>,
}

impl Writer {
    fn create(
        temporary: &Path,
        folder: &Path,
        symbols: &Symbols,
        segment_size: u64,
    ) -> Result<Self, CompactError> {
        let failed = |source| WriteError::Files {
            block: folder.to_owned(),
            source,
        };
        let segments = SegmentWriter::create(temporary).map_err(failed)?;
        let path = temporary.join("index");
        let file = File::create(&path).map_err(failed)?;
        let file = BufWriter::with_capacity(256 << 10, file);
        let index = SymbolicWriter::new(file, symbols.section(), Some(temporary.to_owned()));
        Ok(Self {
            folder: folder.to_owned(),
            path,
            segments: segments.cut_at(segment_size),
            index: index.map_err(|source| of_index(folder, source))?,
            stats: Stats::default(),
            metas: Vec::new(),
        })
    }

    fn write(&mut self, batch: &Batch) -> Result<(), CompactError> {
        batch
            .written(|labels, chunks, bytes, start| self.write_series(labels, chunks, bytes, start))
    }

    fn write_series(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[ToWrite],
        bytes: &[u8],
        mut start: usize,
    ) -> Result<(), CompactError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        for chunk in chunks {
            let frame = &bytes[start..chunk.end];
            start = chunk.end;
            let place = self.segments.push_frame(frame);
            let place = place.map_err(|source| WriteError::Files {
                block: self.folder.clone(),
                source,
            })?;
            self.metas.push(ChunkMeta {
                mint: chunk.mint,
                maxt: chunk.maxt,
                chunk: place,
            });
            self.count(chunk);
        }
        self.stats.num_series += 1;
        let series = Series {
            labels,
            chunks: &self.metas,
        };
        let added = self.index.add(series);
        Ok(added.map_err(|source| of_index(&self.folder, source))?)
    }

    fn count(&mut self, chunk: &ToWrite) {
        self.stats.num_chunks += 1;
        self.stats.num_samples += chunk.samples;
        match Encoding::from_byte(chunk.encoding) {
            Ok(Encoding::Xor) => self.stats.num_float_samples += chunk.samples,
            Ok(Encoding::Histogram | Encoding::FloatHistogram) => {
                self.stats.num_histogram_samples += chunk.samples;
            }
            _ => {}
        }
    }

    /// Writes the rest of the index; returns what was counted.
    fn finish(self, symbols: &Symbols) -> Result<Stats, CompactError> {
        let failed = |source| WriteError::Files {
            block: self.folder.clone(),
            source,
        };
        self.segments.finish().map_err(failed)?;
        let text = |symbol| {
            let text = symbols.text(symbol);
            text.map_err(|error| IndexError::Write(std::io::Error::other(error)))
        };
        let (file, _) = self
            .index
            .finish(text)
            .map_err(|source| of_index(&self.folder, source))?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        debug_assert!(self.path.is_file());
        Ok(self.stats)
    }
}

fn of_index(block: &Path, source: IndexError) -> WriteError {
    WriteError::Index {
        block: block.to_owned(),
        source,
    }
}
