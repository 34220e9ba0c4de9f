//! Plain pages for people without a dashboard at hand: the query, the stores, the status. No build step, no other file.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{OriginalUri, State};
use axum::response::{Html, Redirect};
use store::EndpointStatus;

use super::{Api, stores};

const STYLE: &str = include_str!("pages/style.css");
const QUERY: &str = include_str!("pages/query.html");
/// Title and place, relative to where the pages are.
const PAGES: [(&str, &str); 3] = [
    ("Query", "graph"),
    ("Stores", "stores"),
    ("Status", "status"),
];
const TABLE: &str = "<table><tr><th>Endpoint</th><th>Type</th><th>State</th><th>Labels</th>\
<th>From</th><th>To</th><th>Last seen</th></tr>";

/// `GET /`: to the query, relative to whatever prefix is before it here or at a proxy.
pub(super) async fn root(OriginalUri(uri): OriginalUri) -> Redirect {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    match last {
        "" => Redirect::temporary("graph"),
        last => Redirect::temporary(&format!("{last}/graph")),
    }
}

/// `GET /graph`.
pub(super) async fn query() -> Html<String> {
    Html(page("Query", QUERY))
}

/// `GET /stores`.
pub(super) async fn stores(State(api): State<Arc<Api>>) -> Html<String> {
    Html(page("Stores", &stores_table(&api.source.stores())))
}

/// `GET /status`.
pub(super) async fn status(State(api): State<Arc<Api>>) -> Html<String> {
    let running = [
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Started", stores::rfc3339(api.started)),
        ("Queries at a time", api.settings.max_concurrent.to_string()),
        (
            "Samples a query may hold",
            api.settings.max_samples.to_string(),
        ),
    ];
    let flags = api.settings.flags.iter();
    let flags = flags.map(|(name, value)| (name.as_str(), value.clone()));
    let body = format!("{}<h1>Flags</h1>{}", pairs(running), pairs(flags));
    Html(page("Status", &body))
}

fn page(title: &str, body: &str) -> String {
    let links = PAGES.map(|(name, place)| {
        let here = if name == title { " class=\"here\"" } else { "" };
        format!("<a href=\"{place}\"{here}>{name}</a>")
    });
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – tks</title><style>{STYLE}</style></head>\
         <body><nav>{}</nav><h1>{title}</h1>{body}</body></html>\n",
        links.concat()
    )
}

fn pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, String)>) -> String {
    let row = |(name, value): (&str, String)| {
        let (name, value) = (Escaped(name), Escaped(&value));
        format!("<tr><td>{name}</td><td><code>{value}</code></td></tr>")
    };
    let rows: String = pairs.into_iter().map(row).collect();
    format!("<table>{rows}</table>")
}

fn stores_table(stores: &[EndpointStatus]) -> String {
    if stores.is_empty() {
        return "<p>No store is connected.</p>".to_owned();
    }
    let mut table = TABLE.to_owned();
    stores.iter().for_each(|store| push_row(&mut table, store));
    table + "</table>"
}

fn push_row(page: &mut String, store: &EndpointStatus) {
    let (class, state) = match &store.last_error {
        None => ("up", "up"),
        Some(error) => ("down", error.as_str()),
    };
    let _ = write!(
        page,
        "<tr><td><code>{}</code></td><td>{}</td><td class=\"{class}\">{}</td><td>",
        Escaped(&store.name),
        Escaped(&store.component_type),
        Escaped(state),
    );
    for set in &store.label_sets {
        let pairs: Vec<String> = set
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let _ = write!(page, "<code>{{{}}}</code><br>", Escaped(&pairs.join(", ")));
    }
    let _ = write!(
        page,
        "</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        time(store.min_time),
        time(store.max_time),
        time(store.last_check.map_or(i64::MIN, milliseconds))
    );
}

fn milliseconds(time: SystemTime) -> i64 {
    jiff::Timestamp::try_from(time).map_or(i64::MIN, jiff::Timestamp::as_millisecond)
}

/// A time for people; the ends of time are a dash.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "–".to_owned(), |time| format!("{time:.0}"))
}

/// Text inside HTML: it comes from other machines.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stores_say_of_themselves_cannot_become_markup() {
        let page = stores_table(&[EndpointStatus {
            name: "a:1".into(),
            component_type: "<script>".into(),
            last_check: None,
            last_error: Some("no & \"never\"".into()),
            label_sets: vec![vec![("cluster".into(), "<b>".into())]],
            min_time: 0,
            max_time: i64::MAX,
        }]);
        assert!(page.contains("<td>&lt;script&gt;</td>"), "{page}");
        assert!(page.contains("no &amp; &quot;never&quot;"), "{page}");
        assert!(page.contains("{cluster=&quot;&lt;b&gt;&quot;}"), "{page}");
        assert!(
            page.contains("<td>1970-01-01T00:00:00Z</td><td>–</td>"),
            "{page}"
        );
    }
}
