use super::template::Template;
use super::template_run::{Context, LabelMap};
use super::*;
use crate::{Features, testlang};

const RULES: &str = r#"
groups:
  - name: g
    labels: { team: infra }
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: { level: job }
      - alert: Down
        expr: up == 0
        for: 2m
        keep_firing_for: 3m
        labels: { severity: "{{ if eq $labels.job `api` }}page{{ else }}ticket{{ end }}" }
        annotations:
          summary: "{{ $labels.instance }} of {{ .Labels.job }} is {{ $value | humanize }}"
"#;

fn run(rules: &str, tests: &str) -> Vec<Outcome> {
    let rules = RuleFile::parse(rules, Features::default()).expect("rules");
    let file = TestFile::parse(tests).expect("tests");
    file.run(&[rules], Features::default(), None)
}

fn verdict(tests: &str) -> Vec<Failure> {
    let outcomes = run(RULES, tests);
    outcomes
        .into_iter()
        .flat_map(|outcome| outcome.failures)
        .collect()
}

const INPUT: &str = r#"
tests:
  - interval: 1m
    input_series:
      - { series: 'up{job="api", instance="a"}', values: "1 0 0 0 0 1 1 1 1 1" }
      - { series: 'up{job="db", instance="b"}', values: "1x9" }
"#;

#[test]
fn recorded_series_carry_labels_of_group_and_rule() {
    let tests = format!(
        "{INPUT}    promql_expr_test:
      - expr: job:up:sum
        eval_time: 2m
        exp_samples:
          - {{ labels: 'job:up:sum{{job=\"api\", level=\"job\", team=\"infra\"}}', value: 0 }}
          - {{ labels: 'job:up:sum{{job=\"db\", level=\"job\", team=\"infra\"}}', value: 1 }}
"
    );
    assert_eq!(verdict(&tests), []);
    let wrong = verdict(&tests.replace("value: 0", "value: 2"));
    let [Failure::Samples { expected, got, .. }] = wrong.as_slice() else {
        panic!("{wrong:?}");
    };
    assert_eq!(
        expected[0],
        r#"job:up:sum{job="api", level="job", team="infra"} 2"#
    );
    assert_eq!(
        got[0],
        r#"job:up:sum{job="api", level="job", team="infra"} 0"#
    );
}

fn alerts_at(time: &str, expected: &str) -> Vec<Failure> {
    verdict(&format!(
        "{INPUT}    alert_rule_test:\n      - eval_time: {time}\n        alertname: Down\n        exp_alerts: [{expected}]\n"
    ))
}

const DOWN: &str = r#"{ exp_labels: { job: api, instance: a, team: infra, severity: page }, exp_annotations: { summary: a of api is 0 } }"#;

#[test]
fn an_alert_waits_fires_is_kept_and_resolves() {
    assert_eq!(alerts_at("2m", ""), []);
    assert_eq!(alerts_at("3m", DOWN), []);
    assert_eq!(alerts_at("3m59s", DOWN), []);
    assert_eq!(alerts_at("7m", DOWN), [], "kept for three minutes after 5m");
    assert_eq!(alerts_at("8m", ""), []);
    let wrong = alerts_at("4m", "");
    let [Failure::Alerts { expected, got, .. }] = wrong.as_slice() else {
        panic!("{wrong:?}");
    };
    assert!(expected.is_empty() && got.len() == 2, "{got:?}");
}

#[test]
fn alerts_are_series_too_and_go_stale() {
    let at = |time: &str, labels: &str| {
        let samples = match labels {
            "" => String::new(),
            labels => format!("{{ labels: '{labels}', value: 1 }}"),
        };
        verdict(&format!(
            "{INPUT}    promql_expr_test:\n      - {{ expr: ALERTS, eval_time: {time}, exp_samples: [{samples}] }}\n"
        ))
    };
    let labels = |state| {
        format!(
            r#"ALERTS{{alertname="Down", alertstate="{state}", instance="a", job="api", severity="page", team="infra"}}"#
        )
    };
    assert_eq!(at("0m", ""), []);
    assert_eq!(at("1m", &labels("pending")), []);
    assert_eq!(at("3m", &labels("firing")), []);
    assert_eq!(at("8m", ""), []);
}

#[test]
fn mistakes_in_a_test_file_are_errors() {
    for text in [
        "tests: [{ nonsense: 1 }]",
        "group_eval_order: [a, a]",
        "evaluation_interval: soon",
        "tests: {",
    ] {
        assert!(TestFile::parse(text).is_err(), "{text}");
    }
    let failing = |part: &str| verdict(&format!("tests: [{part}]"));
    for part in [
        "{ input_series: [{ series: 'up{', values: '1' }] }",
        "{ input_series: [{ series: up, values: '1y' }] }",
        "{ alert_rule_test: [{ eval_time: 1m }] }",
        "{ promql_expr_test: [{ expr: 'sum(', eval_time: 1m }] }",
        "{ promql_expr_test: [{ expr: '1', eval_time: 1m, exp_samples: [{ labels: '{', value: 1 }] }] }",
    ] {
        assert!(
            matches!(failing(part).as_slice(), [Failure::Error(_)]),
            "{part}"
        );
    }
}

#[test]
fn mistakes_in_rules_are_told_all_at_once() {
    let rules = r#"
groups:
  - name: g
    rules:
      - { record: a, alert: b, expr: "1" }
      - { record: a, expr: "sum(" }
      - { alert: a, expr: "1", annotations: { x: "{{ nothing }}" } }
      - { alert: a, expr: "1", annotations: { x: "{{ graphLink `up` }}" } }
      - { record: a, expr: "1", for: 1m }
"#;
    let errors = RuleFile::parse(rules, Features::default()).expect_err("mistakes");
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for (at, part) in [
        "only one of",
        "could not parse expression: 1:5",
        "\"nothing\" not defined",
        "\"graphLink\" is not supported",
        "invalid field 'for'",
    ]
    .iter()
    .enumerate()
    {
        assert!(texts[at].contains(part), "{part}: {texts:#?}");
    }
}

#[test]
fn a_rule_that_fails_ends_its_test() {
    let rules = "groups: [{ name: g, rules: [{ record: same, expr: 'up', labels: { instance: x, job: x } }] }]";
    let outcomes = run(
        rules,
        &format!("{INPUT}    promql_expr_test: [{{ expr: '1', eval_time: 5m }}]\n"),
    );
    let [Failure::Error(why)] = outcomes[0].failures.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert!(
        why.contains("rule: same, time: 0s") && why.contains("same labelset"),
        "{why}"
    );
}

fn fill(text: &str, value: f64) -> Result<String, String> {
    let labels: LabelMap = [("job", "api"), ("instance", "web.example.org:9100")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    let value = testlang::Value::Float(value);
    template.fill(&Context {
        labels: &labels,
        external_labels: &LabelMap::from([("region".to_owned(), "eu".to_owned())]),
        external_url: "http://prom.example.org/path",
        value: &value,
        time: 90_000,
        query: &|text| match text {
            "up" => Ok(vec![template_run::Sample {
                labels: LabelMap::from([("a".to_owned(), "b".to_owned())]),
                value: testlang::Value::Float(7.0),
            }]),
            _ => Ok(Vec::new()),
        },
    })
}

#[test]
fn templates_are_filled_as_go_fills_them() {
    for (text, filled) in [
        (
            "{{ $labels.job }}/{{ .Labels.nothing }}/{{ $externalLabels.region }}",
            "api//eu",
        ),
        (
            "{{ $value }} {{ .Value | humanize }}",
            "1.234567e+06 1.235M",
        ),
        ("a {{- /* gone */ -}} b", "ab"),
        (
            "{{ if gt $value 5.0 }}high{{ else if eq 1 1 }}low{{ else }}never{{ end }}",
            "high",
        ),
        (
            "{{ if gt 1.0 $value }}high{{ else if ne 1 1 }}low{{ else }}other{{ end }}",
            "other",
        ),
        (
            "{{ $x := `a}}b` }}{{ if true }}{{ $x = \"c\\\"\" }}{{ end }}{{ $x }}",
            "c\"",
        ),
        (
            "{{ with query `up` }}{{ . | first | value }} {{ (index . 0).Labels.a }}{{ end }}",
            "7 b",
        ),
        (
            "{{ range query `up` }}{{ .Labels.a }}={{ .Value }}{{ end }}{{ range query `none` }}{{ else }}-{{ end }}",
            "b=7-",
        ),
        (
            "{{ printf \"%.2f|%5s|%q|%d%%\" $value `a` `b` 3 }}",
            "1234567.00|    a|\"b\"|3%",
        ),
        (
            "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}",
            "web.example.org web:9100",
        ),
        (
            "{{ reReplaceAll `(a)pi` `${1}b` $labels.job }} {{ match `^a` $labels.job }}",
            "ab true",
        ),
        (
            "{{ 90061 | humanizeDuration }} {{ 0 | humanizeTimestamp }} {{ now }}",
            "1d 1h 1m 1s 1970-01-01 00:00:00 +0000 UTC 90",
        ),
        (
            "{{ externalURL }} {{ pathPrefix }} {{ title `a bc` }} {{ toUpper `x` }}",
            "http://prom.example.org/path /path A Bc X",
        ),
        (
            "{{ parseDuration `1h` }} {{ urlQueryEscape `a b&` }}",
            "3600 a+b%26",
        ),
    ] {
        assert_eq!(fill(text, 1_234_567.0).as_deref(), Ok(filled), "{text}");
    }
}

#[test]
fn templates_that_go_refuses_are_refused() {
    let nested = format!(
        "{}1{}",
        "{{ if true }}".repeat(100),
        "{{ end }}".repeat(100)
    );
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    for text in [
        "{{ $value",
        "{{ end }}",
        "{{ if true }}",
        "{{ $nothing }}",
        "{{ 1 | 2 }}",
        "{{ }}",
        "{{ gt $value 5 }}",
        "{{ first (query `none`) }}",
        "{{ define `x` }}{{ end }}",
        "{{ query }}",
        &nested,
        &parens,
    ] {
        assert!(fill(text, 1.0).is_err(), "{text}");
    }
}
