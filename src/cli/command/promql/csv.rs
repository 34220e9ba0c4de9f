//! Answers as comma-separated values (RFC 4180): a row per point, a column per label.

use super::answer::{Data, Series};
use super::table::{label, label_names};
use super::time::show;

pub(super) fn csv(data: &Data) -> String {
    let rows = match data {
        Data::Scalar(t, v) => vec![
            row(["time", "value"]),
            row([show(*t).as_str(), promql::format_float(*v).as_str()]),
        ],
        Data::Text(text) => vec![row(["value"]), row([text.as_str()])],
        Data::Vector(series) | Data::Matrix(series) => points(series),
    };
    rows.join("\n")
}

fn points(series: &[Series]) -> Vec<String> {
    let names = label_names(series);
    let mut rows = vec![row(["time"]
        .into_iter()
        .chain(names.iter().copied())
        .chain(["value"]))];
    for series in series {
        let labels: Vec<&str> = names.iter().map(|name| label(series, name)).collect();
        for (t, value) in &series.points {
            let (time, value) = (show(*t), value.text());
            let cells = [time.as_str()]
                .into_iter()
                .chain(labels.iter().copied())
                .chain([value.as_str()]);
            rows.push(row(cells));
        }
    }
    rows
}

fn row<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    cells.into_iter().map(cell).collect::<Vec<_>>().join(",")
}

fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Value;
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        let series = Series {
            labels: vec![("a".to_owned(), "x,\"y\"".to_owned())],
            points: vec![(0, Value::Float(1.0)), (1500, Value::Float(f64::INFINITY))],
        };
        let text = csv(&Data::Matrix(vec![series]));
        let wanted = "time,a,value\n1970-01-01T00:00:00Z,\"x,\"\"y\"\"\",1\n1970-01-01T00:00:01.5Z,\"x,\"\"y\"\"\",+Inf";
        assert_eq!(text, wanted);
    }
}
