//! Log lines in the shape that Thanos's own have (go-kit's logfmt, or its JSON).
//!
//! `ts=2026-01-31T12:00:00.123456789Z caller=http.rs:42 level=info component=sidecar msg="listening" …`:
//! time in UTC, the call's file and line, the level, the fields of the surrounding spans, the message,
//! the event's own fields. A field named `component` or `service` stands before the message.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `ts=… caller=… level=… msg="…"`
    #[default]
    Logfmt,
    /// The same keys as one JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            _ => Err(format!("log format {name:?} is neither logfmt nor json")),
        }
    }
}

/// Libraries whose debug lines are about their own insides.
const CHATTY: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
    "tower",
    "tonic",
    "mio",
    "notify",
    "reqwest",
    "object_store",
];

/// Logs to stderr from `level` (`debug`, `info`, `warn`, `error`; anything else is `info`) upwards,
/// panics included. Call once, at the start; later calls change nothing.
pub fn init(level: &str, format: Format) {
    let subscriber = tracing_subscriber::registry().with(
        Lines {
            format,
            writer: std::io::stderr,
        }
        .with_filter(filter(level)),
    );
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        log_panics();
    }
}

fn filter(level: &str) -> Targets {
    let level = Level::from_str(level).unwrap_or(Level::INFO);
    // The less verbose level is the smaller one.
    let theirs = level.min(Level::INFO);
    CHATTY
        .iter()
        .fold(Targets::new().with_default(level), |targets, name| {
            targets.with_target(*name, theirs)
        })
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let has_trace = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        tracing::error!(
            err = panic.payload_as_str().unwrap_or("unknown"),
            at = place,
            thread = thread.name().unwrap_or("unnamed"),
            backtrace = has_trace.then(|| tracing::field::display(backtrace)),
            "panic"
        );
    }));
}

/// The layer that writes a line for each event.
struct Lines<W> {
    format: Format,
    writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line::start(self.format, event.metadata());
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                fields
                    .0
                    .iter()
                    .for_each(|(key, value)| line.push(key, value));
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields.0.sort_by_key(|(key, _)| rank(key));
        fields
            .0
            .iter()
            .for_each(|(key, value)| line.push(key, value));
        // One write: lines of several threads do not mix. Nobody is left to tell when stderr is gone.
        let _ = self
            .writer
            .make_writer()
            .write_all(line.finish().as_bytes());
    }
}

/// `component` and `service`, then the message, then the rest in its order.
fn rank(key: &str) -> u8 {
    match key {
        "component" | "service" => 0,
        "msg" => 1,
        _ => 2,
    }
}

/// Keys and values of a span or an event.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    /// A number or truth value: unquoted in both formats.
    Plain(String),
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let key = if field.name() == "message" {
            "msg"
        } else {
            field.name()
        };
        self.0.push((key, value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        self.put(
            field,
            if value.is_finite() {
                Value::Plain(text)
            } else {
                Value::Text(text)
            },
        );
    }

    /// The whole chain, as Go's wrapped errors print it.
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::Text(chain(error)));
    }
}

/// An error and its causes, `outer: inner: innermost`; a cause that its parent already ends with is
/// not repeated.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

struct Line {
    format: Format,
    text: String,
}

impl Line {
    fn start(format: Format, metadata: &Metadata<'_>) -> Self {
        let mut line = Self {
            format,
            text: String::with_capacity(160),
        };
        let file = metadata.file().unwrap_or("unknown");
        let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let caller = format!("{file}:{}", metadata.line().unwrap_or(0));
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            // Thanos knows no level below debug.
            Level::DEBUG | Level::TRACE => "debug",
        };
        line.push("ts", &Value::Text(jiff::Timestamp::now().to_string()));
        line.push("caller", &Value::Text(caller));
        line.push("level", &Value::Text(level.to_owned()));
        line
    }

    fn push(&mut self, key: &str, value: &Value) {
        let out = &mut self.text;
        match self.format {
            Format::Logfmt => {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(key);
                out.push('=');
                match value {
                    Value::Text(text) if needs_quotes(text) => quote(out, text),
                    Value::Text(text) | Value::Plain(text) => out.push_str(text),
                }
            }
            Format::Json => {
                out.push(if out.is_empty() { '{' } else { ',' });
                quote(out, key);
                out.push(':');
                match value {
                    Value::Text(text) => quote(out, text),
                    Value::Plain(text) => out.push_str(text),
                }
            }
        }
    }

    fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }
}

/// The rule of the logfmt package that go-kit uses.
fn needs_quotes(text: &str) -> bool {
    text == "null"
        || text
            .chars()
            .any(|c| c <= ' ' || matches!(c, '=' | '"' | '\u{fffd}'))
}

/// As a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: Format, work: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let lines = Lines {
            format,
            writer: move || writer.clone(),
        };
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = captured.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_thanoss_keys_in_thanoss_order() {
        let text = logged("info", Format::Logfmt, || {
            let span = tracing::info_span!("run", component = "sidecar");
            let _entered = span.enter();
            tracing::info!(address = "0.0.0.0:1", n = 3, "listening for \"all\"");
        });
        let (ts, rest) = text.split_once(' ').unwrap();
        let time: jiff::Timestamp = ts.strip_prefix("ts=").unwrap().parse().unwrap();
        assert!((jiff::Timestamp::now() - time).get_seconds() < 60);
        assert!(ts.ends_with('Z'), "{ts}");
        let (caller, rest) = rest.split_once(' ').unwrap();
        assert!(caller.starts_with("caller=log.rs:"), "{caller}");
        let wanted =
            r#"level=info component=sidecar msg="listening for \"all\"" address=0.0.0.0:1 n=3"#;
        assert_eq!(rest.trim_end(), wanted);
    }

    #[test]
    fn json_lines_have_the_same_keys_and_typed_values() {
        let text = logged("info", Format::Json, || {
            tracing::warn!(n = 3, why = "a\nb", "oh");
        });
        let rest = &text[text.find(r#""level""#).unwrap()..];
        assert_eq!(
            rest,
            "\"level\":\"warn\",\"msg\":\"oh\",\"n\":3,\"why\":\"a\\nb\"}\n"
        );
    }

    #[test]
    fn the_level_is_the_least_that_is_logged_and_libraries_never_say_more_than_info() {
        let noise = || {
            tracing::debug!("ours");
            tracing::debug!(target: "h2::proto", "theirs");
            tracing::error!(target: "h2::proto", "important");
        };
        let debug = logged("debug", Format::Logfmt, noise);
        assert!(
            debug.contains("msg=ours") && !debug.contains("theirs"),
            "{debug}"
        );
        let error = logged("error", Format::Logfmt, noise);
        assert!(
            !error.contains("ours") && error.contains("msg=important"),
            "{error}"
        );
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let cause = std::io::Error::other("disk on fire");
        let error = crate::tls::TlsError::Read {
            what: "key",
            path: "/k".into(),
            source: cause,
        };
        let text = logged("info", Format::Logfmt, || {
            tracing::error!(err = &error as &dyn std::error::Error, "no");
        });
        assert!(
            text.contains(r#"err="cannot read key /k: disk on fire""#),
            "{text}"
        );
    }
}
