//! Statistics of TSDBs: sums over endpoints.

use std::cmp::Reverse;
use std::collections::HashMap;

use proto::thanos::status_client::StatusClient;
use proto::thanos::{
    HeadStatistics, Statistic, TsdbStatistics, TsdbStatisticsEntry, TsdbStatisticsRequest,
    TsdbStatisticsResponse, tsdb_statistics_response,
};
use tonic::Status;

use super::{Frame, Gathered, Service};
use crate::endpoint::MAX_MESSAGE;
use crate::proxy::{CallOptions, Proxy};

const STATISTICS: Service<TsdbStatisticsResponse, TsdbStatistics> = Service {
    name: "tsdb statistics",
    offered: |offers| offers.statistics,
    read: |frame| match frame.result {
        Some(tsdb_statistics_response::Result::Statistics(statistics)) => Frame::Item(statistics),
        Some(tsdb_statistics_response::Result::Warning(text)) => Frame::Warning(text),
        None => Frame::Empty,
    },
};

impl Proxy {
    /// The statistics of all endpoints, an item for each.
    ///
    /// # Errors
    /// `Aborted` when an endpoint fails and the request does not take partial answers.
    pub async fn statistics(
        &self,
        request: TsdbStatisticsRequest,
        options: &CallOptions,
    ) -> Result<Gathered<TsdbStatistics>, Status> {
        let strategy = request.partial_response_strategy;
        let requests = self.for_all(&STATISTICS, &request, options);
        let ask = |channel, request| async move {
            let client = StatusClient::new(channel);
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .tsdb_statistics(request)
                .await
        };
        self.gather(&STATISTICS, strategy, requests, options, ask)
            .await
    }
}

/// Everything as one TSDB. Counts add up, except those of label values: the same value stands in many TSDBs, so the
/// largest count is the best guess. Lists are sorted, the largest first.
#[must_use]
pub fn merge_statistics(all: Vec<TsdbStatistics>) -> TsdbStatisticsEntry {
    let add = |a: u64, b: u64| a.saturating_add(b);
    let mut merged = TsdbStatisticsEntry::default();
    for entry in all.into_iter().flat_map(|one| one.statistics.into_values()) {
        let head = merged.head_statistics.get_or_insert_default();
        add_head(head, &entry.head_statistics.unwrap_or_default());
        join(
            &mut merged.series_count_by_metric_name,
            entry.series_count_by_metric_name,
            add,
        );
        join(
            &mut merged.label_value_count_by_label_name,
            entry.label_value_count_by_label_name,
            u64::max,
        );
        join(
            &mut merged.memory_in_bytes_by_label_name,
            entry.memory_in_bytes_by_label_name,
            add,
        );
        join(
            &mut merged.series_count_by_label_value_pair,
            entry.series_count_by_label_value_pair,
            add,
        );
    }
    merged
}

fn add_head(to: &mut HeadStatistics, from: &HeadStatistics) {
    to.num_series = to.num_series.saturating_add(from.num_series);
    to.num_label_pairs = to.num_label_pairs.saturating_add(from.num_label_pairs);
    to.chunk_count = to.chunk_count.saturating_add(from.chunk_count);
    if to.min_time <= 0 || to.min_time > from.min_time {
        to.min_time = from.min_time;
    }
    to.max_time = to.max_time.max(from.max_time);
}

fn join(to: &mut Vec<Statistic>, from: Vec<Statistic>, both: impl Fn(u64, u64) -> u64) {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, statistic) in to.iter().enumerate() {
        places.insert(statistic.name.clone(), at);
    }
    for statistic in from {
        match places.get(&statistic.name) {
            Some(&at) => to[at].value = both(to[at].value, statistic.value),
            None => {
                places.insert(statistic.name.clone(), to.len());
                to.push(statistic);
            }
        }
    }
    to.sort_by(|a, b| (Reverse(a.value), &a.name).cmp(&(Reverse(b.value), &b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_but_label_values_are_the_same_everywhere() {
        let statistic = |name: &str, value| Statistic {
            name: name.into(),
            value,
        };
        let of = |series, values, range: (i64, i64)| TsdbStatistics {
            statistics: [(
                String::new(),
                TsdbStatisticsEntry {
                    head_statistics: Some(HeadStatistics {
                        num_series: series,
                        min_time: range.0,
                        max_time: range.1,
                        ..HeadStatistics::default()
                    }),
                    series_count_by_metric_name: vec![statistic("up", series), statistic("b", 9)],
                    label_value_count_by_label_name: vec![statistic("job", values)],
                    ..TsdbStatisticsEntry::default()
                },
            )]
            .into(),
        };
        let merged = merge_statistics(vec![of(10, 3, (5, 20)), of(20, 2, (3, 10))]);
        let head = merged.head_statistics.expect("there");
        assert_eq!((head.num_series, head.min_time, head.max_time), (30, 3, 20));
        assert_eq!(
            merged.series_count_by_metric_name,
            [statistic("up", 30), statistic("b", 18)]
        );
        assert_eq!(
            merged.label_value_count_by_label_name,
            [statistic("job", 3)]
        );
    }
}
