//! Ranges as lines in the terminal: braille dots, a colour and a letter per series, axes with times and SI values.

mod axis;
mod canvas;

use anstyle::{AnsiColor, Style};
use model::Timestamp;

use super::answer::{Series, Value};
use super::table::short_names;
use axis::{si, time_labels, value_ticks};
use canvas::Canvas;

/// More lines than these nobody can tell apart.
const MOST_SERIES: usize = 26;
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// Characters of the whole plot, without its legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// Of the terminal, of `COLUMNS`, or 80 by 20.
    pub(super) fn of_terminal() -> Self {
        let named = std::env::var("COLUMNS")
            .ok()
            .and_then(|text| text.parse().ok());
        let terminal = terminal_size::terminal_size();
        let columns = named
            .or(terminal.map(|(width, _)| usize::from(width.0)))
            .unwrap_or(80);
        let rows = terminal.map_or(20, |(_, height)| usize::from(height.0) / 2);
        Self {
            columns: columns.clamp(40, 400),
            rows: rows.clamp(10, 40),
        }
    }
}

/// The floats of `series` over `start..=end`.
pub(super) fn draw(
    title: &str,
    series: &[Series],
    (start, end): (Timestamp, Timestamp),
    size: Size,
    colour: bool,
) -> String {
    let shown = &series[..series.len().min(MOST_SERIES)];
    let values = shown
        .iter()
        .flat_map(floats)
        .map(|(_, v)| v)
        .filter(|v| v.is_finite());
    let Some((low, high)) = extent(values) else {
        return format!("{title}\n\n(nothing to plot: no finite value in this range)");
    };
    let ticks = value_ticks(low, high, size.rows / 4 + 1);
    let (bottom, top) = (ticks[0], ticks[ticks.len() - 1]);
    let step = ticks[1] - ticks[0];
    let labels: Vec<String> = ticks.iter().map(|tick| si(*tick, step)).collect();
    let gutter = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0);
    let mut canvas = Canvas::new(size.columns - gutter - 3, size.rows);
    let place = Place {
        start,
        end,
        bottom,
        top,
    };
    for (at, series) in shown.iter().enumerate() {
        line(&mut canvas, at, series, &place);
    }
    for (at, series) in shown.iter().enumerate().filter(|_| shown.len() > 1) {
        letters(&mut canvas, at, series, &place);
    }
    let mut lines = vec![title.replace('\n', " "), String::new()];
    for row in 0..size.rows {
        let tick = ticks
            .iter()
            .position(|tick| canvas.row_of(place.y(*tick)) == row);
        let (label, border) = tick.map_or(("", '│'), |tick| (labels[tick].as_str(), '┤'));
        let cells = canvas.row(row, |at, text| painted(at, text, colour));
        lines.push(
            format!("{label:>gutter$} {border}{cells}")
                .trim_end()
                .to_owned(),
        );
    }
    lines.push(format!("{:gutter$} └{}", "", "─".repeat(canvas.columns())));
    let times = time_labels(start, end, canvas.columns());
    lines.push(format!("{:gutter$}  {times}", "").trim_end().to_owned());
    lines.push(String::new());
    lines.extend(legend(shown, colour));
    if shown.len() < series.len() {
        lines.push(format!(
            "… and {} more series, not drawn",
            series.len() - shown.len()
        ));
    }
    lines.join("\n")
}

/// Where times and values are on the canvas, from 0 to 1.
struct Place {
    start: Timestamp,
    end: Timestamp,
    bottom: f64,
    top: f64,
}

impl Place {
    fn x(&self, t: Timestamp) -> f64 {
        let range = (self.end - self.start).max(1);
        (t - self.start) as f64 / range as f64
    }

    fn y(&self, v: f64) -> f64 {
        // Halves, because the difference of two large values may be infinite.
        (v / 2.0 - self.bottom / 2.0) / (self.top / 2.0 - self.bottom / 2.0)
    }
}

fn floats(series: &Series) -> impl Iterator<Item = (Timestamp, f64)> {
    series.points.iter().filter_map(|(t, value)| match value {
        Value::Float(v) => Some((*t, *v)),
        Value::Histogram(_) => None,
    })
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent, v| {
        let (low, high): (f64, f64) = extent.unwrap_or((v, v));
        Some((low.min(v), high.max(v)))
    })
}

/// Joins neighbours, but not over a gap of more than one and a half of the usual distance.
fn line(canvas: &mut Canvas, at: usize, series: &Series, place: &Place) {
    let points: Vec<(Timestamp, f64)> = floats(series).collect();
    let usual = points
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .min()
        .unwrap_or(0);
    let mut before: Option<(Timestamp, f64)> = None;
    for (t, v) in points {
        if !v.is_finite() {
            before = None;
            continue;
        }
        let to = (place.x(t), place.y(v));
        let from = before.filter(|(b, _)| (t - b) * 2 <= usual * 3);
        let from = from.map_or(to, |(b, w)| (place.x(b), place.y(w)));
        canvas.line(from, to, at);
        before = Some((t, v));
    }
}

/// The letter of a series on its line, so that it is found without colours.
fn letters(canvas: &mut Canvas, at: usize, series: &Series, place: &Place) {
    let points: Vec<(Timestamp, f64)> = floats(series).filter(|(_, v)| v.is_finite()).collect();
    // Not all series at the same places, lest they hide each other.
    let shift = at * points.len() / 13;
    for part in 0..4 {
        let index = (points.len() * (2 * part + 1) / 8 + shift) % points.len().max(1);
        if let Some((t, v)) = points.get(index) {
            canvas.letter((place.x(*t), place.y(*v)), letter(at), at);
        }
    }
}

fn letter(at: usize) -> char {
    char::from(b'a' + u8::try_from(at % MOST_SERIES).unwrap_or(0))
}

fn painted(at: usize, text: &str, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let style: Style = COLOURS[at % COLOURS.len()].on_default();
    format!("{style}{text}{style:#}")
}

fn legend(series: &[Series], colour: bool) -> Vec<String> {
    let names = short_names(series);
    let line = |(at, (series, name)): (usize, (&Series, String))| {
        let values: Vec<f64> = floats(series)
            .map(|(_, v)| v)
            .filter(|v| v.is_finite())
            .collect();
        let range = match (extent(values.iter().copied()), values.last()) {
            (Some((low, high)), Some(last)) => {
                let [low, high, last] = [low, high, *last].map(|v| si(v, v.abs() / 100.0));
                format!("min {low}  max {high}  last {last}")
            }
            _ => "no finite values".to_owned(),
        };
        let mark = painted(at, &format!("{} ━━", letter(at)), colour);
        format!("{mark} {name}  {range}")
    };
    series.iter().zip(names).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
