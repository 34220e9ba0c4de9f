//! Times as they are typed, and as they are shown.

use model::Timestamp;

use crate::args::PromqlQueryArgs;
use crate::diagnostic::{Failure, Result};

/// Without `--start`, a range is this long.
const DEFAULT_RANGE: i64 = 3_600_000;
/// Without `--step`, a range has this many steps.
const DEFAULT_STEPS: i64 = 250;
/// The HTTP API's limit.
const MAX_STEPS: i64 = 11_000;

/// When a query is evaluated; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(Timestamp),
    Range {
        start: Timestamp,
        end: Timestamp,
        step: i64,
    },
}

/// What the flags say. A plot has to be a range.
pub(super) fn when(args: &PromqlQueryArgs, now: Timestamp, is_plot: bool) -> Result<When> {
    let wants_range = args.start.is_some() || args.end.is_some() || args.step.is_some();
    if is_plot && args.time.is_some() {
        return Err(Failure::new("a plot shows a range, not one instant")
            .help("--start and --end instead of --time"));
    }
    if !wants_range && !is_plot {
        let time = args
            .time
            .as_deref()
            .map(|text| parse(text, now))
            .transpose()?;
        return Ok(When::At(time.unwrap_or(now)));
    }
    let parse = |text: &Option<String>, otherwise: i64| match text {
        Some(text) => parse(text, now),
        None => Ok(otherwise),
    };
    let end = parse(&args.end, now)?;
    let start = parse(&args.start, end.saturating_sub(DEFAULT_RANGE))?;
    if end < start {
        return Err(Failure::new("the end of the range is before its start"));
    }
    let range = end.saturating_sub(start);
    let step = match args.step {
        Some(step) => i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
        None => ((range / DEFAULT_STEPS + 999) / 1000 * 1000).max(1000),
    };
    if step == 0 {
        return Err(Failure::new("a step of nothing never ends").help("--step 15s"));
    }
    if range / step >= MAX_STEPS {
        let steps = range / step + 1;
        return Err(Failure::new(format!(
            "{steps} steps are more than the limit of {MAX_STEPS}"
        ))
        .help("a longer --step, or a shorter range"));
    }
    Ok(When::Range { start, end, step })
}

/// RFC 3339, seconds, `now`, or a duration from now.
fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() {
        return Ok(now);
    }
    if let Some(duration) = relative.strip_prefix(['-', '+'])
        && let Ok(ms) = model::parse_duration(duration)
    {
        let ms = if relative.starts_with('-') { -ms } else { ms };
        return Ok(now.saturating_add(ms));
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok((seconds * 1000.0).round() as Timestamp);
    }
    let time: std::result::Result<jiff::Timestamp, _> = text.parse();
    time.map(|time| time.as_millisecond()).map_err(|_| {
        Failure::new(format!("`{text}` is not a time"))
            .help("2026-01-02T03:04:05Z, 1767322800, now, or -1h")
    })
}

/// UTC, with milliseconds only where there are some.
pub(super) fn show(t: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(t) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{t} ms"),
    }
}

/// As the HTTP API takes it: seconds.
pub(super) fn seconds(ms: i64) -> String {
    let (whole, rest) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    match (whole, rest) {
        (_, 0) => whole.to_string(),
        (0.., _) => format!("{whole}.{rest:03}"),
        (_, _) => (ms as f64 / 1000.0).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_from_now() {
        let now = 1_000_000_000_000;
        for (text, t) in [
            ("now", now),
            ("-1h", now - 3_600_000),
            ("now-1h30m", now - 5_400_000),
            ("+5m", now + 300_000),
            ("1.5", 1500),
            ("-1.5", -1500),
            ("1970-01-01T00:00:01.250Z", 1250),
            ("1970-01-01T01:00:00+01:00", 0),
        ] {
            assert_eq!(parse(text, now).ok(), Some(t), "{text}");
        }
        for text in ["", "soon", "-", "NaN", "inf", "1h"] {
            assert_eq!(
                parse(text, now).ok(),
                (text.is_empty()).then_some(now),
                "{text}"
            );
        }
    }

    #[test]
    fn seconds_have_milliseconds_where_there_are_some() {
        assert_eq!(seconds(1500), "1.500");
        assert_eq!(seconds(-1500), "-1.5");
        assert_eq!(seconds(2000), "2");
    }
}
