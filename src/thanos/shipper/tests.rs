use std::collections::BTreeMap;
use std::fs;

use objstore::Error;
use objstore::faulty::{Effect, Fault, Faults, On};
use serde_json::Value;

use super::*;

/// A TSDB's folder, a bucket that can fail, and a shipper between them.
struct Scene {
    dir: tempfile::TempDir,
    bucket: Bucket,
    faults: Faults,
    registry: Registry,
}

/// The n-th block's id.
fn id(n: u128) -> Ulid {
    Ulid::from(n)
}

fn labels() -> ExternalLabels {
    BTreeMap::from([("cluster".to_owned(), "eu".to_owned())])
}

impl Scene {
    fn new() -> Self {
        let (bucket, faults) = Bucket::in_memory("blocks").with_faults();
        Self {
            dir: tempfile::tempdir().unwrap(),
            bucket,
            faults,
            registry: Registry::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A block of two segments from `n` to `n + 1` hours.
    fn block(&self, n: u128, level: u32, samples: u32) -> Ulid {
        let (id, dir) = (id(n), self.path(&id(n).to_string()));
        fs::create_dir_all(dir.join("chunks")).unwrap();
        fs::write(dir.join("chunks/000001"), format!("first of {n}")).unwrap();
        fs::write(dir.join("chunks/000002"), format!("second of {n}")).unwrap();
        fs::write(dir.join("index"), format!("index of {n}")).unwrap();
        fs::write(dir.join("tombstones"), "none").unwrap();
        let hour = 3_600_000;
        let meta = serde_json::json!({
            "ulid": id.to_string(), "minTime": n * hour, "maxTime": (n + 1) * hour,
            "stats": {"numSamples": samples}, "compaction": {"level": level, "sources": [id.to_string()]},
            "version": 1, "ours": "kept",
        });
        fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
        id
    }

    fn shipper(&self, change: impl FnOnce(&mut Options)) -> Shipper {
        let mut options = Options::new(self.dir.path());
        change(&mut options);
        Shipper::new(options, self.bucket.clone(), &self.registry)
    }

    async fn sync(&self) -> Result<usize, ShipError> {
        self.shipper(|_| {}).sync(&labels()).await
    }

    async fn in_bucket(&self, block: Ulid) -> bool {
        self.bucket
            .exists(&format!("{block}/meta.json"))
            .await
            .unwrap()
    }

    fn record(&self) -> Vec<String> {
        let record = fs::read_to_string(self.path("thanos.shipper.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["version"], 1);
        let ids = record["uploaded"].as_array().unwrap();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    /// The objects that were written, in their order.
    fn puts(&self) -> Vec<String> {
        let log = self.faults.log().into_iter();
        log.filter(|(on, _)| *on == On::Put)
            .map(|(_, name)| name)
            .collect()
    }
}

#[tokio::test]
async fn a_finished_block_is_uploaded_with_its_meta_last() {
    let scene = Scene::new();
    let (late, early) = (scene.block(9, 1, 5), scene.block(3, 1, 5));
    assert_eq!(scene.sync().await.unwrap(), 2);
    let of = |block: Ulid| {
        ["chunks/000001", "chunks/000002", "index", "meta.json"].map(|f| format!("{block}/{f}"))
    };
    assert_eq!(scene.puts(), [of(early), of(late)].concat());
    let bytes = scene
        .bucket
        .get(&format!("{early}/index"), 99)
        .await
        .unwrap();
    assert_eq!(bytes, "index of 3");
    assert_eq!(scene.record(), [early.to_string(), late.to_string()]);
    // Nothing is left behind, and nothing is done twice.
    assert!(!scene.path(&format!("thanos/upload/{early}")).exists());
    assert_eq!(scene.sync().await.unwrap(), 0);
    assert_eq!(scene.puts().len(), 8);
    let text = scene.registry.text();
    assert!(text.contains("thanos_shipper_uploads_total 2\n"), "{text}");
    assert!(
        text.contains("thanos_shipper_dir_syncs_total 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn an_uploaded_meta_has_thanoss_section_and_keeps_the_rest() {
    let scene = Scene::new();
    let block = scene.block(1, 1, 5);
    let shipper = scene.shipper(|options| options.hash = Hash::Sha256);
    shipper.sync(&labels()).await.unwrap();
    let meta = scene
        .bucket
        .get(&format!("{block}/meta.json"), 9999)
        .await
        .unwrap();
    assert!(meta.starts_with(b"{\n\t\"ulid\": "), "{meta:?}");
    let mut meta: Value = serde_json::from_slice(&meta).unwrap();
    assert_eq!(meta["ours"], "kept");
    let uploaded = meta["thanos"]["upload_time"].take();
    uploaded
        .as_str()
        .unwrap()
        .parse::<jiff::Timestamp>()
        .unwrap();
    let wanted = serde_json::json!({
        "labels": {"cluster": "eu"},
        "downsample": {"resolution": 0},
        "source": "sidecar",
        "segment_files": ["000001", "000002"],
        "files": [
            {"rel_path": "chunks/000001", "size_bytes": 10},
            {"rel_path": "chunks/000002", "size_bytes": 11},
            {"rel_path": "index", "size_bytes": 10},
            {"rel_path": "meta.json"},
        ],
        "index_stats": {},
        "upload_time": null,
    });
    let hashes = |value: &Value| -> Vec<String> {
        let files = value["files"].as_array().unwrap().iter();
        files
            .filter_map(|file| Some(file["hash"]["value"].as_str()?.to_owned()))
            .collect()
    };
    // sha256sum of `first of 1`, `second of 1`, `index of 1`.
    assert_eq!(hashes(&meta["thanos"]), SUMS);
    let strip = |mut value: Value| {
        for file in value["files"].as_array_mut().unwrap() {
            file.as_object_mut().unwrap().remove("hash");
        }
        value
    };
    assert_eq!(strip(meta["thanos"].clone()), strip(wanted));
}

const SUMS: [&str; 3] = [
    "2e807f52c2b86bec30bae45318e2af9a4acafbf6f96d1cd2e8a9eedd61910aec",
    "d153688a1b62f89a957339a1a2881d3383a454c81cd52f3d0ab8dde9cd04c752",
    "4b4c20650e22de75becd78cdb9d3e71a06540076bb10fc96df28217af19ffde0",
];

#[tokio::test]
async fn empty_and_compacted_blocks_stay_here() {
    let scene = Scene::new();
    let (empty, compacted) = (scene.block(1, 1, 0), scene.block(2, 2, 5));
    fs::create_dir(scene.path("chunks_head")).unwrap();
    fs::create_dir(scene.path("01M82M7V171Z1G6T0XNPQVNVW0.tmp-for-creation")).unwrap();
    fs::write(scene.path("01M82M7V171Z1G6T0XNPQVNVW0"), "a file").unwrap();
    assert_eq!(scene.sync().await.unwrap(), 0);
    assert!(!scene.in_bucket(empty).await && !scene.in_bucket(compacted).await);
    assert!(scene.record().is_empty());
}

#[tokio::test]
async fn compacted_blocks_are_uploaded_when_asked_unless_they_overlap() {
    let scene = Scene::new();
    let compacted = scene.block(2, 2, 5);
    let shipper = scene.shipper(|options| options.upload_compacted = true);
    // The same hours under other labels are another Prometheus's.
    let other = |cluster: &str, id: Ulid| {
        serde_json::json!({
            "ulid": id.to_string(), "minTime": 7_200_000, "maxTime": 9_000_000, "version": 1,
            "compaction": {"level": 1}, "thanos": {"labels": {"cluster": cluster}},
        })
    };
    let put = async |id: Ulid, meta: Value| {
        let name = format!("{id}/meta.json");
        scene
            .bucket
            .upload(&name, meta.to_string().into())
            .await
            .unwrap();
    };
    put(id(100), other("us", id(100))).await;
    scene
        .bucket
        .upload(&format!("{}/index", id(101)), "partial".into())
        .await
        .unwrap();
    assert_eq!(shipper.sync(&labels()).await.unwrap(), 1);
    assert!(scene.in_bucket(compacted).await);
    let text = scene.registry.text();
    assert!(
        text.contains("thanos_shipper_upload_compacted_done 1\n"),
        "{text}"
    );

    let scene = Scene::new();
    let compacted = scene.block(2, 2, 5);
    let name = format!("{}/meta.json", id(100));
    let meta = other("eu", id(100)).to_string();
    scene.bucket.upload(&name, meta.into()).await.unwrap();
    let shipper = scene.shipper(|options| options.upload_compacted = true);
    let error = shipper.sync(&labels()).await.unwrap_err();
    let of = |e: &ShipError| matches!(e, ShipError::Overlap { block, other } if (*block, *other) == (compacted, id(100)));
    assert!(of(&error), "{error}");
    assert!(!scene.in_bucket(compacted).await);
    // Who allows blocks out of order does not ask.
    let shipper = scene.shipper(|options| {
        options.upload_compacted = true;
        options.allow_out_of_order = true;
    });
    assert_eq!(shipper.sync(&labels()).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_in_the_bucket_or_in_the_record_is_not_uploaded_again() {
    let scene = Scene::new();
    let (there, recorded) = (scene.block(1, 1, 5), scene.block(2, 1, 5));
    scene
        .bucket
        .upload(&format!("{there}/meta.json"), "{}".into())
        .await
        .unwrap();
    let gone = id(77);
    let record = format!("{{\"version\": 1, \"uploaded\": [\"{recorded}\", \"{gone}\"]}}");
    fs::write(scene.path("thanos.shipper.json"), record).unwrap();
    assert_eq!(scene.sync().await.unwrap(), 0);
    assert!(!scene.in_bucket(recorded).await);
    // Blocks that are gone from here are forgotten.
    assert_eq!(scene.record(), [there.to_string(), recorded.to_string()]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_written_anew() {
    for bad in [
        "{\"version\": 2, \"uploaded\": []}",
        "{\"vers",
        "{\"version\": 1, \"uploaded\": [\"x\"]}",
    ] {
        let scene = Scene::new();
        let block = scene.block(1, 1, 5);
        fs::write(scene.path("thanos.shipper.json"), bad).unwrap();
        assert_eq!(scene.sync().await.unwrap(), 1, "{bad}");
        assert_eq!(scene.record(), [block.to_string()]);
    }
    let scene = Scene::new();
    fs::write(
        scene.path("thanos.shipper.json"),
        "{\"version\": 1, \"uploaded\": null}",
    )
    .unwrap();
    assert_eq!(scene.sync().await.unwrap(), 0);
}

#[tokio::test]
async fn a_failure_at_any_write_leaves_no_half_block_that_looks_whole() {
    for n in 1..=4 {
        for effect in [Effect::Fail, Effect::LoseAnswer] {
            let scene = Scene::new();
            let block = scene.block(1, 1, 5);
            scene.faults.add(Fault::new(On::Put, effect).nth(n));
            let error = scene.sync().await.unwrap_err();
            assert!(
                matches!(&error, ShipError::Upload { source: Error::Failed { object, .. }, .. } if object.starts_with(&block.to_string())),
                "{error}"
            );
            let left = scene.bucket.iter(&block.to_string()).await.unwrap();
            let whole = scene.in_bucket(block).await;
            assert_eq!(whole, n == 4 && effect == Effect::LoseAnswer);
            assert_eq!(left.is_empty(), n < 4, "{n} {effect:?}: {left:?}");
            // Not told to be uploaded; the next pass finds out or does it.
            assert!(scene.record().is_empty());
            assert_eq!(scene.sync().await.unwrap(), usize::from(!whole));
            assert!(scene.in_bucket(block).await);
            assert_eq!(scene.record(), [block.to_string()]);
        }
    }
}

#[tokio::test]
async fn what_a_killed_run_left_is_overwritten() {
    let scene = Scene::new();
    let block = scene.block(1, 1, 5);
    let stage = scene.path(&format!("thanos/upload/{block}/chunks"));
    fs::create_dir_all(&stage).unwrap();
    fs::write(stage.join("000007"), "of another life").unwrap();
    fs::write(scene.path("thanos.shipper.json.tmp"), "{\"ver").unwrap();
    let chunk = format!("{block}/chunks/000001");
    scene.bucket.upload(&chunk, "first".into()).await.unwrap();
    assert_eq!(scene.sync().await.unwrap(), 1);
    assert_eq!(scene.bucket.get(&chunk, 99).await.unwrap(), "first of 1");
    assert!(
        !scene
            .bucket
            .exists(&format!("{block}/chunks/000007"))
            .await
            .unwrap()
    );
    assert!(scene.path(&format!("{block}/chunks/000001")).exists());
}

#[tokio::test]
async fn a_block_that_disappears_while_it_is_uploaded_is_uploaded_whole() {
    let scene = Scene::new();
    let block = scene.block(1, 1, 5);
    let delay = std::time::Duration::from_millis(200);
    scene
        .faults
        .add(Fault::new(On::Put, Effect::Delay(delay)).nth(1));
    let dir = scene.path(&block.to_string());
    let delete = tokio::spawn(async move {
        tokio::time::sleep(delay / 2).await;
        fs::remove_dir_all(dir).unwrap();
    });
    assert_eq!(scene.sync().await.unwrap(), 1);
    delete.await.unwrap();
    let index = scene
        .bucket
        .get(&format!("{block}/index"), 99)
        .await
        .unwrap();
    assert_eq!(index, "index of 1");
}

#[tokio::test]
async fn a_failing_block_stops_the_later_ones_unless_order_does_not_matter() {
    let fault = |block: Ulid| Fault::new(On::Put, Effect::Denied).of(&format!("{block}/index"));
    let scene = Scene::new();
    let (first, second) = (scene.block(1, 1, 5), scene.block(2, 1, 5));
    scene.faults.add(fault(first));
    let error = scene.sync().await.unwrap_err();
    assert!(error.to_string().contains(&first.to_string()), "{error}");
    assert!(!scene.in_bucket(second).await);
    let any_order = scene.shipper(|options| options.allow_out_of_order = true);
    let error = any_order.sync(&labels()).await.unwrap_err();
    assert!(matches!(error, ShipError::Some { failed: 1 }), "{error}");
    assert!(scene.in_bucket(second).await && !scene.in_bucket(first).await);
    let text = scene.registry.text();
    assert!(
        text.contains("thanos_shipper_dir_sync_failures_total 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn corrupted_blocks_stop_a_sync_or_are_left_out_and_always_reported() {
    for bad in ["", "{\"ulid\": \"01", "{\"version\": 7}", "[]"] {
        let scene = Scene::new();
        let (good, broken) = (scene.block(1, 1, 5), scene.block(2, 1, 5));
        fs::write(scene.path(&format!("{broken}/meta.json")), bad).unwrap();
        let error = scene.sync().await.unwrap_err();
        assert!(error.to_string().contains(&broken.to_string()), "{error}");
        assert!(!scene.in_bucket(good).await);
        let shipper = scene.shipper(|options| options.skip_corrupted = true);
        let error = shipper.sync(&labels()).await.unwrap_err();
        assert!(matches!(error, ShipError::Some { failed: 1 }), "{error}");
        assert!(scene.in_bucket(good).await && !scene.in_bucket(broken).await);
    }
    let scene = Scene::new();
    let block = scene.block(1, 1, 5);
    fs::remove_file(scene.path(&format!("{block}/index"))).unwrap();
    let error = scene.sync().await.unwrap_err();
    assert!(matches!(error, ShipError::Stage { .. }), "{error}");
    assert!(scene.bucket.iter("").await.unwrap().is_empty());
    let scene = Scene::new();
    scene.block(1, 1, 5);
    fs::rename(
        scene.path(&id(1).to_string()),
        scene.path(&id(2).to_string()),
    )
    .unwrap();
    assert!(matches!(
        scene.sync().await,
        Err(ShipError::OfAnother { .. })
    ));
}

#[tokio::test]
async fn without_external_labels_nothing_is_uploaded() {
    let scene = Scene::new();
    let block = scene.block(1, 1, 5);
    let error = scene
        .shipper(|_| {})
        .sync(&ExternalLabels::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ShipError::NoLabels { .. }), "{error}");
    assert!(!scene.in_bucket(block).await);
}

#[tokio::test]
async fn a_bucket_that_does_not_tell_what_it_has_is_not_written_to() {
    let scene = Scene::new();
    scene.block(1, 1, 5);
    scene
        .faults
        .add(Fault::new(On::Get, Effect::Denied).of("meta.json"));
    let error = scene.sync().await.unwrap_err();
    assert!(
        matches!(&error, ShipError::Exists { source, .. } if source.is_denied()),
        "{error}"
    );
    assert!(scene.puts().is_empty());
}
