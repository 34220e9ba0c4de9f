//! One block's part of a Series call: a task that reads ahead of the merge, a window at a time.

use std::sync::Arc;

use model::Matcher;
use proto::thanos::{Aggr, ShardInfo};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tsdb::header::IndexHeader;

use super::block::Block;
use super::budget::Lease;
use super::call::Call;
use super::chunks::{ChunkReader, Loaded};
use super::error::ReadError;
use super::order::{self, Dress, Entry, HoldBack};
use super::postings;
use super::series::{Plan, SeriesReader};
use crate::shard;

/// What is asked of every block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// Both inclusive.
    pub(crate) times: (i64, i64),
    pub(crate) skip_chunks: bool,
    pub(crate) aggregates: Vec<Aggr>,
    pub(crate) without: Vec<String>,
    pub(crate) shard: Option<ShardInfo>,
    /// Series of one block at most; 0 is no limit.
    pub(crate) limit: usize,
    /// Series of one batch at most.
    pub(crate) batch: usize,
}

/// A block whose series are known.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) block: Arc<Block>,
    header: Arc<IndexHeader>,
    postings: Vec<u32>,
}

impl Chosen {
    /// Finds the series that pass `matchers`, which are sorted for nobody and left by external labels.
    pub(crate) async fn find(
        block: Arc<Block>,
        matchers: &[Matcher],
        ask: &Ask,
        call: &Call,
    ) -> Result<Self, ReadError> {
        let header = block.header.get().await?;
        let mut postings = postings::expand(&block, &header, matchers, call).await?;
        if ask.limit > 0 {
            postings.truncate(ask.limit);
        }
        if postings.is_empty() {
            call.metrics.empty_postings();
        }
        call.reserve_series(postings.len())?;
        Ok(Self {
            block,
            header,
            postings,
        })
    }

    /// Bytes of the references.
    pub(crate) fn bytes(&self) -> u64 {
        (self.postings.len() * size_of::<u32>()) as u64
    }

    /// Reads the entries of the series.
    pub(crate) fn reader(self, ask: &Ask, call: Arc<Call>, window: u64) -> SeriesReader {
        let external: Vec<(&str, &str)> = self
            .block
            .external
            .iter()
            .map(|label| (label.name.as_str(), label.value.as_str()))
            .collect();
        let plan = Plan {
            dress: Dress::new(&external, &ask.without, &call.symbols),
            block: self.block.clone(),
            header: self.header,
            call,
            times: ask.times,
            skip_chunks: ask.skip_chunks,
            // Decoded, entries take several times their bytes.
            window: window / 4,
            batch: ask.batch,
        };
        SeriesReader::new(plan, self.postings)
    }

    /// Whether external or replica labels change more than what [`HoldBack`] puts right.
    fn must_sort(&self, ask: &Ask) -> bool {
        let external = self.block.external.iter().map(|label| label.name.as_str());
        let names: Vec<&str> = external
            .chain(ask.without.iter().map(String::as_str))
            .collect();
        Block::has_any_label(&self.header, &names)
    }
}

/// The stream of one block.
pub(crate) struct BlockStream {
    ask: Arc<Ask>,
    call: Arc<Call>,
    chunks: ChunkReader,
    out: mpsc::Sender<Result<Vec<Loaded>, Status>>,
}

/// The other end is gone: nobody waits for the rest.
struct Gone;

enum End {
    Gone,
    Failed(ReadError),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl BlockStream {
    /// Sends all series of a block in the client's order, then ends.
    pub(crate) async fn run(
        chosen: Chosen,
        ask: Arc<Ask>,
        call: Arc<Call>,
        window: u64,
        out: mpsc::Sender<Result<Vec<Loaded>, Status>>,
    ) {
        let block = chosen.block.clone();
        let stream = Self {
            chunks: ChunkReader {
                block: block.clone(),
                call: call.clone(),
                aggregates: ask.aggregates.clone(),
                window,
            },
            ask,
            call,
            out,
        };
        if let Err(End::Failed(error)) = stream.send_all(chosen, window).await {
            let status = error.status("receive series from", &block.info.id, Code::Unknown);
            let _ = stream.out.send(Err(status)).await;
        }
    }

    async fn send_all(&self, chosen: Chosen, window: u64) -> Result<(), End> {
        let must_sort = chosen.must_sort(&self.ask);
        let mut reader = chosen.reader(&self.ask, self.call.clone(), window);
        if must_sort {
            let (entries, _lease) = self.sorted(&mut reader).await?;
            return self.send(entries).await;
        }
        let mut hold = HoldBack::default();
        while let Some(batch) = reader.next_batch().await? {
            self.send(hold.next(batch, &self.call.symbols)).await?;
        }
        self.send(hold.finish(&self.call.symbols)).await
    }

    /// All entries of the block, sorted as the client sees them; they are taken from the budget.
    async fn sorted(
        &self,
        reader: &mut SeriesReader,
    ) -> Result<(Vec<Entry>, Vec<Lease>), ReadError> {
        let (mut entries, mut leases) = (Vec::new(), Vec::new());
        while let Some(batch) = reader.next_batch().await? {
            let bytes: usize = batch.iter().map(Entry::bytes).sum();
            leases.push(self.chunks.block.budget.take(bytes as u64).await?);
            entries.extend(batch);
        }
        order::sort(&mut entries, &self.call.symbols);
        Ok((entries, leases))
    }

    async fn send(&self, mut entries: Vec<Entry>) -> Result<(), End> {
        if self.ask.shard.is_some() {
            entries.retain(|entry| self.is_in_shard(entry));
        }
        if self.ask.skip_chunks {
            let bare = |entry: Entry| Loaded {
                labels: entry.labels,
                chunks: None,
            };
            return Ok(self.give(entries.into_iter().map(bare).collect()).await?);
        }
        while !entries.is_empty() {
            let rest = entries.split_off(self.chunks.group(&entries));
            self.call
                .reserve_chunks(entries.iter().map(|entry| entry.chunks.len()).sum())?;
            self.give(self.chunks.load(entries).await?).await?;
            entries = rest;
        }
        Ok(())
    }

    async fn give(&self, loaded: Vec<Loaded>) -> Result<(), Gone> {
        if loaded.is_empty() {
            return Ok(());
        }
        self.out.send(Ok(loaded)).await.map_err(|_| Gone)
    }

    fn is_in_shard(&self, entry: &Entry) -> bool {
        shard::contains_pairs(
            self.ask.shard.as_ref(),
            entry.labels.iter(&self.call.symbols),
        )
    }
}
