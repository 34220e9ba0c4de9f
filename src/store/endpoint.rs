//! One endpoint: its connection, and what its Info said last.

use std::time::{Duration, Instant, SystemTime};

use model::Matcher;
use net::calls::Calls;
use net::channel::{Channel, Compression};
use net::tls::ClientTls;
use parking_lot::RwLock;
use proto::info::InfoResponse;
use proto::info::info_client::InfoClient;
use proto::thanos::Label;
use proto::thanos::store_client::StoreClient;
use tonic::Status;

use crate::services::Offers;
use crate::{labels, matchers};

/// The largest message that is taken, as Thanos's servers and clients do.
pub const MAX_MESSAGE: usize = i32::MAX as usize;

/// Bytes that the answers of all endpoints to one request may be ahead of the merge.
const AHEAD: usize = 8 << 20;
/// The least of it for one endpoint, so that many on slow links are still read at the speed of these.
const LEAST_AHEAD: u32 = 256 << 10;

/// What of [`AHEAD`] is for one of `count` endpoints.
fn ahead(count: usize) -> u32 {
    let share = u32::try_from(AHEAD / count.max(1)).unwrap_or(u32::MAX);
    share.clamp(LEAST_AHEAD, net::grpc::AHEAD)
}

/// The component name of an endpoint whose Info never answered.
const UNKNOWN: &str = "unknown-store-api";

/// Where a StoreAPI is. A changed spec is another endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSpec {
    /// `host:port`; of a group, as it is configured.
    pub address: String,
    /// The addresses of a group of equal servers, each call of which goes to one of them; they may change. None: a single server.
    pub group: Option<Vec<String>>,
    /// Asked even when its Info fails, and listed always.
    pub strict: bool,
    /// Plaintext when absent.
    pub tls: Option<ClientTls>,
    /// Of what is sent.
    pub compression: Compression,
}

/// An endpoint as `/api/v1/stores` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointStatus {
    pub name: String,
    pub component_type: String,
    /// Of the last Info that succeeded.
    pub last_check: Option<SystemTime>,
    pub last_error: Option<String>,
    pub label_sets: Vec<Vec<(String, String)>>,
    /// Milliseconds.
    pub min_time: i64,
    /// Milliseconds.
    pub max_time: i64,
}

/// What an endpoint offers as a store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoreMetadata {
    pub(crate) component_type: String,
    pub(crate) label_sets: Vec<Vec<Label>>,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) supports_sharding: bool,
    pub(crate) supports_without_replica_labels: bool,
    pub(crate) is_store: bool,
    pub(crate) offers: Offers,
}

impl StoreMetadata {
    /// Of a strict endpoint that was never reached: all of time, no labels, no abilities.
    pub(crate) fn unknown() -> Self {
        Self {
            component_type: UNKNOWN.to_owned(),
            label_sets: Vec::new(),
            min_time: i64::MIN,
            max_time: i64::MAX,
            supports_sharding: false,
            supports_without_replica_labels: false,
            is_store: true,
            offers: Offers::default(),
        }
    }

    fn from_info(info: InfoResponse) -> Self {
        let sorted = |set: proto::thanos::LabelSet| {
            let mut set = set.labels;
            labels::normalise(&mut set);
            set
        };
        let offers = Offers::of(&info);
        let is_store = info.store.is_some();
        let store = info.store.unwrap_or_default();
        Self {
            component_type: info.component_type,
            label_sets: info
                .label_sets
                .into_iter()
                .map(sorted)
                .filter(|s| !s.is_empty())
                .collect(),
            min_time: store.min_time,
            max_time: store.max_time,
            supports_sharding: store.supports_sharding,
            supports_without_replica_labels: store.supports_without_replica_labels,
            is_store,
            offers,
        }
    }
}

/// How an endpoint is doing.
#[derive(Debug, Default)]
struct Health {
    metadata: Option<StoreMetadata>,
    last_check: Option<SystemTime>,
    last_error: Option<String>,
    failing_since: Option<Instant>,
}

/// A connection, kept for as long as the spec is configured or a request uses it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) spec: EndpointSpec,
    channel: Channel,
    health: RwLock<Health>,
}

impl Endpoint {
    /// One of `count` endpoints, which are read together.
    pub(crate) fn new(
        spec: EndpointSpec,
        count: usize,
        calls: Option<Calls>,
    ) -> Result<Self, net::NetError> {
        let channel = match &spec.group {
            None => net::grpc::channel_ahead(&spec.address, spec.tls.as_ref(), ahead(count))?,
            Some(_) => Channel::group(ahead(count)),
        };
        let channel = match calls {
            Some(calls) => channel.counted(calls),
            None => channel,
        };
        let endpoint = Self {
            channel: channel.compressed(spec.compression),
            spec,
            health: RwLock::default(),
        };
        endpoint.regroup(&endpoint.spec)?;
        Ok(endpoint)
    }

    /// Whether `spec` is this endpoint, perhaps with other members.
    pub(crate) fn is(&self, spec: &EndpointSpec) -> bool {
        let members = |spec: &EndpointSpec| spec.group.as_ref().map(|_| Vec::new());
        let without = |spec: &EndpointSpec| EndpointSpec {
            group: members(spec),
            ..spec.clone()
        };
        without(&self.spec) == without(spec)
    }

    /// Takes the members of `spec`.
    pub(crate) fn regroup(&self, spec: &EndpointSpec) -> Result<(), net::NetError> {
        let addresses = spec.group.as_deref().unwrap_or_default();
        let name = spec.address.rsplit('+').next().unwrap_or_default();
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        self.channel.regroup(addresses, host, spec.tls.as_ref())
    }

    pub(crate) fn client(&self) -> StoreClient<Channel> {
        StoreClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The connection, for services beside StoreAPI.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Asks Info once and remembers the outcome.
    pub(crate) async fn check(&self, timeout: Duration, unhealthy_timeout: Duration) {
        let mut client =
            InfoClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let asked = client.info(proto::info::InfoRequest {});
        let answer = match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {timeout:?}"
            ))),
        };
        match answer {
            Ok(info) => self.succeeded(info),
            Err(status) => self.failed(&status, unhealthy_timeout),
        }
    }

    fn succeeded(&self, info: InfoResponse) {
        let mut health = self.health.write();
        if health.metadata.is_none() || health.last_error.is_some() {
            tracing::info!(address = %self.spec.address, component = %info.component_type, "endpoint is up");
        }
        *health = Health {
            metadata: Some(StoreMetadata::from_info(info)),
            last_check: Some(SystemTime::now()),
            last_error: None,
            failing_since: None,
        };
    }

    fn failed(&self, status: &Status, unhealthy_timeout: Duration) {
        let address = &self.spec.address;
        let error = format!("info of {address}: {}: {}", status.code(), status.message());
        let mut health = self.health.write();
        if health.last_error.is_none() {
            tracing::warn!(%address, err = %error, "endpoint failed its check");
        }
        health.last_error = Some(error);
        let since = *health.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= unhealthy_timeout {
            health.metadata = None;
        }
    }

    /// Whether requests go to this endpoint.
    pub(crate) fn is_queryable(&self) -> bool {
        let health = self.health.read();
        let healthy = health.metadata.is_some() && health.last_error.is_none();
        let is_store = health
            .metadata
            .as_ref()
            .is_none_or(|metadata| metadata.is_store);
        is_store && (self.spec.strict || healthy)
    }

    /// Whether a service is offered that requests can go to.
    pub(crate) fn offers(&self, service: fn(&Offers) -> bool) -> bool {
        let health = self.health.read();
        let offered = health
            .metadata
            .as_ref()
            .is_some_and(|metadata| service(&metadata.offers));
        offered && (self.spec.strict || health.last_error.is_none())
    }

    /// Whether the endpoint counts as there: strict, or reached within the unhealthy timeout.
    pub(crate) fn is_listed(&self) -> bool {
        self.spec.strict || self.health.read().metadata.is_some()
    }

    /// Whether there may be something that `matchers` match.
    pub(crate) fn may_have(&self, matchers: &[Matcher]) -> bool {
        matchers::may_match(&self.metadata().label_sets, matchers)
    }

    /// Whether everything there is known to match.
    pub(crate) fn has_only(&self, matcher: &Matcher) -> bool {
        let sets = self.metadata().label_sets;
        let matches = |set: &Vec<Label>| matcher.matches(labels::value(set, &matcher.name));
        !sets.is_empty() && sets.iter().all(matches)
    }

    pub(crate) fn metadata(&self) -> StoreMetadata {
        self.health
            .read()
            .metadata
            .clone()
            .unwrap_or_else(StoreMetadata::unknown)
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        let metadata = self.metadata();
        let health = self.health.read();
        let pairs = |set: Vec<Label>| set.into_iter().map(|l| (l.name, l.value)).collect();
        EndpointStatus {
            name: self.spec.address.clone(),
            component_type: metadata.component_type,
            last_check: health.last_check,
            last_error: health.last_error.clone(),
            label_sets: metadata.label_sets.into_iter().map(pairs).collect(),
            min_time: metadata.min_time,
            max_time: metadata.max_time,
        }
    }
}
