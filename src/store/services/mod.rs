//! The services beside StoreAPI, fanned out: rules, targets, metric metadata, exemplars, statistics of a TSDB.
//!
//! Each is a stream of items and warnings. A [`Proxy`](crate::Proxy) asks every endpoint whose Info offers the service,
//! all at the same time; one that fails is a warning, or the whole answer's failure when the caller aborts. What the
//! endpoints said is put together by the functions that stand beside each service (`merge_…`), which is the last
//! querier's business: one that is stacked hands on what it got.

mod exemplars;
mod metadata;
mod queries;
mod rules;
mod statistics;
mod targets;

use std::sync::Arc;

use futures::future::join_all;
use net::calls::Method;
use net::channel::Channel;
use proto::info::InfoResponse;
use proto::thanos::{Label, LabelSet, PartialResponseStrategy};
use tonic::{Request, Response, Status, Streaming};

pub use exemplars::{ExemplarSelect, merge_exemplars};
pub use metadata::merge_metadata;
pub use queries::{Place, QueryCall, QueryWhen};
pub use rules::{RuleFilter, merge_rules};
pub use statistics::merge_statistics;
pub use targets::merge_targets;

use crate::endpoint::Endpoint;
use crate::feed::describe;
use crate::labels;
use crate::proxy::{CallOptions, Proxy};

/// What components offer over gRPC, to be counted.
pub const METHODS: &[Method] = &[
    stream("thanos.Store", "Series"),
    unary("thanos.Store", "LabelNames"),
    unary("thanos.Store", "LabelValues"),
    unary("thanos.info.Info", "Info"),
    stream("thanos.Rules", "Rules"),
    stream("thanos.Targets", "Targets"),
    stream("thanos.Metadata", "MetricMetadata"),
    stream("thanos.Exemplars", "Exemplars"),
    stream("thanos.Status", "TSDBStatistics"),
    stream("thanos.Query", "Query"),
    stream("thanos.Query", "QueryRange"),
    unary("grpc.health.v1.Health", "Check"),
    stream("grpc.health.v1.Health", "Watch"),
];

const fn unary(service: &'static str, name: &'static str) -> Method {
    Method {
        service,
        name,
        streams: false,
    }
}

const fn stream(service: &'static str, name: &'static str) -> Method {
    Method {
        service,
        name,
        streams: true,
    }
}

/// Items that one service may give in all; more is refused, not held.
const MAX_ITEMS: usize = 1_000_000;

/// Which services an endpoint offers beside StoreAPI, by its Info.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) rules: bool,
    pub(crate) targets: bool,
    pub(crate) metadata: bool,
    pub(crate) exemplars: bool,
    pub(crate) statistics: bool,
    pub(crate) queries: bool,
}

impl Offers {
    pub(crate) fn of(info: &InfoResponse) -> Self {
        Self {
            rules: info.rules.is_some(),
            targets: info.targets.is_some(),
            metadata: info.metric_metadata.is_some(),
            exemplars: info.exemplars.is_some(),
            statistics: info.status.is_some(),
            queries: info.query.is_some(),
        }
    }
}

/// What all endpoints said, in the order that they are configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered<T> {
    pub items: Vec<T>,
    pub warnings: Vec<String>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// One frame of a service.
pub(crate) enum Frame<T> {
    Item(T),
    Warning(String),
    /// A frame that says nothing, of a version that says something else with it.
    Empty,
}

/// One service: its name in messages, who offers it, and how a frame is read.
pub(crate) struct Service<R, T> {
    pub(crate) name: &'static str,
    pub(crate) offered: fn(&Offers) -> bool,
    pub(crate) read: fn(R) -> Frame<T>,
}

impl Proxy {
    /// Sends each endpoint its request, all at once, and gathers their frames.
    async fn gather<Q, R, T, F>(
        &self,
        service: &Service<R, T>,
        strategy: i32,
        requests: Vec<(Arc<Endpoint>, Q)>,
        options: &CallOptions,
        ask: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<Gathered<T>, Status>
    where
        F: Future<Output = Result<Response<Streaming<R>>, Status>>,
    {
        let abort = strategy == i32::from(PartialResponseStrategy::Abort);
        let calls = requests.into_iter().map(|(endpoint, request)| {
            let asked = ask(endpoint.channel(), self.unary(request, options));
            async move { self.frames(service, &endpoint, asked).await }
        });
        let mut all = Gathered::default();
        for answer in join_all(calls).await {
            match answer {
                Ok(one) => {
                    all.items.extend(one.items);
                    all.warnings.extend(one.warnings);
                }
                Err(text) if abort => return Err(Status::aborted(text)),
                Err(text) => all.warnings.push(text),
            }
        }
        if all.items.len() > MAX_ITEMS {
            let text = format!("more than {MAX_ITEMS} {} in one answer", service.name);
            return Err(Status::resource_exhausted(text));
        }
        Ok(all)
    }

    /// The frames of one endpoint. What came before a failure is dropped with it, so that an answer is whole or named.
    async fn frames<R, T>(
        &self,
        service: &Service<R, T>,
        endpoint: &Endpoint,
        asked: impl Future<Output = Result<Response<Streaming<R>>, Status>>,
    ) -> Result<Gathered<T>, String> {
        let failed = |doing: &str, status: &Status| {
            let (name, address) = (service.name, &endpoint.spec.address);
            format!("{doing} {name} from {address}: {}", describe(status))
        };
        let stream = self.in_time(asked).await;
        let mut stream = stream.map_err(|status| failed("fetching", &status))?;
        let mut gathered = Gathered::default();
        loop {
            let next = async { stream.message().await.map(Response::new) };
            let frame = self.in_time(next).await;
            match frame.map_err(|status| failed("receiving", &status))? {
                Some(frame) => match (service.read)(frame) {
                    Frame::Item(item) if gathered.items.len() < MAX_ITEMS => {
                        gathered.items.push(item);
                    }
                    Frame::Item(_) => {
                        let status = Status::resource_exhausted(format!("more than {MAX_ITEMS}"));
                        return Err(failed("receiving", &status));
                    }
                    Frame::Warning(text) => gathered.warnings.push(text),
                    Frame::Empty => {}
                },
                None => return Ok(gathered),
            }
        }
    }

    /// The same request for every endpoint that offers a service and may have something that the caller may see.
    fn for_all<Q: Clone, R, T>(
        &self,
        service: &Service<R, T>,
        request: &Q,
        options: &CallOptions,
    ) -> Vec<(Arc<Endpoint>, Q)> {
        let offering = self.stores.offering(service.offered).into_iter();
        offering
            .filter(|endpoint| endpoint.may_have(options.only.as_slice()))
            .map(|endpoint| (endpoint, request.clone()))
            .collect()
    }
}

/// The labels of an optional set, normalised.
fn sorted(set: &mut Option<LabelSet>) -> &mut Vec<Label> {
    let labels = &mut set.get_or_insert_default().labels;
    labels::normalise(labels);
    labels
}

/// The labels of an optional set, as they are.
fn of(set: Option<&LabelSet>) -> &[Label] {
    set.map_or(&[], |set| &set.labels)
}
