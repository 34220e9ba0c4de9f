//! The whole way of native histograms through the engine, in Prometheus's test language. (Its own tests of them are
//! run by `tests/conformance.rs`.)

use crate::testlang::{Script, engine};

fn holds(script: &str) {
    let script = Script::parse(script).expect("a script");
    assert!(script.evaluations() > 0);
    for outcome in script.run(&engine()) {
        assert!(outcome.result.is_ok(), "{outcome:?}");
    }
}

#[test]
fn a_rate_adds_what_a_reset_hid() {
    holds(
        "load 1m
  rpc {{schema:0 count:4 sum:8 buckets:[4]}} {{schema:0 count:10 sum:20 buckets:[10]}} {{schema:0 count:2 sum:4 buckets:[2]}} {{schema:0 count:8 sum:16 buckets:[8]}}

eval instant at 3m increase(rpc[3m1s])
  expect no_warn
  {} {{schema:0 count:14.077777777777778 sum:28.155555555555555 counter_reset_hint:gauge buckets:[14.077777777777778]}}

eval instant at 3m resets(rpc[5m])
  {} 1

eval instant at 3m histogram_count(irate(rpc[5m]))
  {} 0.1
",
    );
}

#[test]
fn kinds_do_not_mix() {
    holds(
        "load 1m
  mixed 1 {{schema:0 count:4 sum:8 buckets:[4]}}
  rpc{job=\"a\"} {{schema:0 count:4 sum:8 buckets:[4]}}x2
  rpc{job=\"b\"} 7x2

eval instant at 1m rate(mixed[5m])
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for metric name \"mixed\" (1:6)

eval instant at 1m sum(rpc)
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)

eval instant at 1m rpc{job=\"a\"} > 2
  expect info msg: PromQL info: incompatible sample types encountered for binary operator \">\": histogram > float (1:1)

eval instant at 1m rpc{job=\"a\"} * 2
  {job=\"a\"} {{schema:0 count:8 sum:16 buckets:[8]}}

eval instant at 1m max(rpc)
  expect info msg: PromQL info: ignored histogram in max aggregation (1:5)
  {} 7
",
    );
}

#[test]
fn custom_bounds_that_differ_meet_in_those_that_are_shared() {
    holds(
        "load 1m
  nhcb{job=\"a\"} {{schema:-53 count:3 sum:3 custom_values:[1 2 5] buckets:[1 1 1]}}x2
  nhcb{job=\"b\"} {{schema:-53 count:3 sum:3 custom_values:[1 3 5] buckets:[1 1 1]}}x2
  exponential {{schema:0 count:1 sum:1 buckets:[1]}}x2

eval instant at 1m sum(nhcb)
  expect info msg: PromQL info: mismatched custom buckets were reconciled during aggregation (1:5)
  {} {{schema:-53 count:6 sum:6 custom_values:[1 5] buckets:[2 4]}}

eval instant at 1m nhcb{job=\"a\"} + on() group_left() exponential
  expect warn msg: PromQL warning: incompatible bucket layout encountered for binary operator + (1:1)
",
    );
}

#[test]
fn quantiles_of_classic_and_native_histograms_stand_side_by_side() {
    holds(
        "load 1m
  classic_bucket{job=\"c\",le=\"1\"} 2x2
  classic_bucket{job=\"c\",le=\"2\"} 1x2
  classic_bucket{job=\"c\",le=\"+Inf\"} 4x2
  native{job=\"n\"} {{schema:0 count:4 sum:8 buckets:[0 4]}}x2

eval instant at 1m histogram_quantile(0.25, {__name__=~\"classic_bucket|native\"})
  expect info
  {job=\"c\"} 0.5
  {job=\"n\"} 1.189207115002721

eval instant at 1m histogram_fraction(1, 2, native)
  {job=\"n\"} 1
",
    );
}
