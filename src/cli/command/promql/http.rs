//! Asks an endpoint that speaks Prometheus's HTTP API.

use std::time::Duration;

use promql::Span;
use serde_json::Value as Json;

use super::time::{When, seconds};
use crate::diagnostic::{Failure, Result};

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// The body as it came, and read.
pub(super) async fn ask(
    url: &str,
    expr: &str,
    when: When,
    timeout: Duration,
) -> Result<(String, Json)> {
    let base = url.trim_end_matches('/');
    let seconds_of_timeout = timeout.as_secs_f64().to_string();
    let mut form = vec![("query", expr.to_owned()), ("timeout", seconds_of_timeout)];
    let path = match when {
        When::At(time) => {
            form.push(("time", seconds(time)));
            "query"
        }
        When::Range { start, end, step } => {
            form.push(("start", seconds(start)));
            form.push(("end", seconds(end)));
            form.push(("step", seconds(step)));
            "query_range"
        }
    };
    let failed = |e: reqwest::Error| {
        let e = e.without_url();
        let mut failure = Failure::from_error(&e);
        if let Some(problem) = failure.problems.first_mut() {
            problem.message = format!("cannot ask {base}: {}", problem.message);
        }
        failure
            .help("--url is the address of a Prometheus or a Thanos querier: http://localhost:9090")
    };
    // The endpoint's own timeout comes first: its answer says more.
    let patience = timeout.saturating_add(Duration::from_secs(5));
    let client = reqwest::Client::builder()
        .timeout(patience)
        .build()
        .map_err(failed)?;
    let request = client.post(format!("{base}/api/v1/{path}")).form(&form);
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = read_body(response, base, failed).await?;
    let answer: Json = serde_json::from_str(&body).map_err(|_| {
        let start: String = body.chars().take(200).collect();
        Failure::new(format!(
            "{base} does not answer as Prometheus does (status {status}): {start}"
        ))
    })?;
    if answer["status"] == "success" {
        return Ok((body, answer));
    }
    Err(refusal(expr, &answer))
}

async fn read_body(
    mut response: reqwest::Response,
    base: &str,
    failed: impl Fn(reqwest::Error) -> Failure,
) -> Result<String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(&failed)? {
        if body.len() + piece.len() > MAX_ANSWER {
            let limit = MAX_ANSWER >> 20;
            return Err(
                Failure::new(format!("the answer of {base} is larger than {limit} MiB"))
                    .help("aggregate more, or ask for fewer steps"),
            );
        }
        body.extend_from_slice(&piece);
    }
    String::from_utf8(body).map_err(|_| Failure::new(format!("the answer of {base} is no text")))
}

/// An answer that is an error. A mistake in the expression is shown in it.
fn refusal(expr: &str, answer: &Json) -> Failure {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    let message = text("error");
    match place(expr, message) {
        Some((span, what)) => super::at(expr, span, what, "parse error"),
        None => Failure::new(format!("{}: {message}", text("errorType"))),
    }
}

/// The place that `…1:5: parse error: what` names.
fn place<'m>(expr: &str, message: &'m str) -> Option<(Span, &'m str)> {
    let (before, what) = message.split_once(": parse error: ")?;
    let place = before.rsplit([' ', '"']).next()?;
    let (line, column) = place.split_once(':')?;
    let (line, column): (u32, u32) = (line.parse().ok()?, column.parse().ok()?);
    let before = expr
        .split_inclusive('\n')
        .take(line.checked_sub(1)? as usize);
    let start = before.map(str::len).sum::<usize>() + column.checked_sub(1)? as usize;
    if start > expr.len() || !expr.is_char_boundary(start) {
        return None;
    }
    let word = expr[start..].find(|c: char| !c.is_alphanumeric() && c != '_');
    let length = word.unwrap_or(expr.len() - start).max(1);
    let (start, end) = (
        u32::try_from(start).ok()?,
        u32::try_from(start + length).ok()?,
    );
    let span = Span {
        start,
        end,
        line,
        column,
    };
    Some((span, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_an_endpoints_error_is_found() {
        let message = r#"invalid parameter "query": 2:3: parse error: unexpected identifier "b""#;
        let (span, what) = place("a\n  b c", message).expect("a place");
        assert_eq!((span.start, span.end, span.line), (4, 5, 2));
        assert_eq!(what, "unexpected identifier \"b\"");
        for message in [
            "9:9: parse error: x",
            "x: parse error: y",
            "0:0: parse error: x",
            "timeout",
        ] {
            assert_eq!(place("a", message), None, "{message}");
        }
    }
}
