//! `tks thanos tools bucket`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use objstore::Bucket;
use serde_json::{Value as Json, json};
use thanos::compact::{Compactor, Config, Part};
use thanos::tools::{self, Block, Prices, Verify};
use tsdb::Ulid;
use tsdb::meta::{DeletionMark, Mark, NoCompactMark, NoDownsampleMark};

use super::engine::runtime;
use crate::Exit;
use crate::args::tools::{
    BucketCommand, CostArgs, InspectArgs, ListOutput, LsArgs, MarkArgs, VerifyArgs, quiet,
};
use crate::diagnostic::{Failure, Result};
use crate::term::{Printer, table};

pub(crate) fn run(command: BucketCommand, printer: &Printer) -> Result<Exit> {
    net::log::init("warn", net::log::Format::Logfmt);
    let runtime = runtime()?;
    runtime.block_on(async {
        match command {
            BucketCommand::Ls(args) => ls(&args, printer).await,
            BucketCommand::Inspect(args) => inspect(&args, printer).await,
            BucketCommand::Verify(args) => verify(&args, printer).await,
            BucketCommand::Mark(args) => mark(&args, printer).await,
            BucketCommand::Cost(args) => cost(&args, printer).await,
            BucketCommand::Cleanup(args) => {
                let config = Config {
                    relabel: args.relabel.load()?,
                    delete_delay: args.delete_delay,
                    consistency_delay: args.consistency_delay,
                    ..quiet(args.objstore.required()?)
                };
                part(config, Part::Cleanup, args.dry.dry_run, printer).await
            }
            BucketCommand::Retention(args) => {
                let config = Config {
                    relabel: args.relabel.load()?,
                    retention: args.keep.retention(),
                    consistency_delay: args.consistency_delay,
                    ..quiet(args.objstore.required()?)
                };
                part(config, Part::Retention, args.dry.dry_run, printer).await
            }
            BucketCommand::Downsample(args) => {
                let config = Config {
                    data_dir: args.data_dir,
                    downsample_concurrency: args.concurrency,
                    hash: args.hash,
                    ..quiet(args.objstore.required()?)
                };
                part(config, Part::Downsample, args.dry.dry_run, printer).await
            }
        }
    })
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::from_error(error)
}

fn open(config: &objstore::Config) -> Result<Bucket> {
    let registry = net::metrics::Registry::new();
    Bucket::open(config, &registry).map_err(|error| failed(&error))
}

/// A bar on a terminal, nothing elsewhere.
fn bar(what: &'static str, length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

async fn contents(bucket: &Bucket) -> Result<tools::Contents> {
    tools::contents(bucket)
        .await
        .map_err(|error| failed(&error))
}

fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map_or_else(|_| ms.to_string(), |time| time.to_string())
}

fn resolution(ms: i64) -> String {
    match ms {
        0 => "raw".to_owned(),
        300_000 => "5m".to_owned(),
        3_600_000 => "1h".to_owned(),
        other => format!("{other}ms"),
    }
}

fn span(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{sign}{hours}h{minutes}m{seconds}s")
}

fn labels(block: &Block) -> String {
    let labels = block.meta.thanos.iter().flat_map(|thanos| &thanos.labels);
    let labels: Vec<String> = labels.map(|(n, v)| format!("{n}={v}")).collect();
    labels.join(",")
}

fn marks(block: &Block) -> String {
    let marks = [
        (block.deletion.is_some(), "deletion"),
        (block.no_compact.is_some(), "no-compact"),
        (block.no_downsample.is_some(), "no-downsample"),
    ];
    let there = marks.into_iter().filter(|(there, _)| *there);
    there.map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

fn source(block: &Block) -> &str {
    let thanos = block.meta.thanos.as_ref();
    thanos.map_or("", |thanos| thanos.source.as_str())
}

async fn ls(args: &LsArgs, printer: &Printer) -> Result<Exit> {
    let bucket = open(&args.objstore.required()?)?;
    let contents = contents(&bucket).await?;
    let listed = contents.blocks.into_iter();
    let listed: Vec<Block> = listed
        .filter(|block| !(args.exclude_delete && block.deletion.is_some()))
        .collect();
    let lines: Vec<String> = match args.output {
        None => listed.iter().map(|b| b.meta.ulid.to_string()).collect(),
        Some(ListOutput::Json) => listed
            .iter()
            .map(|block| block.meta.to_json().trim_end().to_owned())
            .collect(),
        Some(ListOutput::Wide) => listed.iter().map(wide).collect(),
        Some(ListOutput::Table) => {
            let row = |block: &Block| {
                vec![
                    block.meta.ulid.to_string(),
                    time(block.meta.min_time),
                    time(block.meta.max_time),
                    resolution(block.resolution()),
                    block.meta.compaction.level.to_string(),
                    source(block).to_owned(),
                    marks(block),
                ]
            };
            let head = [
                "ULID",
                "FROM",
                "UNTIL",
                "RESOLUTION",
                "LEVEL",
                "SOURCE",
                "MARKS",
            ];
            vec![table(&head, listed.iter().map(row))]
        }
    };
    if !lines.is_empty() {
        printer.out(&lines.join("\n"))?;
    }
    if !contents.partial.is_empty() {
        let count = contents.partial.len();
        printer.note(&format!("{count} blocks have no meta.json that can be read: uploads that are under way, or were given up"));
    }
    Ok(Exit::Done)
}

/// As Thanos.
fn wide(block: &Block) -> String {
    let meta = &block.meta;
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}",
        meta.ulid,
        time(meta.min_time),
        time(meta.max_time),
        span(meta.max_time - meta.min_time),
        meta.compaction.level,
        block.resolution(),
        source(block)
    )
}

/// With separators of thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

async fn inspect(args: &InspectArgs, printer: &Printer) -> Result<Exit> {
    let bucket = open(&args.objstore.required()?)?;
    let contents = contents(&bucket).await?;
    let selected: Vec<&Block> = contents
        .blocks
        .iter()
        .filter(|block| {
            let mut wanted = args.selector.iter();
            wanted.all(|(name, value)| block.label(name) == value)
        })
        .collect();
    if args.output == ListOutput::Json {
        let all: Vec<Json> = selected
            .iter()
            .map(|block| serde_json::to_value(&*block.meta).unwrap_or_default())
            .collect();
        printer.out(&format!("{:#}", Json::Array(all)))?;
        return Ok(Exit::Done);
    }
    let head = [
        "ULID",
        "FROM",
        "UNTIL",
        "RANGE",
        "UNTIL-DOWN",
        "#SERIES",
        "#SAMPLES",
        "#CHUNKS",
        "COMP-LEVEL",
        "COMP-FAILED",
        "LABELS",
        "RESOLUTION",
        "SOURCE",
    ];
    let row = |block: &&Block| {
        let meta = &block.meta;
        let range = meta.max_time - meta.min_time;
        let until_down = match block.resolution() {
            0 => span(40 * 3_600_000 - range),
            300_000 => span(240 * 3_600_000 - range),
            _ => "-".to_owned(),
        };
        vec![
            meta.ulid.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            span(range),
            until_down,
            thousands(meta.stats.num_series),
            thousands(meta.stats.num_samples),
            thousands(meta.stats.num_chunks),
            meta.compaction.level.to_string(),
            meta.compaction.failed.to_string(),
            labels(block),
            resolution(block.resolution()),
            source(block).to_owned(),
        ]
    };
    printer.out(&table(&head, selected.iter().map(row)))?;
    Ok(Exit::Done)
}

fn parsed(ids: &[String]) -> Result<Vec<Ulid>> {
    let parse = |id: &String| {
        Ulid::from_string(id).map_err(|_| Failure::new(format!("`{id}` is not the id of a block")))
    };
    ids.iter().map(parse).collect()
}

async fn verify(args: &VerifyArgs, printer: &Printer) -> Result<Exit> {
    let check = |name: &String| {
        Verify::from_name(name).ok_or_else(|| {
            Failure::new(format!("there is no check `{name}`")).help(
                "there are index_known_issues, overlapped_blocks, duplicated_compaction, chunks",
            )
        })
    };
    let checks: Vec<Verify> = args.issues.iter().map(check).collect::<Result<_>>()?;
    let ids = parsed(&args.id)?;
    let bucket = open(&args.objstore.required()?)?;
    let mut contents = contents(&bucket).await?;
    contents
        .blocks
        .retain(|block| ids.is_empty() || ids.contains(&block.meta.ulid));
    let folder = std::env::temp_dir().join(format!("tks-verify-{}", std::process::id()));
    let bar = bar("verifying", contents.blocks.len());
    let found = tools::verify(&bucket, &contents.blocks, &checks, &folder, || bar.inc(1)).await;
    bar.finish_and_clear();
    let _ = std::fs::remove_dir_all(&folder);
    let found = found.map_err(|error| failed(&error))?;
    let blocks = |issue: &tools::Issue| {
        let ids: Vec<String> = issue.blocks.iter().map(ToString::to_string).collect();
        ids
    };
    if args.output == ListOutput::Json {
        let all = found.iter().map(|issue| {
            json!({ "check": issue.check.name(), "blocks": blocks(issue), "what": issue.what })
        });
        printer.out(&format!("{:#}", Json::Array(all.collect())))?;
    } else if !found.is_empty() {
        let row = |issue: &tools::Issue| {
            vec![
                issue.check.name().to_owned(),
                blocks(issue).join(" "),
                issue.what.clone(),
            ]
        };
        printer.out(&table(&["CHECK", "BLOCKS", "ISSUE"], found.iter().map(row)))?;
    }
    let count = contents.blocks.len();
    printer.note(&format!("{count} blocks verified, {} issues", found.len()));
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::Error
    })
}

async fn mark(args: &MarkArgs, printer: &Printer) -> Result<Exit> {
    let ids = parsed(&args.id)?;
    let bucket = open(&args.objstore.required()?)?;
    let details = args.details.clone().unwrap_or_default();
    let now = jiff::Timestamp::now().as_second();
    for id in ids {
        let meta = bucket.exists(&format!("{id}/meta.json")).await;
        if !args.remove && !meta.map_err(|error| failed(&error))? {
            return Err(Failure::new(format!(
                "there is no block {id} in the bucket"
            )));
        }
        if args.dry.dry_run {
            let doing = if args.remove { "remove" } else { "put" };
            printer.out(&format!("{id}: would {doing} {}", args.marker))?;
            continue;
        }
        let done = if args.remove {
            thanos::bucket::unmark(&bucket, id, &args.marker).await
        } else if args.marker == DeletionMark::FILE {
            let mark = DeletionMark::new(id, &details, now);
            thanos::bucket::mark(&bucket, id, &mark).await.map(drop)
        } else if args.marker == NoCompactMark::FILE {
            let mark = NoCompactMark::new(id, &details, now, "manual");
            thanos::bucket::mark(&bucket, id, &mark).await.map(drop)
        } else {
            let mark = NoDownsampleMark::new(id, &details, now, "manual");
            thanos::bucket::mark(&bucket, id, &mark).await.map(drop)
        };
        done.map_err(|error| failed(&error))?;
        let done = if args.remove { "removed" } else { "put" };
        printer.out(&format!("{id}: {} {done}", args.marker))?;
    }
    Ok(Exit::Done)
}

/// Does a part of what a compactor does, or says what it would be.
async fn part(config: Config, part: Part, dry: bool, printer: &Printer) -> Result<Exit> {
    let folder = config.data_dir.clone();
    let ours = folder.starts_with(std::env::temp_dir());
    let compactor = Compactor::once(config).map_err(|error| failed(&error))?;
    let planned = compactor
        .planned(part)
        .await
        .map_err(|error| failed(&error))?;
    for step in &planned {
        let would = if dry { "would " } else { "" };
        printer.out(&format!("{}: {would}{}", step.block, step.what))?;
    }
    if !dry {
        let bar = bar("working", planned.len());
        let done = compactor.perform(part).await;
        bar.finish_and_clear();
        done.map_err(|error| failed(&error))?;
    }
    if ours {
        let _ = std::fs::remove_dir_all(&folder);
    }
    printer.note(&format!("{} blocks", planned.len()));
    Ok(Exit::Done)
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

async fn cost(args: &CostArgs, printer: &Printer) -> Result<Exit> {
    let bucket = open(&args.objstore.required()?)?;
    let contents = contents(&bucket).await?;
    let bar = bar("measuring", contents.blocks.len());
    let sizes = tools::sizes(&bucket, &contents.blocks, || bar.inc(1)).await;
    bar.finish_and_clear();
    let sizes = sizes.map_err(|error| failed(&error))?;
    let prices = Prices {
        by: args.by.clone(),
        per_gib: args.price,
        retention: args.keep.retention(),
        delete_delay: args.delete_delay,
    };
    let cost = tools::cost(&contents.blocks, &sizes, &prices);
    if args.output == ListOutput::Json {
        let rows = cost.rows.iter().map(|row| {
            json!({
                args.by.as_str(): row.cluster, "resolution": resolution(row.resolution), "blocks": row.blocks,
                "samples": row.samples, "bytes": row.bytes, "marked": row.marked, "price": row.price,
                "age": { "1d": row.by_age[0], "7d": row.by_age[1], "30d": row.by_age[2], "365d": row.by_age[3], "older": row.by_age[4] },
            })
        });
        let freed = cost.freed.iter().map(|freed| {
            json!({ "at": time(freed.at), "bytes": freed.bytes, "block": freed.block, "why": freed.why })
        });
        let all = json!({ "rows": rows.collect::<Vec<_>>(), "freed": freed.collect::<Vec<_>>() });
        printer.out(&format!("{all:#}"))?;
        return Ok(Exit::Done);
    }
    let by = args.by.to_uppercase();
    let head = [
        by.as_str(),
        "RESOLUTION",
        "BLOCKS",
        "SAMPLES",
        "SIZE",
        "<1D",
        "<7D",
        "<30D",
        "<1Y",
        "OLDER",
        "MARKED",
        "A MONTH",
    ];
    let rows = cost.rows.iter().map(|row| {
        let fixed = [
            row.cluster.clone(),
            resolution(row.resolution),
            row.blocks.to_string(),
            thousands(row.samples),
            bytes(row.bytes),
        ];
        let ages = row.by_age.iter().map(|age| bytes(*age));
        let rest = [bytes(row.marked), format!("{:.4}", row.price)];
        fixed.into_iter().chain(ages).chain(rest).collect()
    });
    printer.out(&table(&head, rows))?;
    // The sum of nothing is -0.
    let prices = cost.rows.iter().map(|row| row.price);
    let total = prices.fold(0.0, |sum, price| sum + price);
    printer.note(&format!("{total:.4} a month at {} a GiB", args.price));
    freed(&cost.freed, args, printer)
}

/// What goes within a day, a week, a month, a year; with `wide`, every block.
fn freed(all: &[tools::Freed], args: &CostArgs, printer: &Printer) -> Result<Exit> {
    if all.is_empty() {
        return Ok(Exit::Done);
    }
    if args.output == ListOutput::Wide {
        let row = |freed: &tools::Freed| {
            vec![
                time(freed.at),
                freed.block.clone(),
                bytes(freed.bytes),
                freed.why.to_owned(),
            ]
        };
        let head = ["FREED AT", "BLOCK", "SIZE", "WHY"];
        printer.out(&format!("\n{}", table(&head, all.iter().map(row))))?;
        return Ok(Exit::Done);
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let within = |days: i64| -> u64 {
        let until = now + days * 86_400_000;
        let soon = all.iter().filter(|freed| freed.at <= until);
        soon.map(|freed| freed.bytes).sum()
    };
    let row = |days: &i64| {
        let freed = within(*days);
        let saved = freed as f64 / f64::from(1 << 30) * args.price;
        vec![format!("{days} days"), bytes(freed), format!("{saved:.4}")]
    };
    let head = ["FREED WITHIN", "SIZE", "SAVED A MONTH"];
    printer.out(&format!("\n{}", table(&head, tools::AGES.iter().map(row))))?;
    Ok(Exit::Done)
}
