//! What stands beside the axes.

use model::Timestamp;

/// About `count` round values that enclose `low..=high`, ascending, at least two.
pub(super) fn value_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (low, high) = if low == high {
        around(low)
    } else {
        (low, high)
    };
    let step = round_step((high / 2.0 - low / 2.0) / count.max(2) as f64 * 2.0);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let steps = (last - first).clamp(1.0, 100.0) as u32;
    let ticks: Vec<f64> = (0..=steps)
        .map(|at| (first + f64::from(at)) * step)
        .collect();
    let usable =
        ticks.iter().all(|tick| tick.is_finite()) && ticks.windows(2).all(|pair| pair[0] < pair[1]);
    // At the edge of what floats can say there are no round values.
    if usable { ticks } else { vec![low, high] }
}

fn around(v: f64) -> (f64, f64) {
    let margin = if v == 0.0 { 1.0 } else { v.abs() / 2.0 };
    (v - margin, v + margin)
}

/// The next of 1, 2, 5, 10, … times a power of ten.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// `v` with an SI prefix, and as many digits as a difference of `step` needs.
pub(super) fn si(v: f64, step: f64) -> String {
    if v == 0.0 {
        return "0".to_owned();
    }
    let prefixes = [
        (1e24, "Y"),
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1.0, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
        (1e-12, "p"),
    ];
    // What rounding left of a zero tick.
    if v.abs() < step.abs() * 1e-9 {
        return "0".to_owned();
    }
    let found = prefixes.iter().find(|(size, _)| v.abs() >= *size);
    let Some((size, prefix)) = found.filter(|_| v.abs() < 1e28) else {
        return format!("{v:.2e}");
    };
    let digits = (size / step).log10().ceil().clamp(0.0, 6.0);
    let digits = if digits.is_nan() { 2 } else { digits as usize };
    let text = format!("{:.digits$}", v / size);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{prefix}")
}

/// Times at the start, at the end and between, as many as fit into `columns`; UTC.
pub(super) fn time_labels(start: Timestamp, end: Timestamp, columns: usize) -> String {
    let range = end - start;
    let form = match range {
        ..300_000 => "%H:%M:%S",
        300_000..86_400_000 => "%H:%M",
        86_400_000..1_209_600_000 => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    let label = |t: Timestamp| match jiff::Timestamp::from_millisecond(t) {
        Ok(time) => time.strftime(form).to_string(),
        Err(_) => t.to_string(),
    };
    let zone = " UTC";
    let width = label(start).len().max(label(end).len()) + zone.len();
    let count = (columns / (width + 4)).clamp(2, 7);
    let mut line = String::new();
    for at in 0..count {
        let t = start + range / (count as i64 - 1) * at as i64;
        let text = if at + 1 == count {
            format!("{}{zone}", label(end))
        } else {
            label(t)
        };
        let middle = columns * at / (count - 1);
        let from = middle.saturating_sub(if at == 0 { 0 } else { text.len() / 2 });
        let from = from.min(columns.saturating_sub(text.len()));
        let written = line.chars().count();
        if from >= written {
            line.extend(std::iter::repeat_n(' ', from - written));
            line.push_str(&text);
        }
    }
    line
}
