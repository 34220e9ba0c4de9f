//! The whole gateway over small blocks in a folder, sound and damaged, with faults between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use net::metrics::Registry;
use objstore::faulty::{Effect, Fault, Faults, On};
use objstore::{Bucket, Config};
use proto::hintspb::{SeriesRequestHints, SeriesResponseHints};
use proto::thanos::label_matcher::Type;
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_server::Store as _;
use proto::thanos::{LabelMatcher, LabelNamesRequest, Series, SeriesRequest};
use tonic::{Code, Request, Status};
use tsdb::Ulid;
use tsdb::block::BlockWriter;
use tsdb::meta::ThanosMeta;

use super::*;
use crate::block::{Discovery, Filter, Relabel};
use crate::labels;

const HOUR: i64 = 3_600_000;

struct World {
    folder: tempfile::TempDir,
    faults: Faults,
    store: Arc<BucketStore>,
}

fn config(data_dir: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: Some(data_dir.to_owned()),
        discovery: Discovery::Concurrent,
        meta_fetch_concurrency: 4,
        block_sync_concurrency: 4,
        limits: Limits::default(),
        max_concurrency: 4,
        estimates: Estimates::default(),
        series_batch: 10_000,
        lazy_headers: false,
        lazy_download: false,
    }
}

impl World {
    /// Two blocks of an hour each, of 50 series.
    async fn new() -> Self {
        Self::with(1 << 30, |_| {}).await
    }

    async fn with(budget: u64, change: impl FnOnce(&mut StoreConfig)) -> Self {
        let faulty = |bucket: Bucket| bucket.with_faults();
        Self::over(faulty, budget, change).await
    }

    /// Read as a folder is, without a store of faults between.
    async fn near(change: impl FnOnce(&mut StoreConfig)) -> Self {
        let near = |bucket: Bucket| (bucket.clone(), bucket.with_faults().1);
        Self::over(near, 1 << 30, change).await
    }

    async fn over(
        bucket_of: impl FnOnce(Bucket) -> (Bucket, Faults),
        budget: u64,
        change: impl FnOnce(&mut StoreConfig),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for hour in 0..2 {
            write_block(&folder.path().join("bucket"), hour);
        }
        let bucket = Config::filesystem(folder.path().join("bucket"));
        let registry = Registry::new();
        let bucket = Bucket::open(&bucket, &registry).expect("a bucket");
        let (bucket, faults) = bucket_of(bucket);
        let mut config = config(&folder.path().join("data"));
        change(&mut config);
        let filter = || Filter {
            min_time: i64::MIN,
            max_time: i64::MAX,
            relabel: Relabel::default(),
            consistency_delay: 0,
            deletion_delay: 0,
        };
        let budget = Budget::new(budget, Duration::from_millis(50));
        let store = BucketStore::new(bucket, config, budget, Metrics::new(&registry), filter);
        store.initial_sync().await.expect("a sync");
        Self {
            folder,
            faults,
            store: Arc::new(store),
        }
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Series>, Status> {
        let service = GatewayStore(self.store.clone());
        let mut frames = service.series(Request::new(request)).await?.into_inner();
        let mut all = Vec::new();
        while let Some(frame) = frames.next().await {
            match frame?.result {
                Some(Frame::Series(series)) => all.push(series),
                Some(Frame::Batch(batch)) => all.extend(batch.series),
                other => panic!("{other:?}"),
            }
        }
        Ok(all)
    }

    /// Changes the bytes of a file of the first block.
    fn damage(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self
            .folder
            .path()
            .join("bucket")
            .join(id(0).to_string())
            .join(file);
        let mut bytes = std::fs::read(&path).expect("readable");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("written");
    }
}

fn id(hour: u64) -> Ulid {
    Ulid::from_parts(1_700_000_000_000 + hour, 7)
}

fn write_block(bucket: &Path, hour: u64) {
    std::fs::create_dir_all(bucket).expect("a folder");
    let mut block = BlockWriter::create(bucket, id(hour)).expect("a block");
    let start = i64::try_from(hour).expect("small") * HOUR;
    for pod in 0..50 {
        let pod = format!("{pod:02}");
        let samples: Vec<(i64, f64)> = (0..240_u32)
            .map(|n| (start + i64::from(n) * 15_000, f64::from(n)))
            .collect();
        let labels = [("__name__", "up"), ("pod", pod.as_str())];
        block.add_floats(labels, &samples).expect("a series");
    }
    let external = [("cluster", "eu"), ("replica", "0")];
    let external = external.map(|(name, value)| (name.to_owned(), value.to_owned()));
    block.meta_mut().thanos = Some(ThanosMeta {
        labels: external.into(),
        ..ThanosMeta::default()
    });
    block.finish().expect("a block");
}

fn equal(name: &str, value: &str) -> LabelMatcher {
    LabelMatcher {
        r#type: Type::Eq.into(),
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn all() -> SeriesRequest {
    SeriesRequest {
        min_time: 0,
        max_time: 2 * HOUR,
        matchers: vec![equal("__name__", "up")],
        ..SeriesRequest::default()
    }
}

#[tokio::test]
async fn series_of_several_blocks_are_one_and_whole() {
    let world = World::new().await;
    let found = world.series(all()).await.expect("an answer");
    assert_eq!(found.len(), 50);
    assert!(
        found
            .windows(2)
            .all(|pair| labels::compare(&pair[0].labels, &pair[1].labels).is_lt())
    );
    for series in &found {
        assert_eq!(labels::value(&series.labels, "cluster"), "eu");
        assert_eq!(series.chunks.len(), 4);
        for chunk in &series.chunks {
            let raw = chunk.raw.as_ref().expect("raw samples");
            let mut samples = model::Columns::default();
            tsdb::chunk::decode(tsdb::chunk::Encoding::Xor, &raw.data, &mut samples)
                .expect("a chunk");
            assert_eq!(
                (chunk.min_time, chunk.max_time),
                (samples.t[0], samples.t[119])
            );
            assert_eq!(raw.hash, xxhash_rust::xxh64::xxh64(&raw.data, 0));
        }
    }
}

#[tokio::test]
async fn what_is_larger_than_estimated_is_read_again() {
    let world = World::with(1 << 30, |config| {
        config.estimates = Estimates {
            series: 3,
            chunk: 3,
        };
        config.series_batch = 7;
    });
    let expected = World::new().await.series(all()).await.expect("an answer");
    assert_eq!(
        world.await.series(all()).await.expect("an answer"),
        expected
    );
}

#[tokio::test]
async fn a_folder_gives_what_a_network_gives() {
    let expected = World::new().await.series(all()).await.expect("an answer");
    let small = |config: &mut StoreConfig| {
        config.estimates = Estimates {
            series: 3,
            chunk: 3,
        };
    };
    for world in [World::near(|_| {}).await, World::near(small).await] {
        assert_eq!(world.series(all()).await.expect("an answer"), expected);
        world.damage("chunks/000001", |bytes| bytes[100] ^= 1);
        let error = world.series(all()).await.expect_err("damaged");
        assert!(error.message().contains("checksum"), "{error}");
        world.damage("chunks/000001", |bytes| bytes.truncate(500));
        let error = world.series(all()).await.expect_err("cut off");
        assert!(error.message().contains("chunks/000001"), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_chunk_fails_the_call_and_is_named() {
    let world = World::new().await;
    world.damage("chunks/000001", |bytes| bytes[100] ^= 1);
    let error = world.series(all()).await.expect_err("damaged");
    assert!(
        error
            .message()
            .contains(&format!("{}/chunks/000001", id(0))),
        "{error}"
    );
    assert!(error.message().contains("checksum"), "{error}");

    world.damage("chunks/000001", |bytes| bytes.truncate(500));
    assert!(world.series(all()).await.is_err());
}

#[tokio::test]
async fn a_damaged_index_fails_the_call_and_is_named() {
    let world = World::new().await;
    world.damage("index", |bytes| {
        // Every byte of the series and postings.
        let length = bytes.len();
        bytes[200..length - 100]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x55);
    });
    let error = world.series(all()).await.expect_err("damaged");
    assert!(
        error.message().contains(&format!("{}/index", id(0))),
        "{error}"
    );
}

#[tokio::test]
async fn a_bucket_that_fails_is_an_error_and_no_wrong_answer() {
    let world = World::new().await;
    for effect in [
        Effect::Fail,
        Effect::Denied,
        Effect::NotFound,
        Effect::Truncate(10),
    ] {
        for object in ["index", "chunks/000001"] {
            world.faults.clear();
            world.faults.add(Fault::new(On::Get, effect).of(object));
            let error = world.series(all()).await.expect_err("no answer");
            assert!(
                error.message().contains(&id(0).to_string())
                    || error.message().contains(&id(1).to_string()),
                "{error}"
            );
        }
    }
    world.faults.clear();
    assert_eq!(world.series(all()).await.expect("an answer").len(), 50);
}

#[tokio::test]
async fn the_limits_of_a_request_hold_over_all_blocks() {
    let world = World::with(1 << 30, |config| config.limits.request_series = 99).await;
    let error = world.series(all()).await.expect_err("over the limit");
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(
        error
            .message()
            .contains("exceeded series limit: limit 99 violated (got 100)"),
        "{error}"
    );
    let world = World::with(1 << 30, |config| config.limits.request_samples = 199 * 120).await;
    let error = world.series(all()).await.expect_err("over the limit");
    assert_eq!(error.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_call_without_room_in_the_budget_is_refused_and_one_with_little_is_answered() {
    let world = World::with(100 << 10, |_| {}).await;
    let error = world.series(all()).await.expect_err("no room");
    assert_eq!(error.code(), Code::ResourceExhausted);
    let world = World::with(1 << 20, |_| {}).await;
    assert_eq!(world.series(all()).await.expect("an answer").len(), 50);
    assert_eq!(world.store.budget.used(), 0);
}

#[tokio::test]
async fn a_client_that_goes_frees_its_turn_and_its_bytes() {
    let world = World::new().await;
    let service = GatewayStore(world.store.clone());
    for _ in 0..10 {
        let frames = service
            .series(Request::new(all()))
            .await
            .expect("an answer");
        assert!(world.store.budget.used() > 0);
        drop(frames);
        for _ in 0..100 {
            if world.store.budget.used() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.store.budget.used(), 0);
    }
}

#[tokio::test]
async fn replica_labels_are_left_out_even_inside_of_series() {
    let world = World::new().await;
    let request = SeriesRequest {
        without_replica_labels: vec!["replica".into(), "pod".into()],
        ..all()
    };
    let found = world.series(request).await.expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!(
        labels::display(&found[0].labels),
        labels::display(&[
            labels::label("__name__", "up"),
            labels::label("cluster", "eu")
        ])
    );
    let names = LabelNamesRequest {
        end: HOUR,
        matchers: vec![equal("pod", "01")],
        without_replica_labels: vec!["replica".into()],
        ..LabelNamesRequest::default()
    };
    let names = world
        .store
        .label_names(names, "tenant")
        .await
        .expect("names")
        .names;
    assert_eq!(names, ["__name__", "cluster", "pod"]);
}

#[tokio::test]
async fn hints_choose_blocks_and_tell_which_were_asked() {
    let world = World::new().await;
    let hints = SeriesRequestHints {
        block_matchers: vec![equal("__block_id", &id(1).to_string())],
        enable_query_stats: true,
    };
    let request = SeriesRequest {
        hints: Some(hints::write(&hints, "SeriesRequestHints")),
        ..all()
    };
    let service = GatewayStore(world.store.clone());
    let frames = service
        .series(Request::new(request))
        .await
        .expect("an answer")
        .into_inner();
    let frames: Vec<_> = frames.collect().await;
    assert_eq!(frames.len(), 51);
    let Some(Ok(Some(Frame::Hints(any)))) = frames
        .last()
        .map(|frame| frame.as_ref().map(|f| f.result.clone()))
    else {
        panic!("{:?}", frames.last());
    };
    let hints: SeriesResponseHints = hints::read(Some(&any), "SeriesResponseHints").expect("hints");
    assert_eq!(hints.queried_blocks.len(), 1);
    assert_eq!(hints.queried_blocks[0].id, id(1).to_string());
    let stats = hints.query_stats.expect("statistics");
    assert_eq!(
        (
            stats.blocks_queried,
            stats.merged_series_count,
            stats.chunks_touched
        ),
        (1, 50, 100)
    );
}

#[tokio::test]
async fn blocks_come_and_go_with_the_bucket() {
    let world = World::new().await;
    let block = world.folder.path().join("bucket").join(id(0).to_string());
    let header = world.folder.path().join("data").join(id(0).to_string());
    assert!(header.join("index-header").is_file());
    std::fs::remove_dir_all(&block).expect("removed");
    world.store.sync().await.expect("a sync");
    assert!(!header.exists());
    let (_, info) = world.store.info();
    assert_eq!(info.min_time, HOUR);
    write_block(&world.folder.path().join("bucket"), 0);
    world.store.sync().await.expect("a sync");
    assert_eq!(world.store.info().1.min_time, 0);
    // A bucket that does not answer leaves what is served.
    world.faults.add(Fault::new(On::List, Effect::Fail));
    assert!(world.store.sync().await.is_err());
    assert_eq!(world.series(all()).await.expect("an answer").len(), 50);
}

#[tokio::test]
async fn a_broken_header_on_disk_is_made_anew() {
    let world = World::new().await;
    let data = world.folder.path().join("data");
    let header = data.join(id(0).to_string()).join("index-header");
    // A new file: the old one is mapped.
    let bytes = std::fs::read(&header).expect("readable");
    std::fs::remove_file(&header).expect("removed");
    std::fs::write(&header, &bytes[..bytes.len() / 2]).expect("written");
    let slot = header::HeaderSlot::new(
        Bucket::open(
            &Config::filesystem(world.folder.path().join("bucket")),
            &Registry::new(),
        )
        .expect("a bucket"),
        format!("{}/index", id(0)),
        Some(header.clone()),
    );
    slot.get().await.expect("a header");
    assert_eq!(std::fs::read(&header).expect("readable"), bytes);
}
