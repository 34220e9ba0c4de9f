//! Which part of a downsampled chunk answers a function.

/// What is read of chunks that hold aggregates instead of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Min,
    Max,
    Count,
    Sum,
    /// The counter, with its resets taken out, over raw chunks too.
    Counter,
    /// Sum by count.
    Average,
}

impl Aggregate {
    /// The choice for the function (or aggregation) right around a selector.
    #[must_use]
    pub fn of_function(function: &str) -> Self {
        match function {
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "increase" | "rate" | "irate" | "resets" | "xincrease" | "xrate" => Self::Counter,
            _ if function.starts_with("min_") => Self::Min,
            _ if function.starts_with("max_") => Self::Max,
            _ if function.starts_with("count_") => Self::Count,
            // A plain `sum` adds up values at one time: those are averages.
            _ if function.starts_with("sum_") => Self::Sum,
            _ => Self::Average,
        }
    }

    /// As a request asks for it.
    #[must_use]
    pub fn to_wire(self) -> Vec<i32> {
        use proto::thanos::Aggr;
        let all: &[Aggr] = match self {
            Self::Min => &[Aggr::Min],
            Self::Max => &[Aggr::Max],
            Self::Count => &[Aggr::Count],
            Self::Sum => &[Aggr::Sum],
            Self::Counter => &[Aggr::Counter],
            Self::Average => &[Aggr::Count, Aggr::Sum],
        };
        all.iter().map(|aggregate| i32::from(*aggregate)).collect()
    }
}

/// Whether deduplication between replicas evens out counters for this function.
#[must_use]
pub fn is_counter_function(function: &str) -> bool {
    matches!(function, "increase" | "rate" | "irate" | "resets")
}

/// The coarsest resolution (milliseconds) that still answers `function` over a range of `range`
/// milliseconds: a range must hold at least two windows.
#[must_use]
pub fn clamp_resolution(wanted: i64, function: &str, range: i64) -> i64 {
    let needs_two = matches!(
        function,
        "rate"
            | "irate"
            | "increase"
            | "delta"
            | "idelta"
            | "deriv"
            | "predict_linear"
            | "holt_winters"
            | "double_exponential_smoothing"
    );
    if needs_two && range > 0 {
        wanted.min(range / 2)
    } else {
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_choose_their_aggregate() {
        for (function, aggregate) in [
            ("min", Aggregate::Min),
            ("max_over_time", Aggregate::Max),
            ("count_over_time", Aggregate::Count),
            ("sum_over_time", Aggregate::Sum),
            ("sum", Aggregate::Average),
            ("", Aggregate::Average),
            ("xrate", Aggregate::Counter),
        ] {
            assert_eq!(Aggregate::of_function(function), aggregate, "{function}");
        }
    }

    #[test]
    fn dedup_counts_fewer_functions_as_counters_than_downsampling_does() {
        assert!(is_counter_function("resets"));
        assert!(!is_counter_function("xrate"));
    }

    #[test]
    fn a_range_holds_two_windows() {
        assert_eq!(clamp_resolution(3_600_000, "rate", 1_200_000), 600_000);
        assert_eq!(
            clamp_resolution(3_600_000, "avg_over_time", 1_200_000),
            3_600_000
        );
    }
}
