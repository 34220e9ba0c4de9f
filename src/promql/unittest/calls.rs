//! The functions of templates.

use regex::Regex;

use super::humanize;
use super::template::TemplateError;
use super::template_run::{Context, Sample, Value};

/// A function, by its place in [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) call: Call,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

pub(super) type Called = Result<Value, String>;
type Call = fn(&Context<'_>, &[Value]) -> Called;

/// What Prometheus and Go have, and this does not.
const UNSUPPORTED: [&str; 12] = [
    "graphLink",
    "tableLink",
    "safeHtml",
    "args",
    "tmpl",
    "toTime",
    "toDuration",
    "call",
    "html",
    "js",
    "slice",
    "urlquery",
];

/// By name.
const TABLE: &[(&str, Call)] = &[
    ("and", |_, args| Ok(first_that(args, false))),
    ("eq", |_, args| {
        let [left, rest @ ..] = args else {
            return wrong("eq");
        };
        let mut equal = false;
        for right in rest {
            equal |= compare(left, right)? == Some(std::cmp::Ordering::Equal);
        }
        Ok(Value::Bool(equal))
    }),
    ("externalURL", |context, _| {
        Ok(Value::Text(context.external_url.to_owned()))
    }),
    ("first", |_, args| match args {
        [Value::Samples(samples)] => match samples.first() {
            Some(sample) => Ok(Value::Sample(sample.clone())),
            None => Err("first() called on vector with no elements".to_owned()),
        },
        _ => wrong("first"),
    }),
    ("ge", |_, args| ordered("ge", args, |order| order.is_ge())),
    ("gt", |_, args| ordered("gt", args, |order| order.is_gt())),
    ("humanize", |_, args| humanized(args, humanize::humanize)),
    ("humanize1024", |_, args| {
        humanized(args, humanize::humanize1024)
    }),
    ("humanizeDuration", |_, args| {
        humanized(args, humanize::humanize_duration)
    }),
    ("humanizePercentage", |_, args| {
        humanized(args, humanize::humanize_percentage)
    }),
    ("humanizeTimestamp", |_, args| {
        timestamp(float("humanizeTimestamp", args)?)
    }),
    ("index", |_, args| match args {
        [Value::Labels(labels), Value::Text(name)] => {
            Ok(Value::Text(labels.get(name).cloned().unwrap_or_default()))
        }
        [Value::Samples(samples), Value::Int(at)] => usize::try_from(*at)
            .ok()
            .and_then(|at| samples.get(at))
            .map(|sample| Value::Sample(sample.clone()))
            .ok_or_else(|| format!("index out of range: {at}")),
        _ => wrong("index"),
    }),
    ("label", |_, args| match args {
        [Value::Text(name), Value::Sample(sample)] => Ok(Value::Text(
            sample.labels.get(name).cloned().unwrap_or_default(),
        )),
        _ => wrong("label"),
    }),
    ("le", |_, args| ordered("le", args, |order| order.is_le())),
    ("len", |_, args| match args {
        [Value::Samples(samples)] => Ok(Value::Int(samples.len() as i64)),
        [Value::Text(text)] => Ok(Value::Int(text.len() as i64)),
        [Value::Labels(labels)] => Ok(Value::Int(labels.len() as i64)),
        _ => wrong("len"),
    }),
    ("lt", |_, args| ordered("lt", args, |order| order.is_lt())),
    ("match", |_, args| match args {
        [Value::Text(pattern), Value::Text(text)] => {
            Ok(Value::Bool(regex(pattern)?.is_match(text)))
        }
        _ => wrong("match"),
    }),
    ("ne", |_, args| match args {
        [left, right] => Ok(Value::Bool(
            compare(left, right)? != Some(std::cmp::Ordering::Equal),
        )),
        _ => wrong("ne"),
    }),
    ("not", |_, args| match args {
        [value] => Ok(Value::Bool(!value.is_true())),
        _ => wrong("not"),
    }),
    ("now", |context, _| {
        Ok(Value::Float(context.time as f64 / 1000.0))
    }),
    ("or", |_, args| Ok(first_that(args, true))),
    ("parseDuration", |_, args| {
        let text = text("parseDuration", args)?;
        let (sign, unsigned) = text
            .strip_prefix('-')
            .map_or((1.0, text), |rest| (-1.0, rest));
        let ms = model::parse_duration(unsigned).map_err(|error| error.to_string())?;
        Ok(Value::Float(sign * ms as f64 / 1000.0))
    }),
    ("pathPrefix", |context, _| {
        let after = context
            .external_url
            .split_once("://")
            .map_or("", |(_, after)| after);
        let path = after.find('/').map_or("", |at| &after[at..]);
        Ok(Value::Text(
            path.split(['?', '#']).next().unwrap_or_default().to_owned(),
        ))
    }),
    ("print", |_, args| {
        Ok(Value::Text(
            args.iter().map(Value::print).collect::<Vec<_>>().join(" "),
        ))
    }),
    ("printf", |_, args| match args {
        [Value::Text(format), values @ ..] => printf(format, values),
        _ => wrong("printf"),
    }),
    ("query", |context, args| {
        (context.query)(text("query", args)?).map(Value::Samples)
    }),
    ("reReplaceAll", |_, args| match args {
        [Value::Text(pattern), Value::Text(to), Value::Text(text)] => Ok(Value::Text(
            regex(pattern)?.replace_all(text, to.as_str()).into_owned(),
        )),
        _ => wrong("reReplaceAll"),
    }),
    ("sortByLabel", |_, args| match args {
        [Value::Text(name), Value::Samples(samples)] => {
            let mut samples = samples.clone();
            samples.sort_by(|a, b| a.label(name).cmp(b.label(name)));
            Ok(Value::Samples(samples))
        }
        _ => wrong("sortByLabel"),
    }),
    ("stripDomain", |_, args| {
        Ok(Value::Text(strip_domain(text("stripDomain", args)?)))
    }),
    ("stripPort", |_, args| {
        let address = text("stripPort", args)?;
        Ok(Value::Text(
            host_port(address)
                .map_or(address, |(host, _)| host)
                .to_owned(),
        ))
    }),
    ("strvalue", |_, args| match args {
        [Value::Sample(sample)] => Ok(Value::Text(sample.label("__value__").to_owned())),
        _ => wrong("strvalue"),
    }),
    ("title", |_, args| {
        Ok(Value::Text(title(text("title", args)?)))
    }),
    ("toLower", |_, args| {
        Ok(Value::Text(text("toLower", args)?.to_lowercase()))
    }),
    ("toUpper", |_, args| {
        Ok(Value::Text(text("toUpper", args)?.to_uppercase()))
    }),
    ("urlQueryEscape", |_, args| {
        Ok(Value::Text(escape(text("urlQueryEscape", args)?)))
    }),
    ("value", |_, args| match args {
        [Value::Sample(sample)] => Ok(Value::of(&sample.value)),
        _ => wrong("value"),
    }),
];

impl Function {
    pub(super) fn find(word: &str) -> Result<Self, TemplateError> {
        if UNSUPPORTED.contains(&word) {
            return Err(TemplateError::Unsupported(word.to_owned()));
        }
        let found = TABLE.iter().find(|(name, _)| *name == word);
        let (name, call) = found.ok_or_else(|| TemplateError::NoFunction(word.to_owned()))?;
        Ok(Self { name, call: *call })
    }
}

fn wrong<T>(name: &str) -> Result<T, String> {
    Err(format!("wrong number or type of args for {name}"))
}

fn text<'v>(name: &str, args: &'v [Value]) -> Result<&'v str, String> {
    match args {
        [Value::Text(text)] => Ok(text),
        _ => wrong(name),
    }
}

fn float(name: &str, args: &[Value]) -> Result<f64, String> {
    match args {
        [Value::Float(v)] => Ok(*v),
        [Value::Int(v)] => Ok(*v as f64),
        [Value::Text(text)] => text
            .parse()
            .map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        [_] => Err("can't convert to float".to_owned()),
        _ => wrong(name),
    }
}

fn humanized(args: &[Value], write: fn(f64) -> String) -> Called {
    Ok(Value::Text(write(float("humanize", args)?)))
}

fn timestamp(seconds: f64) -> Called {
    if !seconds.is_finite() {
        return Ok(Value::Text(humanize::with_digits(seconds, 4)));
    }
    let time = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64)
        .map_err(|_| format!("{seconds} cannot be represented as a timestamp"))?;
    let fraction = time.subsec_millisecond();
    let digits = format!("{fraction:03}");
    let digits = if fraction == 0 {
        String::new()
    } else {
        format!(".{}", digits.trim_end_matches('0'))
    };
    Ok(Value::Text(format!(
        "{}{digits} +0000 UTC",
        time.strftime("%Y-%m-%d %H:%M:%S")
    )))
}

/// The first value whose truth is `wanted`, else the last.
fn first_that(args: &[Value], wanted: bool) -> Value {
    let found = args.iter().find(|value| value.is_true() == wanted);
    found.or(args.last()).cloned().unwrap_or(Value::Nothing)
}

/// Go compares only what has the same basic kind; NaN compares with nothing.
fn compare(left: &Value, right: &Value) -> Result<Option<std::cmp::Ordering>, String> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn ordered(name: &str, args: &[Value], holds: fn(std::cmp::Ordering) -> bool) -> Called {
    match args {
        [left, right] => Ok(Value::Bool(compare(left, right)?.is_some_and(holds))),
        _ => wrong(name),
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string())
}

fn host_port(address: &str) -> Option<(&str, &str)> {
    if let Some(bracketed) = address.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return Some((host, rest.strip_prefix(':')?));
    }
    address
        .split_once(':')
        .filter(|(_, port)| !port.contains(':'))
}

fn strip_domain(address: &str) -> String {
    let (host, port) =
        host_port(address).map_or((address, None), |(host, port)| (host, Some(port)));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return address.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    match port {
        Some(port) if !port.is_empty() => format!("{name}:{port}"),
        _ => name.to_owned(),
    }
}

fn title(text: &str) -> String {
    let mut in_word = false;
    let raise = |c: char| {
        let starts = c.is_alphanumeric() && !in_word;
        in_word = c.is_alphanumeric() || matches!(c, '\'' | '_' | '.');
        if starts {
            c.to_uppercase().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(raise).collect()
}

fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b' ' => "+".to_owned(),
        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    escaped.collect()
}

/// `%s %v %q %d %t %f %g %e %%`, with a precision.
fn printf(format: &str, values: &[Value]) -> Called {
    let (mut out, mut values) = (String::new(), values.iter());
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != '.');
        let end = end.ok_or("printf: no verb")?;
        let (flags, verb) = (&after[..end], after[end..].chars().next().unwrap_or('%'));
        rest = &after[end + verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values
            .next()
            .ok_or_else(|| format!("printf: no value for %{verb}"))?;
        out.push_str(&formatted(flags, verb, value)?);
    }
    out.push_str(rest);
    Ok(Value::Text(out))
}

fn formatted(flags: &str, verb: char, value: &Value) -> Result<String, String> {
    let unsupported = || {
        format!(
            "printf: %{flags}{verb} of {} is not supported here",
            value.print()
        )
    };
    let (width, precision) = flags
        .split_once('.')
        .map_or((flags, None), |(w, p)| (w, Some(p)));
    if width.starts_with('0') {
        return Err(unsupported());
    }
    let width: usize = if width.is_empty() {
        0
    } else {
        width.parse().map_err(|_| unsupported())?
    };
    let precision: Option<usize> = match precision {
        None => None,
        Some(text) => Some(if text.is_empty() {
            0
        } else {
            text.parse().map_err(|_| unsupported())?
        }),
    };
    if width > 1000 || precision.is_some_and(|p| p > 1000) {
        return Err(unsupported());
    }
    let text = match (verb, value) {
        ('v', Value::Float(v)) | ('g', Value::Float(v)) => match precision {
            Some(digits) => humanize::with_digits(*v, digits),
            None => value.print(),
        },
        ('v', _) if precision.is_none() => value.print(),
        ('s', Value::Text(text)) => text.chars().take(precision.unwrap_or(usize::MAX)).collect(),
        ('q', Value::Text(text)) if precision.is_none() => format!("{text:?}"),
        ('d', Value::Int(v)) if precision.is_none() => v.to_string(),
        ('t', Value::Bool(v)) if precision.is_none() => v.to_string(),
        ('f', Value::Float(v)) if v.is_finite() => format!("{v:.*}", precision.unwrap_or(6)),
        ('f', Value::Float(_)) => value.print(),
        _ => return Err(unsupported()),
    };
    Ok(format!("{text:>width$}"))
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}
