//! `tks query`: one PromQL query to the observer's central querier.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::engine::runtime;
use super::output;
use crate::Exit;
use crate::args::{QueryCommandArgs, QueryOutput};
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, table};

pub(crate) fn run(args: &QueryCommandArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(Some(&args.path), &args.tree)?;
    let url = format!("http://{}/api/v1/query", central_querier(&fleet)?);
    let (body, answer) = runtime()?.block_on(ask(&url, args))?;
    if args.output == QueryOutput::Json {
        printer.out(&body)?;
    }
    if answer["status"] != "success" {
        let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
        return Err(Failure::new(format!(
            "{}: {}",
            text("errorType"),
            text("error")
        )));
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        printer.note(&format!(
            "warning: {}",
            warning.as_str().unwrap_or_default()
        ));
    }
    if args.output == QueryOutput::Table {
        printer.out(&answer_table(&answer["data"]))?;
    }
    Ok(Exit::Done)
}

/// The address of the querier that sees the whole fleet.
fn central_querier(fleet: &Fleet) -> Result<String> {
    let outputs = output::recorded(fleet)?;
    let found = outputs.iter().find(|(path, _)| path.unit == "query");
    let address = found
        .and_then(|(_, outputs)| outputs.get("http"))
        .and_then(|http| http.as_text());
    address.map(str::to_owned).ok_or_else(|| {
        let dir = fleet.dir();
        Failure::new(format!("{dir} has no central querier that is applied"))
            .help(format!("tks apply {dir}"))
    })
}

async fn ask(url: &str, args: &QueryCommandArgs) -> Result<(String, Json)> {
    let failed = |e: reqwest::Error| {
        Failure::from_error(&e.without_url()).help("`tks status` shows whether the querier runs")
    };
    let mut form = vec![("query", args.expr.as_str())];
    form.extend(args.time.as_deref().map(|time| ("time", time)));
    let request = reqwest::Client::new().post(url).form(&form);
    let body = request
        .send()
        .await
        .map_err(failed)?
        .text()
        .await
        .map_err(failed)?;
    let answer = serde_json::from_str(&body)
        .map_err(|_| Failure::new(format!("{url} does not answer in JSON: {body}")))?;
    Ok((body, answer))
}

/// A column per label that some series has, and the value.
fn answer_table(data: &Json) -> String {
    match data["resultType"].as_str() {
        Some("scalar" | "string") => data["result"][1].as_str().unwrap_or_default().to_owned(),
        Some("matrix") => series_table(data, |series| {
            let point = |p: &Json| format!("{}@{}", p[1].as_str().unwrap_or_default(), p[0]);
            series["values"]
                .as_array()
                .into_iter()
                .flatten()
                .map(point)
                .collect::<Vec<_>>()
                .join(" ")
        }),
        _ => series_table(data, |series| {
            series["value"][1].as_str().unwrap_or_default().to_owned()
        }),
    }
}

fn series_table(data: &Json, value: impl Fn(&Json) -> String) -> String {
    let series: Vec<&Json> = data["result"].as_array().into_iter().flatten().collect();
    if series.is_empty() {
        return "(no series)".to_owned();
    }
    let of = |series: &&Json| {
        series["metric"]
            .as_object()
            .map(|m| m.keys().cloned().collect::<Vec<_>>())
    };
    let names: BTreeSet<String> = series.iter().filter_map(of).flatten().collect();
    let mut head: Vec<&str> = names.iter().map(String::as_str).collect();
    head.push("VALUE");
    let row = |series: &&Json| {
        let label = |name: &String| {
            series["metric"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        names.iter().map(label).chain([value(series)]).collect()
    };
    table(&head, series.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_a_table_of_its_labels() {
        let data = serde_json::json!({ "resultType": "vector", "result": [
            { "metric": { "cluster": "a" }, "value": [1, "3"] },
            { "metric": { "cluster": "b", "job": "x" }, "value": [1, "NaN"] },
        ]});
        let text = answer_table(&data);
        assert_eq!(
            text,
            "cluster   job   VALUE\na               3\nb         x     NaN"
        );
        let none = serde_json::json!({ "resultType": "vector", "result": [] });
        assert_eq!(answer_table(&none), "(no series)");
    }
}
