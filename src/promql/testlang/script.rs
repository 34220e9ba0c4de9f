//! Files of the language as commands.

use model::Timestamp;

use super::expect::{Expectations, Pattern};
use super::memory::Pairs;
use super::series::{SeriesError, Value, metric_end, parse_labels, parse_series};
use crate::number::parse_number;

/// A file of the language.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(super) commands: Vec<Command>,
}

/// Why a text is no such file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ScriptError {
    pub line: usize,
    pub why: String,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) line: usize,
    /// Milliseconds between samples.
    pub(super) interval: i64,
    /// Whether classic histograms are loaded as native ones too.
    pub(super) with_nhcb: bool,
    pub(super) series: Vec<Loaded>,
}

#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) labels: Pairs,
    pub(super) values: Vec<Value>,
    /// Start timestamps, milliseconds from their samples; empty if there are none.
    pub(super) starts: Vec<Option<i64>>,
}

#[derive(Clone, Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    /// Of a range query, or of the range vector that is expected.
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) step: i64,
    pub(super) is_range: bool,
    pub(super) expect: Expectations,
    pub(super) expected: Expected,
}

/// Its place in the text, from 1; its labels; its values.
pub(super) type Wanted = (usize, Pairs, Vec<Value>);

#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// Series with their place in the text, from 1.
    Series(Vec<Wanted>),
    /// The same, of an instant query that gives a range vector.
    RangeVector(Vec<Wanted>),
    Scalar(f64),
    Text(String),
}

impl Script {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`ScriptError`], the first mistake.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let lines = text.lines().map(str::trim);
        let lines: Vec<&str> = lines
            .map(|line| if line.starts_with('#') { "" } else { line })
            .collect();
        let mut commands = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let (head, line) = (lines[at], at + 1);
            let word = head.split([' ', '\t']).next().unwrap_or_default();
            let word = word.to_ascii_lowercase();
            let body = match word.starts_with("load") || word.starts_with("eval") {
                true => lines[line..].iter().take_while(|l| !l.is_empty()).count(),
                false => 0,
            };
            let block = &lines[line..line + body];
            let command = match word.as_str() {
                "" => None,
                "clear" => Some(Command::Clear),
                _ if word.starts_with("load") => Some(Command::Load(load(head, line, block)?)),
                _ if word.starts_with("eval") => {
                    Some(Command::Eval(Box::new(eval(head, line, block)?)))
                }
                _ => return Err(error(line, format!("invalid command {head:?}"))),
            };
            commands.extend(command);
            at += 1 + body;
        }
        Ok(Self { commands })
    }

    /// How many evaluations there are.
    #[must_use]
    pub fn evaluations(&self) -> usize {
        let evals = self.commands.iter();
        evals.filter(|c| matches!(c, Command::Eval(_))).count()
    }
}

fn error(line: usize, why: impl std::fmt::Display) -> ScriptError {
    ScriptError {
        line,
        why: why.to_string(),
    }
}

fn duration(text: &str, line: usize) -> Result<i64, ScriptError> {
    model::parse_duration(text).map_err(|why| error(line, why))
}

fn load(head: &str, line: usize, block: &[&str]) -> Result<Load, ScriptError> {
    let (word, interval) = head
        .split_once([' ', '\t'])
        .ok_or_else(|| error(line, "invalid load command"))?;
    let mut load = Load {
        line,
        interval: duration(interval.trim(), line)?,
        with_nhcb: word == "load_with_nhcb",
        series: Vec::new(),
    };
    let mut starts: Option<(Pairs, Vec<Option<i64>>)> = None;
    for (at, text) in block.iter().enumerate() {
        let line = line + 1 + at;
        if let Some(found) = starts_of(text).map_err(|why| error(line, why))? {
            starts = Some(found);
            continue;
        }
        let parsed = parse_series(text).map_err(|why| error(line, why))?;
        let starts = match starts.take() {
            None => Vec::new(),
            Some((labels, starts))
                if labels == parsed.labels && starts.len() == parsed.values.len() =>
            {
                starts
            }
            Some(_) => {
                return Err(error(
                    line,
                    "the line of start times before is of another series",
                ));
            }
        };
        load.series.retain(|there| there.labels != parsed.labels);
        load.series.push(Loaded {
            labels: parsed.labels,
            values: parsed.values,
            starts,
        });
    }
    match starts {
        None => Ok(load),
        Some(_) => Err(error(line, "start times without a series after them")),
    }
}

type Starts = (Pairs, Vec<Option<i64>>);

/// Reads `metric{labels}@st offsets`; `None` for another line.
fn starts_of(text: &str) -> Result<Option<Starts>, SeriesError> {
    let end = metric_end(text);
    let (metric, rest) = match text[end..].strip_prefix("@st") {
        Some(rest) => (&text[..end], rest),
        None => match text[..end].strip_suffix("@st") {
            Some(metric) => (metric, &text[end..]),
            None => return Ok(None),
        },
    };
    let mut starts = Vec::new();
    for item in rest.split_whitespace() {
        start_item(item, &mut starts).ok_or_else(|| SeriesError::Value(item.to_owned()))?;
    }
    Ok(Some((parse_labels(metric)?, starts)))
}

/// `_`, `_x3`, `-1m`, `-1mx3`, `-1m+30sx3`.
fn start_item(item: &str, starts: &mut Vec<Option<i64>>) -> Option<()> {
    let (values, times) = match item.split_once('x') {
        Some((values, times)) => (values, super::series::parse_times(times)?),
        None => (item, 0),
    };
    if values == "_" {
        starts.extend((0..times.max(1)).map(|_| None));
        return Some(());
    }
    let sign = values.get(1..)?.find(['+', '-']).map(|at| at + 1);
    let (first, step) = values.split_at(sign.unwrap_or(values.len()));
    let (mut start, step) = (signed_duration(first)?, signed_duration(step)?);
    for _ in 0..=times {
        starts.push(Some(start));
        start += step;
    }
    Some(())
}

fn signed_duration(text: &str) -> Option<i64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let ms = match unsigned {
        "" => 0,
        _ => model::parse_duration(unsigned).ok()?,
    };
    Some(if text.starts_with('-') { -ms } else { ms })
}

/// The next word of `text`, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn eval(head: &str, line: usize, block: &[&str]) -> Result<Eval, ScriptError> {
    let invalid = || error(line, format!("invalid evaluation command {head:?}"));
    let (command, rest) = word(head);
    let (kind, mut rest) = word(rest);
    let mut times = [0; 3];
    let keys: &[&str] = match kind {
        "instant" => &["at"],
        "range" => &["from", "to", "step"],
        _ => return Err(invalid()),
    };
    for (key, time) in keys.iter().zip(&mut times) {
        let (found, after) = word(rest);
        let (value, after) = word(after);
        if found != *key {
            return Err(invalid());
        }
        *time = duration(value, line)?;
        rest = after;
    }
    let is_range = kind == "range";
    let [start, end, step] = if is_range {
        times
    } else {
        [times[0], times[0], 0]
    };
    let mut eval = Eval {
        line,
        query: rest.to_owned(),
        start,
        end,
        step,
        is_range,
        expect: Expectations::default(),
        expected: Expected::Series(Vec::new()),
    };
    match command.trim_start_matches("eval") {
        "" => {}
        "_fail" => eval.expect.fail = Some(Pattern::Any),
        "_warn" => eval.expect.warn = vec![Pattern::Any],
        "_info" => eval.expect.info = vec![Pattern::Any],
        "_ordered" => eval.expect.ordered = true,
        _ => return Err(invalid()),
    }
    for (at, text) in block.iter().enumerate() {
        let number = line + 1 + at;
        eval.body(text).map_err(|why| error(number, why))?;
    }
    Ok(eval)
}

impl Eval {
    /// One line below the command.
    fn body(&mut self, text: &str) -> Result<(), String> {
        if let Some(message) = text.strip_prefix("expected_fail_message") {
            self.expect.fail = Some(Pattern::Message(message.trim().to_owned()));
            return Ok(());
        }
        if let Some(pattern) = text.strip_prefix("expected_fail_regexp") {
            self.expect.fail = Some(Pattern::regex(pattern.trim())?);
            return Ok(());
        }
        if let Some(rest) = text.strip_prefix("expect range vector") {
            return self.range_vector(rest);
        }
        if let Some(literal) = text.strip_prefix("expect string ") {
            let matches = |length: usize| length == literal.len();
            if !crate::lexer::text::scan_string(literal).is_ok_and(matches) {
                return Err(format!("{literal} is no string"));
            }
            self.expected = Expected::Text(crate::lexer::text::unquote(literal));
            return Ok(());
        }
        if let Some(rest) = text.strip_prefix("expect ") {
            return self.expect.add(rest);
        }
        if let Some(value) = scalar(text) {
            self.expected = Expected::Scalar(value);
            return Ok(());
        }
        let line = parse_series(text).map_err(|error| error.to_string())?;
        let (Expected::Series(series) | Expected::RangeVector(series)) = &mut self.expected else {
            return Err("a series beside a scalar or a string".to_owned());
        };
        let place = series.len() + 1;
        series.retain(|(_, labels, _)| *labels != line.labels);
        series.push((place, line.labels, line.values));
        Ok(())
    }

    fn range_vector(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["from", start, "to", end, "step", step] = words.as_slice() else {
            return Err(format!("invalid range vector definition {text:?}"));
        };
        let duration = |text: &str| model::parse_duration(text).map_err(|error| error.to_string());
        (self.start, self.end, self.step) = (duration(start)?, duration(end)?, duration(step)?);
        self.expected = Expected::RangeVector(Vec::new());
        Ok(())
    }
}

/// A line that is nothing but a number.
fn scalar(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    parse_number(unsigned).ok().map(|value| sign * value)
}
