//! A plain page that lists the stores, for people without a dashboard at hand.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use store::EndpointStatus;

use super::Api;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Thanos query</title>\
<style>body{font:15px system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}\
th,td{text-align:left;padding:.3rem .8rem;border-bottom:1px solid #ccc;vertical-align:top}\
.up{color:#076}.down{color:#b00}code{font-size:13px}</style></head><body><h1>Stores</h1>";
const TABLE: &str = "<table><tr><th>Endpoint</th><th>Type</th><th>State</th><th>Labels</th>\
<th>From</th><th>To</th></tr>";

/// `GET /` and `GET /stores`.
pub(super) async fn stores(State(api): State<Arc<Api>>) -> Html<String> {
    Html(render(&api.source.stores()))
}

fn render(stores: &[EndpointStatus]) -> String {
    let mut page = HEAD.to_owned();
    if stores.is_empty() {
        page.push_str("<p>No store is connected.</p>");
    } else {
        page.push_str(TABLE);
        stores.iter().for_each(|store| push_row(&mut page, store));
        page.push_str("</table>");
    }
    page.push_str("</body></html>\n");
    page
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
        "</td><td>{}</td><td>{}</td></tr>",
        time(store.min_time),
        time(store.max_time)
    );
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
        let page = render(&[EndpointStatus {
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
