//! Answers as tables.

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;

use super::answer::{Data, Series};
use super::time::show;
use crate::term::table;

/// More series than these stand below each other, not side by side.
const MOST_COLUMNS: usize = 6;

pub(super) fn answer(data: &Data) -> String {
    match data {
        Data::Scalar(_, v) => promql::format_float(*v),
        Data::Text(text) => text.clone(),
        Data::Vector(series) | Data::Matrix(series) if series.is_empty() => {
            "(no series)".to_owned()
        }
        Data::Vector(series) => vector(series),
        Data::Matrix(series) if series.len() <= MOST_COLUMNS => side_by_side(series),
        Data::Matrix(series) => one_below_the_other(series),
    }
}

/// The names of all labels.
pub(super) fn label_names(series: &[Series]) -> BTreeSet<&str> {
    let labels = series.iter().flat_map(|series| &series.labels);
    labels.map(|(name, _)| name.as_str()).collect()
}

pub(super) fn label<'s>(series: &'s Series, name: &str) -> &'s str {
    let found = series.labels.iter().find(|(n, _)| n == name);
    found.map_or("", |(_, value)| value)
}

/// A column per label that some series has, and the value.
fn vector(series: &[Series]) -> String {
    let names = label_names(series);
    let head: Vec<&str> = names.iter().copied().chain(["VALUE"]).collect();
    let row = |series: &Series| {
        let labels = names.iter().map(|name| label(series, name).to_owned());
        let value = series.points.first().map(|(_, value)| value.text());
        labels.chain([value.unwrap_or_default()]).collect()
    };
    table(&head, series.iter().map(row))
}

/// A row per time, a column per series, which is named by the labels that tell it from the others.
fn side_by_side(series: &[Series]) -> String {
    let names: Vec<String> = short_names(series);
    let head: Vec<&str> = ["TIME"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let mut rows: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    for (at, series) in series.iter().enumerate() {
        for (t, value) in &series.points {
            let row = rows
                .entry(*t)
                .or_insert_with(|| vec![String::new(); names.len()]);
            row[at] = value.text();
        }
    }
    let rows = rows
        .into_iter()
        .map(|(t, values)| [vec![show(t)], values].concat());
    table(&head, rows)
}

fn one_below_the_other(series: &[Series]) -> String {
    let names = label_names(series);
    let head: Vec<&str> = names.iter().copied().chain(["TIME", "VALUE"]).collect();
    let rows = series.iter().flat_map(|series| {
        let labels: Vec<String> = names
            .iter()
            .map(|name| label(series, name).to_owned())
            .collect();
        let rows = series.points.iter();
        rows.map(move |(t, value)| [labels.clone(), vec![show(*t), value.text()]].concat())
    });
    table(&head, rows)
}

/// Series by the labels that they do not all share; by all of them if there is one series only.
pub(super) fn short_names(series: &[Series]) -> Vec<String> {
    let [first, _, ..] = series else {
        return series.iter().map(Series::name).collect();
    };
    let shared = |pair: &(String, String)| series.iter().all(|other| other.labels.contains(pair));
    let common: Vec<_> = first.labels.iter().filter(|pair| shared(pair)).collect();
    let short = |series: &Series| {
        let labels = series.labels.iter().filter(|pair| !common.contains(pair));
        Series {
            labels: labels.cloned().collect(),
            points: Vec::new(),
        }
        .name()
    };
    series.iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Value;
    use super::*;

    fn series(labels: &[(&str, &str)], points: &[(Timestamp, f64)]) -> Series {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        Series {
            labels: labels.iter().map(owned).collect(),
            points: points.iter().map(|(t, v)| (*t, Value::Float(*v))).collect(),
        }
    }

    #[test]
    fn a_vector_has_a_column_per_label() {
        let data = Data::Vector(vec![
            series(&[("job", "a")], &[(0, 1.5)]),
            series(&[("x", "y")], &[(0, 2.0)]),
        ]);
        assert_eq!(answer(&data), "job   x   VALUE\na         1.5\n      y   2");
        assert_eq!(answer(&Data::Vector(Vec::new())), "(no series)");
    }

    #[test]
    fn a_matrix_has_a_row_per_time_and_columns_named_by_what_differs() {
        let data = Data::Matrix(vec![
            series(
                &[("__name__", "up"), ("job", "a")],
                &[(0, 1.0), (1000, 2.0)],
            ),
            series(&[("__name__", "up"), ("job", "b")], &[(1000, 3.0)]),
        ]);
        let wanted = "TIME                   {job=\"a\"}   {job=\"b\"}\n\
                      1970-01-01T00:00:00Z   1\n\
                      1970-01-01T00:00:01Z   2           3";
        assert_eq!(answer(&data), wanted);
    }

    #[test]
    fn many_series_stand_below_each_other() {
        let one = |i: usize| series(&[("i", &i.to_string())], &[(0, i as f64)]);
        let text = answer(&Data::Matrix((0..10).map(one).collect()));
        assert_eq!(text.lines().count(), 11);
        assert_eq!(
            text.lines().next(),
            Some("i   TIME                   VALUE")
        );
    }
}
