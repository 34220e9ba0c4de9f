//! Where a block's index header comes from: the data folder, else the bucket, by range reads.

use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use objstore::Bucket;
use tokio::sync::Mutex;
use tsdb::header::{Build, HeaderError, IndexHeader, IndexPieces};
use tsdb::index::{HEAD, Toc};

use super::error::ReadError;

/// Bytes of the index that are read at a time; several blocks read at once.
const PIECE: u64 = 256 << 10;
/// Bytes at the end of an index that are read first: they have its table of contents, and of a small one all that is
/// needed.
const TAIL: u64 = 64 << 10;

/// The header of one block, opened when it is first asked for.
#[derive(Debug)]
pub(crate) struct HeaderSlot {
    bucket: Bucket,
    /// The object that it is made of.
    index: String,
    /// The file that holds it; in memory when absent.
    file: Option<PathBuf>,
    open: Mutex<Option<Arc<IndexHeader>>>,
    made: Instant,
    /// Seconds from `made` to the last use.
    used: AtomicU64,
}

impl HeaderSlot {
    pub(crate) fn new(bucket: Bucket, index: String, file: Option<PathBuf>) -> Self {
        Self {
            bucket,
            index,
            file,
            open: Mutex::default(),
            made: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) async fn get(&self) -> Result<Arc<IndexHeader>, ReadError> {
        self.used
            .store(self.made.elapsed().as_secs(), Ordering::Relaxed);
        let mut open = self.open.lock().await;
        if let Some(header) = &*open {
            return Ok(header.clone());
        }
        let header = Arc::new(self.load().await?);
        *open = Some(header.clone());
        Ok(header)
    }

    /// Makes the file, if it is not there, without keeping it open.
    pub(crate) async fn download(&self) -> Result<(), ReadError> {
        match &self.file {
            Some(file) if file.is_file() => Ok(()),
            Some(file) => self.write(file.clone()).await,
            None => Ok(()),
        }
    }

    /// Closes a header that nobody used for `idle`. Requests that have it keep it.
    pub(crate) async fn close_idle(&self, idle: Duration) {
        let used = Duration::from_secs(self.used.load(Ordering::Relaxed));
        if self.made.elapsed().saturating_sub(used) >= idle {
            self.open.lock().await.take();
        }
    }

    async fn load(&self) -> Result<IndexHeader, ReadError> {
        let Some(file) = &self.file else {
            return self.in_memory().await;
        };
        match open(file.clone()).await {
            Ok(header) => return Ok(header),
            Err(HeaderError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let err = net::log::chain(&error);
                tracing::warn!(%err, file = %file.display(), "index header cannot be used, making it anew");
            }
        }
        self.write(file.clone()).await?;
        open(file.clone()).await.map_err(|error| failed(&error))
    }

    async fn in_memory(&self) -> Result<IndexHeader, ReadError> {
        let source = self.source().await?;
        let wrong = |source| failed(&HeaderError::ReadIndex(source));
        let mut build = Build::new(Vec::new(), &source.pieces).map_err(wrong)?;
        for range in source.pieces.ranges() {
            self.copy(&source, range, &mut build, wrong).await?;
        }
        let bytes = build.finish(Path::new("memory")).map_err(|e| failed(&e))?;
        IndexHeader::from_bytes(&Bytes::from(bytes)).map_err(|e| failed(&e))
    }

    /// Under another name, then renamed. It is not synced: what a crash leaves is seen by its checksums and made anew.
    async fn write(&self, file: PathBuf) -> Result<(), ReadError> {
        let source = self.source().await?;
        let temporary = file.with_extension("tmp");
        let wrong = |source| {
            let path = temporary.clone();
            failed(&HeaderError::Write { path, source })
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(wrong)?;
        }
        let out = BufWriter::new(File::create(&temporary).map_err(wrong)?);
        let mut build = Build::new(out, &source.pieces).map_err(wrong)?;
        for range in source.pieces.ranges() {
            self.copy(&source, range, &mut build, wrong).await?;
        }
        blocking(move || finish(build, &temporary, &file)).await
    }

    async fn source(&self) -> Result<Source, ReadError> {
        let read = self.bucket.get_tail(&self.index, TAIL).await;
        let (tail, size) = read.map_err(|e| self.unread(e))?;
        let corrupt = |source| ReadError::Corrupt {
            object: self.index.clone(),
            source,
        };
        let toc = tail.len().saturating_sub(Toc::LEN as usize);
        let symbols = Toc::parse(&tail[toc..], size)
            .map_err(corrupt)?
            .symbols_range();
        // The head, and the symbols that come next to it.
        let first = if tail.len() as u64 == size {
            tail.clone()
        } else {
            self.read(0, symbols.end.clamp(HEAD, PIECE)).await?
        };
        let head = &first[..first.len().min(HEAD as usize)];
        let pieces = IndexPieces::parse(head, &tail[toc..], size).map_err(corrupt)?;
        Ok(Source {
            pieces,
            first,
            tail,
        })
    }

    /// Pushes a range of the index, a piece at a time.
    async fn copy<W: std::io::Write>(
        &self,
        source: &Source,
        range: Range<u64>,
        build: &mut Build<W>,
        wrong: impl Fn(std::io::Error) -> ReadError,
    ) -> Result<(), ReadError> {
        let mut at = range.start;
        while at < range.end {
            let piece = match source.known(at..range.end) {
                Some(known) => known,
                None => self.read(at, range.end.min(at + PIECE)).await?,
            };
            build.push(&piece).map_err(&wrong)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    async fn read(&self, start: u64, end: u64) -> Result<Bytes, ReadError> {
        let read = self.bucket.get_range(&self.index, start..end).await;
        read.map_err(|source| self.unread(source))
    }

    fn unread(&self, source: objstore::Error) -> ReadError {
        let doing = "read index for its header";
        ReadError::Bucket { doing, source }
    }
}

/// An index that a header is made of, with what was read of it to begin with.
struct Source {
    pieces: IndexPieces,
    first: Bytes,
    tail: Bytes,
}

impl Source {
    /// What is known of the beginning of a range, if anything is.
    fn known(&self, range: Range<u64>) -> Option<Bytes> {
        let tail_at = self.pieces.size - self.tail.len() as u64;
        let (data, at) = if range.start < self.first.len() as u64 {
            (&self.first, 0)
        } else if range.start >= tail_at {
            (&self.tail, tail_at)
        } else {
            return None;
        };
        let place = |byte: u64| {
            usize::try_from(byte - at)
                .unwrap_or(usize::MAX)
                .min(data.len())
        };
        Some(data.slice(place(range.start)..place(range.end)))
    }
}

fn finish(build: Build<BufWriter<File>>, temporary: &Path, file: &Path) -> Result<(), HeaderError> {
    let wrong = |source| HeaderError::Write {
        path: temporary.to_owned(),
        source,
    };
    let out = build.finish(temporary)?;
    out.into_inner()
        .map_err(|error| wrong(error.into_error()))?;
    fs::rename(temporary, file).map_err(wrong)
}

async fn open(file: PathBuf) -> Result<IndexHeader, HeaderError> {
    let opened = tokio::task::spawn_blocking(move || IndexHeader::open(&file)).await;
    opened.unwrap_or_else(|error| Err(HeaderError::ReadIndex(std::io::Error::other(error))))
}

async fn blocking(
    work: impl FnOnce() -> Result<(), HeaderError> + Send + 'static,
) -> Result<(), ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done =
        done.unwrap_or_else(|error| Err(HeaderError::ReadIndex(std::io::Error::other(error))));
    done.map_err(|error| failed(&error))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ReadError {
    ReadError::Header(net::log::chain(error))
}
