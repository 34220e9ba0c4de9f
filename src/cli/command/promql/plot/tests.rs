use super::*;

fn series(name: &str, points: impl IntoIterator<Item = (Timestamp, f64)>) -> Series {
    let points = points.into_iter().map(|(t, v)| (t, Value::Float(v)));
    Series {
        labels: vec![("job".to_owned(), name.to_owned())],
        points: points.collect(),
    }
}

const SIZE: Size = Size {
    columns: 60,
    rows: 10,
};

#[test]
fn a_rising_line_rises_between_round_values_and_times() {
    let line = series("a", (0..=60).map(|i| (i * 60_000, i as f64 * 1000.0)));
    let text = draw("up", &[line], (0, 3_600_000), SIZE, false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "up");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 60),
        "{text}"
    );
    assert!(lines[2].starts_with("60k ┤"), "{text}");
    assert!(lines[11].starts_with("  0 ┤"), "{text}");
    assert!(
        lines[13].trim_start().starts_with("00:00") && lines[13].ends_with("01:00 UTC"),
        "{text}"
    );
    assert!(
        text.ends_with("a ━━ {job=\"a\"}  min 0  max 60k  last 60k"),
        "{text}"
    );
    let first = |line: &str| {
        line.chars()
            .skip(5)
            .position(|c| c != ' ')
            .unwrap_or(usize::MAX)
    };
    assert!(
        first(lines[2]) > first(lines[6]) && first(lines[6]) > first(lines[11]),
        "{text}"
    );
}

#[test]
fn lines_are_told_apart_by_letters_without_colours_and_by_colours_with() {
    let all = [
        series("a", (0..100).map(|i| (i * 1000, 1.0))),
        series("b", (0..100).map(|i| (i * 1000, 2.0))),
    ];
    let plain = draw("x", &all, (0, 99_000), SIZE, false);
    assert!(!plain.contains('\u{1b}'));
    let plot = plain.split("UTC").next().unwrap_or_default();
    assert!(
        plot.matches('a').count() >= 4 && plot.matches('b').count() >= 4,
        "{plain}"
    );
    let coloured = draw("x", &all, (0, 99_000), SIZE, true);
    assert!(coloured.contains("\u{1b}[32m") && coloured.contains("\u{1b}[33m"));
}

#[test]
fn gaps_stay_gaps_and_values_that_are_none_are_left_out() {
    let gap = series(
        "a",
        [
            (0, 1.0),
            (1000, 1.0),
            (98_000, 1.0),
            (99_000, 1.0),
            (50_000, f64::NAN),
        ],
    );
    let text = draw("x", &[gap], (0, 99_000), SIZE, false);
    let drawn = text
        .chars()
        .filter(|c| ('\u{2801}'..='\u{28ff}').contains(c))
        .count();
    assert!((2..=4).contains(&drawn), "{text}");
    let nothing = series("a", [(0, f64::NAN), (1, f64::INFINITY)]);
    assert!(draw("x", &[nothing], (0, 1), SIZE, false).contains("nothing to plot"));
    assert!(draw("x", &[], (0, 1), SIZE, false).contains("nothing to plot"));
}

#[test]
fn the_largest_and_smallest_values_and_empty_ranges_are_no_panic() {
    for (low, high) in [
        (f64::MIN, f64::MAX),
        (5e-324, 1e-323),
        (0.0, 0.0),
        (-1.0, -1.0),
        (1.0, 1.0 + f64::EPSILON),
        (1e300, 1e300),
        (f64::MAX, f64::MAX),
    ] {
        let line = series("a", [(0, low), (1000, high)]);
        for end in [0, 1000, i64::MAX / 4] {
            let text = draw("x", std::slice::from_ref(&line), (0, end), SIZE, false);
            assert!(text.contains('┤'), "{low} {high}");
        }
    }
}

#[test]
fn values_have_si_prefixes_and_the_digits_that_differ() {
    for (v, step, text) in [
        (1500.0, 500.0, "1.5k"),
        (1e6, 1e6, "1M"),
        (0.002, 0.001, "2m"),
        (-2.5, 0.5, "-2.5"),
        (2.5e-7, 1e-8, "250n"),
        (1e-17, 1.0, "0"),
        (1.5e9, 1e8, "1.5G"),
    ] {
        assert_eq!(si(v, step), text, "{v}");
    }
}

#[test]
fn ticks_are_round_and_enclose_the_values() {
    assert_eq!(value_ticks(0.3, 9.7, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    assert_eq!(value_ticks(5.0, 5.0, 2), [0.0, 5.0, 10.0]);
}
