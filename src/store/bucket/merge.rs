//! The streams of all blocks of a call as one: sorted, series of equal labels joined, their chunks united.

use std::sync::Arc;

use model::Symbols;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::call::Call;
use super::chunks::Loaded;
use super::stream::{Ask, BlockStream, Chosen};
use super::wire::{self, Piece, Series};
use crate::chunks::{self, Chunked, Field, Samples};
use crate::loser::LoserTree;

/// The merge's end of one block. Dropping it ends the block's task.
#[derive(Debug)]
struct Source {
    groups: mpsc::Receiver<Result<Vec<Loaded>, Status>>,
    group: std::vec::IntoIter<Loaded>,
    head: Option<Loaded>,
    _task: AbortOnDropHandle<()>,
}

impl Source {
    async fn advance(&mut self) -> Result<(), Status> {
        loop {
            self.head = self.group.next();
            if self.head.is_some() {
                return Ok(());
            }
            // What was read is let go before the next is waited for.
            self.group = Vec::new().into_iter();
            match self.groups.recv().await {
                Some(group) => self.group = group?.into_iter(),
                None => return Ok(()),
            }
        }
    }
}

/// All series of a call.
#[derive(Debug)]
pub(crate) struct Merge {
    sources: Vec<Source>,
    tree: Option<LoserTree>,
    symbols: Arc<Symbols>,
}

impl Merge {
    /// Starts a task for every block; `window` is what each may read ahead.
    pub(crate) fn start(
        chosen: Vec<Chosen>,
        ask: &Arc<Ask>,
        call: &Arc<Call>,
        window: u64,
    ) -> Self {
        let start = |chosen: Chosen| {
            let (out, groups) = mpsc::channel(1);
            let stream = BlockStream::run(chosen, ask.clone(), call.clone(), window, out);
            Source {
                groups,
                group: Vec::new().into_iter(),
                head: None,
                _task: AbortOnDropHandle::new(tokio::spawn(stream)),
            }
        };
        Self {
            sources: chosen.into_iter().map(start).collect(),
            tree: None,
            symbols: call.symbols.clone(),
        }
    }

    /// The next series with all of its chunks; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Series>, Status> {
        if self.tree.is_none() {
            for source in &mut self.sources {
                source.advance().await?;
            }
            let (sources, symbols) = (&self.sources, &self.symbols);
            let less = |a: usize, b: usize| less(&sources[a], &sources[b], symbols);
            self.tree = Some(LoserTree::new(sources.len(), less));
        }
        let Some(first) = self.pop().await? else {
            return Ok(None);
        };
        let mut series = Series {
            labels: first.labels,
            pieces: first.chunks.into_iter().collect(),
        };
        while self.peek().is_some_and(|next| next.labels == series.labels) {
            let more = self.pop().await?;
            series.pieces.extend(more.and_then(|more| more.chunks));
        }
        unite(&mut series);
        Ok(Some(series))
    }

    fn peek(&self) -> Option<&Loaded> {
        self.sources
            .get(self.tree.as_ref()?.winner()?)?
            .head
            .as_ref()
    }

    async fn pop(&mut self) -> Result<Option<Loaded>, Status> {
        let Some(tree) = &mut self.tree else {
            return Ok(None);
        };
        let Some(source) = tree
            .winner()
            .and_then(|winner| self.sources.get_mut(winner))
        else {
            return Ok(None);
        };
        let Some(series) = source.head.take() else {
            return Ok(None);
        };
        source.advance().await?;
        let (sources, symbols) = (&self.sources, &self.symbols);
        tree.replay(|a, b| less(&sources[a], &sources[b], symbols));
        Ok(Some(series))
    }
}

/// A source that is over comes last.
fn less(a: &Source, b: &Source, symbols: &Symbols) -> bool {
    match (&a.head, &b.head) {
        (Some(a), Some(b)) => a.labels.compare(&b.labels, symbols).is_lt(),
        (a, _) => a.is_some(),
    }
}

/// Puts chunks of several blocks in order, each once. Those that ascend already are left alone.
fn unite(series: &mut Series) {
    let starts = series.pieces.iter().flat_map(Piece::chunks);
    if starts
        .map(|chunk| chunk.min_time)
        .is_sorted_by(|a, b| a < b)
    {
        return;
    }
    let alone = |piece: &Piece| {
        let group = piece.group.clone();
        piece.chunks.clone().map(move |at| Piece {
            group: group.clone(),
            chunks: at..at + 1,
        })
    };
    let mut all: Vec<Piece> = series.pieces.iter().flat_map(alone).collect();
    chunks::unite(&mut all);
    series.pieces = all.into_iter().collect();
}

/// A piece that is one chunk.
impl Chunked for Piece {
    fn times(&self) -> (i64, i64) {
        let times = |chunk: &wire::Chunk| (chunk.min_time, chunk.max_time);
        self.chunks().first().map_or((0, 0), times)
    }

    fn part(&self, field: Field) -> Option<Samples<'_>> {
        let parts = self.group.parts(self.chunks().first()?);
        let part = parts.iter().find(|part| part.field == field)?;
        Some(Samples {
            encoding: i32::from(part.encoding),
            data: self.group.samples(part),
            hash: part.hash,
        })
    }
}
