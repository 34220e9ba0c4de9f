//! One request, its answer, and what differs between two answers.

use std::fmt;
use std::process::Command;

use serde_json::Value as Json;

/// A request to the API.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Behind `/api/v1/`.
    pub(crate) path: String,
    pub(crate) params: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn get(path: &str, params: &[(&'static str, &str)]) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            params: params
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            ..Self::default()
        }
    }

    pub(crate) fn post(self) -> Self {
        Self {
            method: "POST",
            ..self
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.params.push((name, value.to_owned()));
        self
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.iter().any(|(key, _)| *key == name)
    }

    pub(crate) fn has_query(&self, query: &str) -> bool {
        self.params.contains(&("query", query.to_owned()))
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.params {
            write!(f, " {name}={value:?}")?;
        }
        self.headers
            .iter()
            .try_for_each(|header| write!(f, " [{header}]"))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: String,
    /// `Content-Type`, `Cache-Control`, `Access-Control-Allow-Origin`.
    headers: String,
    pub(crate) body: Json,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.body.to_string().chars().take(600).collect();
        write!(f, "{} {} {body}", self.status, self.headers)
    }
}

const HEADERS: &str =
    "%{http_code}\t%{content_type}\t%header{cache-control}\t%header{access-control-allow-origin}";

/// Sends a request to the querier at `url`.
pub(crate) fn ask(url: &str, request: &Request) -> Answer {
    let mut command = Command::new("curl");
    command.args([
        "-s",
        "--max-time",
        "60",
        "--path-as-is",
        "-X",
        request.method,
    ]);
    command.args(["-w", &format!("\n{HEADERS}")]);
    if request.method == "GET" {
        command.arg("-G");
    }
    for (name, value) in &request.params {
        command.args(["--data-urlencode", &format!("{name}={value}")]);
    }
    for header in &request.headers {
        command.args(["-H", header]);
    }
    let output = command
        .arg(format!("{url}/api/v1/{}", request.path))
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, head) = text.rsplit_once('\n').unwrap_or_default();
    let (status, headers) = head.split_once('\t').unwrap_or_default();
    Answer {
        status: status.to_owned(),
        headers: headers.to_owned(),
        body: serde_json::from_str(body).unwrap_or_else(|_| Json::String(body.to_owned())),
    }
}

/// Why other answers than Thanos's are right.
pub(crate) fn explained(request: &Request, ours: &Answer, theirs: &Answer) -> Option<&'static str> {
    let has = |name: &str, values: &[&str]| {
        let mut params = request.params.iter();
        params.any(|(key, value)| {
            *key == name && (values.is_empty() || values.contains(&value.as_str()))
        })
    };
    let errors = [ours, theirs].map(|answer| answer.body["error"].as_str().unwrap_or_default());
    let both = |text: &str| errors.iter().all(|error| error.contains(text));
    let is_query = request.path.starts_with("query");
    let times = ["time", "start", "end"];
    Some(match () {
        () if is_query && has("limit", &["1", "3", "-1", "abc", "1.5"]) => {
            "queries have a limit here, as in Prometheus"
        }
        () if has("timeout", &["0"]) => "no time at all is over before, not while it is evaluated",
        () if times.iter().any(|name| has(name, &["NaN"])) => "NaN is no time",
        () if ours.status == "404" && theirs.status == "404" => "what is not there is said in JSON",
        () if both("could not unmarshal parameter shard_info") => "another library reads JSON",
        () if both("error parsing regexp") => "another library reads regular expressions",
        () if both("found duplicate series for the match group") => "any two series are named",
        () if both("unexpected end of input in offset") => "later PromQL knows range()",
        () if has("match[]", &["sum(temperature)", ""]) && both(" ") => {
            "the parser says what is wrong with a selector"
        }
        () if request.path == "query_exemplars" && ours.status == "400" => {
            "what is wrong with a request is told as Prometheus does"
        }
        () if both("invalid label name") => "bytes are no name",
        () if has(
            "query",
            &["sort(temperature)", "sort_by_label(temperature, \"room\")"],
        ) =>
        {
            "later PromQL warns that a range is not sorted"
        }
        () => return None,
    })
}

/// What differs, if anything does.
pub(crate) fn difference(ours: &Answer, theirs: &Answer) -> Option<String> {
    if ours.status != theirs.status {
        return Some("the status differs".to_owned());
    }
    if ours.headers != theirs.headers {
        return Some("the headers differ".to_owned());
    }
    differs("", &ours.body, &theirs.body)
}

/// Where two documents differ first.
fn differs(at: &str, ours: &Json, theirs: &Json) -> Option<String> {
    match (ours, theirs) {
        // Of the one that answers.
        _ if ["version", "revision", "branch", "goVersion"]
            .iter()
            .any(|key| at == format!("/data/{key}")) =>
        {
            None
        }
        (Json::Object(a), Json::Object(b)) => {
            if let Some(key) = a
                .keys()
                .chain(b.keys())
                .find(|key| a.contains_key(*key) != b.contains_key(*key))
            {
                return Some(format!("{at}/{key} is on one side only"));
            }
            a.iter().find_map(|(key, value)| {
                // Times and costs of this one run.
                let shape_only =
                    at.contains("/stats") || matches!(key.as_str(), "lastCheck" | "stats");
                let at = format!("{at}/{key}");
                if shape_only && !value.is_object() {
                    None
                } else {
                    differs(&at, value, &b[key])
                }
            })
        }
        (Json::Array(a), Json::Array(b)) => {
            if a.len() != b.len() {
                return Some(format!("{at} has {} and {} items", a.len(), b.len()));
            }
            let (a, b) = (in_order(a), in_order(b));
            a.iter()
                .zip(&b)
                .enumerate()
                .find_map(|(i, (a, b))| differs(&format!("{at}/{i}"), a, b))
        }
        // Thanos says of some where they come from, down to the call; we say of all where in the query they come from.
        (Json::String(a), Json::String(b))
            if at == "/error" && b.ends_with(a)
                || at.starts_with("/warnings") && a.starts_with(b) =>
        {
            None
        }
        (Json::String(a), Json::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) if a.to_bits() == b.to_bits() => None,
            _ if a == b => None,
            _ => Some(format!("{at} differs: {a:?} and {b:?}")),
        },
        _ if ours == theirs => None,
        _ => Some(format!("{at} differs: {ours} and {theirs}")),
    }
}

/// The order of series is nobody's promise.
fn in_order(items: &[Json]) -> Vec<Json> {
    let mut items = items.to_vec();
    if items.iter().all(|item| item.get("metric").is_some()) {
        items.sort_by_cached_key(|item| item["metric"].to_string());
    }
    items
}

/// What differs between the values of two answers. Sums of parts are others in their last bits.
pub(crate) fn difference_of_values(ours: &Answer, theirs: &Answer) -> Option<String> {
    if ours.status != theirs.status {
        return Some("the status differs".to_owned());
    }
    let (ours, theirs) = (
        rounded(&ours.body["data"]["result"]),
        rounded(&theirs.body["data"]["result"]),
    );
    differs("", &ours, &theirs)
}

fn rounded(value: &Json) -> Json {
    match value {
        Json::Array(items) => items.iter().map(rounded).collect(),
        Json::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), rounded(value)))
            .collect(),
        Json::String(text) => match text.parse::<f64>() {
            // The wire does not tell zeros apart.
            Ok(number) => Json::String(format!("{:.9e}", number + 0.0)),
            Err(_) => value.clone(),
        },
        other => other.clone(),
    }
}
