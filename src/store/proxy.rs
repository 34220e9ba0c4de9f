//! One StoreAPI out of many: chooses the stores that may have an answer, asks them all, merges.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use model::Matcher;
use proto::thanos::{
    Label, LabelMatcher, LabelNamesRequest, LabelValuesRequest, PartialResponseStrategy,
    SeriesRequest,
};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

use crate::block::Relabel;
use crate::endpoint::{Endpoint, StoreMetadata};
use crate::feed::{Call, Feed, describe};
use crate::labels::label;
use crate::merge::Merged;
use crate::storeset::StoreSet;
use crate::{labels, matchers};

/// The tenant of a request that names none.
pub const DEFAULT_TENANT: &str = "default-tenant";

/// How a proxy asks.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Longest wait for a frame of a store; `None` is for ever.
    pub response_timeout: Option<Duration>,
    /// The component's name, as its Info says it.
    pub component: String,
    /// Labels that everything behind this proxy is taken to have.
    pub selector_labels: Vec<(String, String)>,
    /// Which label sets of the stores are asked.
    pub relabel: Relabel,
    /// Bytes that may be held per store whose series must be sorted here.
    pub resort_limit: usize,
    /// Bytes of labels that one store may send for a request; whoever reads them holds them. What is beyond is left out, and said.
    pub held_limit: usize,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            response_timeout: None,
            component: "query".to_owned(),
            selector_labels: Vec::new(),
            relabel: Relabel::default(),
            resort_limit: 512 << 20,
            held_limit: 1 << 30,
        }
    }
}

/// What a call carries beside its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOptions {
    pub tenant: String,
    /// The HTTP `X-Request-ID`, passed on to stores.
    pub request_id: Option<String>,
    /// `storeMatch[]`: only stores that one of these sets matches, on the label `__address__`. None is all.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// What all series matches that may be seen: services whose answers have no labels are asked of those endpoints alone
    /// that have nothing else.
    pub only: Option<Matcher>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_TENANT.into(),
            request_id: None,
            store_matchers: Vec::new(),
            only: None,
        }
    }
}

impl CallOptions {
    /// What an incoming gRPC call asks to pass on.
    #[must_use]
    pub fn from_metadata(metadata: &MetadataMap) -> Self {
        let text = |key| {
            metadata
                .get(key)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let tenant = text("thanos-tenant").unwrap_or_else(|| DEFAULT_TENANT.into());
        Self {
            tenant,
            request_id: text("request-id"),
            store_matchers: Vec::new(),
            only: None,
        }
    }

    fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        let mut insert = |key: &'static str, value: &str| {
            if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
                metadata.insert(key, value);
            }
        };
        insert("thanos-tenant", &self.tenant);
        if let Some(id) = &self.request_id {
            insert("request-id", id);
        }
        metadata
    }
}

/// Sends requests to all stores that may have an answer.
#[derive(Debug)]
pub struct Proxy {
    pub(crate) stores: Arc<StoreSet>,
    pub(crate) config: ProxyConfig,
    selector_labels: Vec<Label>,
}

/// A store that is asked.
struct Chosen {
    endpoint: Arc<Endpoint>,
    metadata: StoreMetadata,
    /// What is asked of it besides, so that it answers with the chosen label sets only.
    extra: Vec<LabelMatcher>,
}

/// The part of a request that chooses stores.
struct Choice<'r> {
    min_time: i64,
    max_time: i64,
    matchers: &'r [Matcher],
    options: &'r CallOptions,
}

impl Proxy {
    /// A proxy over `stores`.
    #[must_use]
    pub fn new(stores: Arc<StoreSet>, config: ProxyConfig) -> Arc<Self> {
        let mut selector_labels: Vec<_> = config
            .selector_labels
            .iter()
            .map(|(name, value)| label(name, value))
            .collect();
        labels::normalise(&mut selector_labels);
        Arc::new(Self {
            stores,
            config,
            selector_labels,
        })
    }

    pub(crate) fn selector_labels(&self) -> &[Label] {
        &self.selector_labels
    }

    /// Starts a Series call on every store that may have series for it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `InvalidArgument` for matchers that cannot be understood or are missing; `Aborted` when there is no
    /// store at all and the request does not take partial answers.
    pub fn series(&self, request: SeriesRequest, options: &CallOptions) -> Result<Merged, Status> {
        let abort = aborts(
            request.partial_response_disabled,
            request.partial_response_strategy,
        );
        let matchers = matchers::from_wire(&request.matchers)?;
        let Some(matchers) = matchers::without_external(&self.selector_labels, &matchers) else {
            return Ok(Merged::new(Vec::new(), abort, 0));
        };
        if matchers.is_empty() {
            return Err(Status::invalid_argument(
                "no matchers specified (excluding selector labels)",
            ));
        }
        let (min_time, max_time) = (request.min_time, request.max_time);
        let chosen = self.choose(
            &Choice {
                min_time,
                max_time,
                matchers: &matchers,
                options,
            },
            abort,
        )?;
        let request = SeriesRequest {
            matchers: matchers::to_wire(&matchers),
            hints: None,
            ..request
        };
        let feeds = chosen.into_iter().map(|chosen| {
            let mut request = request.clone();
            request.matchers.extend(chosen.extra);
            Feed::open(self.call(chosen.endpoint, &chosen.metadata, request, options))
        });
        Ok(Merged::new(feeds.collect(), abort, request.limit))
    }

    /// Leaves to the store what it can do, and keeps the rest for this side.
    fn call(
        &self,
        endpoint: Arc<Endpoint>,
        store: &StoreMetadata,
        mut request: SeriesRequest,
        options: &CallOptions,
    ) -> Call {
        let strip = if store.supports_without_replica_labels {
            Vec::new()
        } else {
            std::mem::take(&mut request.without_replica_labels)
        };
        if !strip.is_empty() {
            // Several series may become one: only the merged answer can be cut.
            request.limit = 0;
        }
        let here = !store.supports_sharding || !strip.is_empty();
        let shard = if here {
            request.shard_info.take()
        } else {
            None
        };
        if shard.is_some() {
            request.limit = 0;
        }
        Call {
            endpoint,
            request,
            metadata: options.metadata(),
            response_timeout: self.config.response_timeout,
            strip,
            shard,
            resort_limit: self.config.resort_limit,
            held_limit: self.config.held_limit,
        }
    }

    fn choose(&self, choice: &Choice<'_>, abort: bool) -> Result<Vec<Chosen>, Status> {
        let all = self.stores.queryable();
        if all.is_empty() && abort {
            return Err(Status::aborted("No StoreAPIs available"));
        }
        let choose = |endpoint: Arc<Endpoint>| {
            let metadata = endpoint.metadata();
            let admitted = choice.admits(&endpoint, &metadata);
            let extra = admitted.then(|| self.within(&metadata.label_sets))??;
            Some(Chosen {
                endpoint,
                metadata,
                extra,
            })
        };
        let chosen: Vec<_> = all.into_iter().filter_map(choose).collect();
        if chosen.is_empty() {
            tracing::debug!("No StoreAPIs matched for this query");
        }
        Ok(chosen)
    }

    /// What a store with these label sets is asked besides, so that it answers with those only that the relabel rules keep;
    /// `None` if they keep none.
    fn within(&self, label_sets: &[Vec<Label>]) -> Option<Vec<LabelMatcher>> {
        if self.config.relabel.is_empty() || label_sets.is_empty() {
            return Some(Vec::new());
        }
        let pairs = |set: &Vec<Label>| {
            let pairs = set
                .iter()
                .map(|label| (label.name.clone(), label.value.clone()));
            pairs.collect()
        };
        let kept = label_sets
            .iter()
            .filter(|set| self.config.relabel.keeps(pairs(set)));
        let kept: Vec<_> = kept.collect();
        (!kept.is_empty()).then(|| matchers::of_sets(&kept))
    }

    /// Names of all labels, sorted, and warnings.
    ///
    /// # Errors
    /// As [`Self::series`], and `Aborted` when a store fails and partial answers are not taken.
    pub async fn label_names(
        &self,
        mut request: LabelNamesRequest,
        options: &CallOptions,
    ) -> Result<(Vec<String>, Vec<String>), Status> {
        let abort = aborts(
            request.partial_response_disabled,
            request.partial_response_strategy,
        );
        let matchers = matchers::from_wire(&request.matchers)?;
        let Some(matchers) = matchers::without_external(&self.selector_labels, &matchers) else {
            return Ok(Default::default());
        };
        let (min_time, max_time) = (request.start, request.end);
        let chosen = self.choose(
            &Choice {
                min_time,
                max_time,
                matchers: &matchers,
                options,
            },
            abort,
        )?;
        let limit = std::mem::take(&mut request.limit);
        let without = request.without_replica_labels.clone();
        request.matchers = matchers::to_wire(&matchers);
        let calls = chosen.into_iter().map(|chosen| {
            let endpoint = chosen.endpoint;
            let mut request = request.clone();
            request.matchers.extend(chosen.extra);
            let call = self.unary(request, options);
            async move {
                let answer = self.in_time(endpoint.client().label_names(call)).await;
                let answer = answer.map(|a| (a.names, a.warnings));
                answer.map_err(|status| failed("label names", &endpoint, &status))
            }
        });
        let (mut names, warnings) = union(join_all(calls).await, abort)?;
        names.retain(|name| !without.contains(name));
        cut(&mut names, limit);
        Ok((names, warnings))
    }

    /// Values of one label, sorted, and warnings.
    ///
    /// # Errors
    /// As [`Self::label_names`].
    pub async fn label_values(
        &self,
        mut request: LabelValuesRequest,
        options: &CallOptions,
    ) -> Result<(Vec<String>, Vec<String>), Status> {
        let abort = aborts(
            request.partial_response_disabled,
            request.partial_response_strategy,
        );
        if request.without_replica_labels.contains(&request.label) {
            return Ok(Default::default());
        }
        let matchers = matchers::from_wire(&request.matchers)?;
        let Some(matchers) = matchers::without_external(&self.selector_labels, &matchers) else {
            return Ok(Default::default());
        };
        let (min_time, max_time) = (request.start, request.end);
        let chosen = self.choose(
            &Choice {
                min_time,
                max_time,
                matchers: &matchers,
                options,
            },
            abort,
        )?;
        request.matchers = matchers::to_wire(&matchers);
        request.hints = None;
        let limit = request.limit;
        let calls = chosen.into_iter().map(|chosen| {
            let endpoint = chosen.endpoint;
            let mut request = request.clone();
            request.matchers.extend(chosen.extra);
            let call = self.unary(request, options);
            async move {
                let answer = self.in_time(endpoint.client().label_values(call)).await;
                let answer = answer.map(|a| (a.values, a.warnings));
                answer.map_err(|status| failed("label values", &endpoint, &status))
            }
        });
        let (mut values, warnings) = union(join_all(calls).await, abort)?;
        cut(&mut values, limit);
        Ok((values, warnings))
    }

    /// A request with what a call carries beside it.
    pub(crate) fn unary<T>(&self, request: T, options: &CallOptions) -> Request<T> {
        let mut request = Request::new(request);
        *request.metadata_mut() = options.metadata();
        request
    }

    /// An answer within the response timeout.
    pub(crate) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        let answer = match self.config.response_timeout {
            None => call.await,
            Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(format!(
                    "failed to receive any data in {limit:?}"
                )))
            }),
        };
        answer.map(tonic::Response::into_inner)
    }
}

impl Choice<'_> {
    fn admits(&self, endpoint: &Endpoint, store: &StoreMetadata) -> bool {
        let in_time = self.min_time <= store.max_time && self.max_time >= store.min_time;
        let address = [vec![label("__address__", endpoint.spec.address.clone())]];
        let named = self.options.store_matchers.is_empty()
            || self
                .options
                .store_matchers
                .iter()
                .any(|set| matchers::may_match(&address, set));
        in_time && named && matchers::may_match(&store.label_sets, self.matchers)
    }
}

/// Either the old field or the new one asks to abort.
fn aborts(disabled: bool, strategy: i32) -> bool {
    disabled || strategy == i32::from(PartialResponseStrategy::Abort)
}

fn failed(what: &str, endpoint: &Endpoint, status: &Status) -> String {
    format!(
        "fetch {what} from store Addr: {}: {}",
        endpoint.spec.address,
        describe(status)
    )
}

type Answer = Result<(Vec<String>, Vec<String>), String>;

fn union(answers: Vec<Answer>, abort: bool) -> Result<(Vec<String>, Vec<String>), Status> {
    let (mut all, mut warnings) = (BTreeSet::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok((strings, more)) => {
                all.extend(strings);
                warnings.extend(more);
            }
            Err(text) if abort => return Err(Status::aborted(text)),
            Err(text) => warnings.push(text),
        }
    }
    Ok((all.into_iter().collect(), warnings))
}

/// Keeps the first `limit`; 0 keeps all.
fn cut(strings: &mut Vec<String>, limit: i64) {
    if let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) {
        strings.truncate(limit);
    }
}
