//! LabelNames and LabelValues: from index headers alone, or, with matchers, from the series that they choose.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use model::{MatchKind, Matcher};
use proto::hintspb::{
    self, LabelNamesRequestHints, LabelNamesResponseHints, LabelValuesRequestHints,
    LabelValuesResponseHints,
};
use proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
};
use tonic::{Code, Status};

use super::block::Block;
use super::call::Call;
use super::error::ReadError;
use super::hints;
use super::server::PARALLEL_BLOCKS;
use super::store::BucketStore;
use super::stream::{Ask, Chosen};
use crate::{labels, matchers};

/// What both calls do alike, and what they do not.
struct Lookup {
    times: (i64, i64),
    matchers: Vec<Matcher>,
    block_matchers: Vec<Matcher>,
    without: Vec<String>,
    want: Want,
    limit: usize,
}

enum Want {
    Names,
    Values(String),
}

/// Strings, and the blocks that were asked.
type Looked = (Vec<String>, Vec<hintspb::Block>);

impl BucketStore {
    pub(crate) async fn label_names(
        &self,
        request: LabelNamesRequest,
        tenant: &str,
    ) -> Result<LabelNamesResponse, Status> {
        let asked: LabelNamesRequestHints =
            hints::read(request.hints.as_ref(), "LabelNamesRequestHints")?;
        let lookup = Lookup {
            times: (request.start, request.end),
            matchers: matchers::from_wire(&request.matchers)?,
            block_matchers: hints::block_matchers(&asked.block_matchers)?,
            without: request.without_replica_labels,
            want: Want::Names,
            limit: limit(request.limit),
        };
        let (names, queried_blocks) = self.look_up(lookup, tenant).await?;
        let hints = LabelNamesResponseHints { queried_blocks };
        Ok(LabelNamesResponse {
            names,
            warnings: Vec::new(),
            hints: Some(hints::write(&hints, "LabelNamesResponseHints")),
        })
    }

    pub(crate) async fn label_values(
        &self,
        request: LabelValuesRequest,
        tenant: &str,
    ) -> Result<LabelValuesResponse, Status> {
        let matchers = matchers::from_wire(&request.matchers)?;
        if request.without_replica_labels.contains(&request.label) {
            return Ok(LabelValuesResponse::default());
        }
        let asked: LabelValuesRequestHints =
            hints::read(request.hints.as_ref(), "LabelValuesRequestHints")?;
        let lookup = Lookup {
            times: (request.start, request.end),
            matchers,
            block_matchers: hints::block_matchers(&asked.block_matchers)?,
            without: Vec::new(),
            want: Want::Values(request.label),
            limit: limit(request.limit),
        };
        let (values, queried_blocks) = self.look_up(lookup, tenant).await?;
        let hints = LabelValuesResponseHints { queried_blocks };
        Ok(LabelValuesResponse {
            values,
            warnings: Vec::new(),
            hints: Some(hints::write(&hints, "LabelValuesResponseHints")),
        })
    }

    async fn look_up(&self, lookup: Lookup, tenant: &str) -> Result<Looked, Status> {
        let call = Arc::new(Call::new(&self.config.limits, self.metrics.of(tenant)));
        let view = self.view.load_full();
        let asked = view.blocks.values().filter_map(|block| {
            let (first, last) = lookup.times;
            let wanted =
                block.info.overlaps(first, last) && block.is_chosen(&lookup.block_matchers);
            let left = matchers::without_external(&block.external, &lookup.matchers);
            Some((block.clone(), left.filter(|_| wanted)?))
        });
        let asked: Vec<_> = asked.collect();
        let queried = asked.iter().map(|(block, _)| hintspb::Block {
            id: block.info.id.clone(),
        });
        let queried = queried.collect();
        let together = asked.len().min(PARALLEL_BLOCKS);
        let ahead = asked.iter().map(|(block, _)| block.most_ahead()).max();
        let share = self
            .budget
            .share(together, ahead.unwrap_or_default(), 0)
            .await;
        let (window, _lease) =
            share.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        let looks: Vec<_> = asked
            .into_iter()
            .map(|(block, left)| {
                lookup.in_block(block, left, &call, window, self.config.series_batch)
            })
            .collect();
        let mut looks = futures::stream::iter(looks).buffer_unordered(PARALLEL_BLOCKS);
        let mut found = BTreeSet::new();
        while let Some(more) = looks.try_next().await? {
            found.extend(more);
        }
        Ok((found.into_iter().take(lookup.limit).collect(), queried))
    }
}

fn limit(limit: i64) -> usize {
    let limit = usize::try_from(limit).unwrap_or_default();
    if limit == 0 { usize::MAX } else { limit }
}

impl Lookup {
    async fn in_block(
        &self,
        block: Arc<Block>,
        left: Vec<Matcher>,
        call: &Arc<Call>,
        window: u64,
        batch: usize,
    ) -> Result<BTreeSet<String>, Status> {
        let id = block.info.id.clone();
        let found = if left.is_empty() {
            self.in_header(&block).await
        } else {
            self.in_series(block, left, call, window, batch).await
        };
        found.map_err(|error| error.status("iterate series for block", &id, Code::Internal))
    }

    /// Everything that the block has.
    async fn in_header(&self, block: &Block) -> Result<BTreeSet<String>, ReadError> {
        let header = block.header.get().await?;
        let mut found = BTreeSet::new();
        match &self.want {
            Want::Names => {
                found.extend(header.label_names().map(ToOwned::to_owned));
                let external = block.external.iter().map(|label| label.name.clone());
                found.extend(external.filter(|name| !self.without.contains(name)));
            }
            Want::Values(name) => {
                for value in header.label_values(name).take(self.limit) {
                    let (value, _) = value.map_err(|error| block.corrupt_header(error))?;
                    found.insert(value.to_owned());
                }
                let external = labels::value(&block.external, name);
                found.extend((!external.is_empty()).then(|| external.to_owned()));
            }
        }
        Ok(found)
    }

    async fn in_series(
        &self,
        block: Arc<Block>,
        mut left: Vec<Matcher>,
        call: &Arc<Call>,
        window: u64,
        batch: usize,
    ) -> Result<BTreeSet<String>, ReadError> {
        left.extend(self.has_label(&block, &left));
        let ask = Ask {
            times: self.times,
            skip_chunks: true,
            without: self.without.clone(),
            batch,
            ..Ask::default()
        };
        let chosen = Chosen::find(block, &left, &ask, call).await?;
        let mut reader = chosen.reader(&ask, call.clone(), window);
        let mut ids = BTreeSet::new();
        let wanted = match &self.want {
            Want::Names => None,
            Want::Values(name) => Some(call.symbols.intern(name)),
        };
        while let Some(entries) = reader.next_batch().await? {
            let labels = entries.iter().flat_map(|entry| entry.labels.iter_ids());
            match wanted {
                None => ids.extend(labels.map(|(name, _)| name)),
                Some(wanted) => ids.extend(
                    labels
                        .filter(|(name, _)| *name == wanted)
                        .map(|(_, value)| value),
                ),
            }
        }
        Ok(ids
            .into_iter()
            .map(|id| call.symbols.get(id).to_owned())
            .collect())
    }

    /// Of series without the label no value can come; a metric's name chooses few series anyway.
    fn has_label(&self, block: &Block, left: &[Matcher]) -> Option<Matcher> {
        let Want::Values(name) = &self.want else {
            return None;
        };
        let by_metric = |m: &Matcher| m.name == model::METRIC_NAME && m.kind == MatchKind::Equal;
        if left.iter().any(by_metric) || block.info.labels.contains_key(name) {
            return None;
        }
        Matcher::new(MatchKind::NotEqual, name, "").ok()
    }
}
