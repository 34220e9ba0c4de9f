use std::time::Duration;

use super::*;
use crate::faulty::{Effect, Fault, On};

fn folder(prefix: &str) -> (tempfile::TempDir, Bucket, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let mut config = Config::filesystem(dir.path().join("bucket"));
    config.prefix = prefix.to_owned();
    let bucket = Bucket::open(&config, &registry).unwrap();
    (dir, bucket, registry)
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(Entry::name).collect()
}

/// What every kind of bucket does alike.
pub(crate) async fn behaves(bucket: &Bucket) {
    let put = |name: &'static str, bytes: &'static [u8]| async move {
        bucket
            .upload(name, Bytes::from_static(bytes))
            .await
            .unwrap();
    };
    put("a/chunks/000001", b"0123456789").await;
    put("a/index", b"index").await;
    put("b/index", b"").await;
    put("top", b"x").await;

    assert_eq!(names(&bucket.iter("").await.unwrap()), ["a", "b", "top"]);
    let inside = bucket.iter("a").await.unwrap();
    assert_eq!(names(&inside), ["a/chunks", "a/index"]);
    assert!(matches!(&inside[0], Entry::Folder(_)), "{inside:?}");
    assert!(matches!(&inside[1], Entry::Object(index) if index.attributes.size == 5));
    assert!(bucket.iter("absent").await.unwrap().is_empty());
    let mut all: Vec<Object> = bucket.iter_recursive("a").try_collect().await.unwrap();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let all: Vec<&str> = all.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(all, ["a/chunks/000001", "a/index"]);

    assert_eq!(
        bucket.get("a/chunks/000001", 10).await.unwrap(),
        "0123456789"
    );
    assert_eq!(bucket.get("b/index", 0).await.unwrap(), "");
    let error = bucket.get("a/chunks/000001", 9).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 10,
                limit: 9,
                ..
            }
        ),
        "{error}"
    );
    let range = |range| bucket.get_range("a/chunks/000001", range);
    assert_eq!(range(2..5).await.unwrap(), "234");
    // A range may reach over the end, as a guess at a chunk's length does.
    assert_eq!(range(8..100).await.unwrap(), "89");
    assert_eq!(range(4..4).await.unwrap(), "");
    assert!(range(10..12).await.is_err());
    let ranges = bucket.get_ranges("a/chunks/000001", &[7..9, 0..1]).await;
    assert_eq!(ranges.unwrap(), ["78", "0"]);
    let (attributes, pieces) = bucket.get_stream("a/chunks/000001").await.unwrap();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    assert_eq!(
        (attributes.size, pieces.concat().as_slice()),
        (10, b"0123456789".as_slice())
    );

    let attributes = bucket.attributes("a/index").await.unwrap();
    assert_eq!(attributes.size, 5);
    let age = Timestamp::now().duration_since(attributes.last_modified);
    assert!(age.unsigned_abs() < Duration::from_secs(60), "{age:?}");
    assert!(bucket.exists("a/index").await.unwrap());
    assert!(!bucket.exists("a").await.unwrap() && !bucket.exists("a/inde").await.unwrap());
    put("a/index", b"another").await;
    assert_eq!(bucket.get("a/index", 99).await.unwrap(), "another");

    let error = bucket.get("a/absent", 1).await.unwrap_err();
    assert!(
        error.is_not_found() && error.object() == "a/absent",
        "{error}"
    );
    assert!(error.to_string().contains(bucket.name()), "{error}");
    assert!(
        bucket
            .attributes("a/absent")
            .await
            .unwrap_err()
            .is_not_found()
    );
    let error = bucket.get("a//b", 1).await.unwrap_err();
    assert!(matches!(error, Error::Name { .. }), "{error}");
    for object in ["a/chunks/000001", "a/index", "b/index", "top"] {
        bucket.delete(object).await.unwrap();
    }
    assert!(bucket.iter("").await.unwrap().is_empty());
}

/// Files and bytes in parts are what they were.
pub(crate) async fn takes_large_objects(bucket: &Bucket, size: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("segment");
    let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    bucket.upload_file("large/file", &file).await.unwrap();
    bucket.upload("large/bytes", bytes.clone()).await.unwrap();
    for name in ["large/file", "large/bytes"] {
        assert!(
            bucket.get(name, size as u64).await.unwrap() == bytes,
            "{name}"
        );
        bucket.delete(name).await.unwrap();
    }
    let error = bucket
        .upload_file("large/none", &dir.path().join("none"))
        .await;
    assert!(matches!(error.unwrap_err(), Error::File { .. }));
}

#[tokio::test]
async fn a_bucket_in_memory_behaves() {
    let bucket = Bucket::in_memory("memory");
    behaves(&bucket).await;
    takes_large_objects(&bucket, (3 << 20) + 1).await;
}

#[tokio::test]
async fn a_folder_behaves_with_and_without_a_prefix() {
    let (_dir, bucket, _) = folder("");
    behaves(&bucket).await;
    takes_large_objects(&bucket, (3 << 20) + 1).await;
    let (_dir, bucket, _) = folder("two/levels");
    behaves(&bucket).await;
}

#[tokio::test]
async fn a_folder_is_plain_files_under_the_prefix() {
    let (dir, bucket, _) = folder("p");
    let root = dir.path().join("bucket/p");
    bucket.upload("01A/meta.json", "{}".into()).await.unwrap();
    assert_eq!(std::fs::read(root.join("01A/meta.json")).unwrap(), b"{}");
    // What somebody else wrote is read; empty folders are none.
    std::fs::create_dir_all(root.join("01B/chunks")).unwrap();
    std::fs::create_dir(root.join("01C")).unwrap();
    std::fs::write(root.join("01B/chunks/000001"), "c").unwrap();
    assert_eq!(names(&bucket.iter("").await.unwrap()), ["01A", "01B"]);
    assert_eq!(bucket.get("01B/chunks/000001", 9).await.unwrap(), "c");
    // The last object of a folder takes the folder with it, as Thanos does.
    bucket.delete("01B/chunks/000001").await.unwrap();
    assert!(!root.join("01B").exists());
    assert!(
        bucket
            .delete("01B/chunks/000001")
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn what_a_killed_writer_left_is_not_shown_and_goes_with_the_object() {
    let (dir, bucket, _) = folder("");
    let root = dir.path().join("bucket");
    bucket.upload("01A/index", "i".into()).await.unwrap();
    std::fs::write(root.join("01A/index#1"), "half").unwrap();
    assert_eq!(names(&bucket.iter("01A").await.unwrap()), ["01A/index"]);
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let old = std::fs::File::create(root.join("01A/index#7")).unwrap();
    old.set_modified(hour_ago).unwrap();
    let file = dir.path().join("i");
    std::fs::write(&file, "again").unwrap();
    bucket.upload_file("01A/index", &file).await.unwrap();
    assert!(!root.join("01A/index#7").exists() && root.join("01A/index#1").exists());
    bucket.delete("01A/index").await.unwrap();
    assert!(!root.join("01A").exists());
}

#[tokio::test]
async fn operations_are_counted_with_thanoss_names() {
    let (_dir, bucket, registry) = folder("");
    bucket.upload("x", "12345".into()).await.unwrap();
    bucket.get("x", 9).await.unwrap();
    bucket.get("absent", 9).await.unwrap_err();
    bucket.get("x", 1).await.unwrap_err();
    bucket.iter("").await.unwrap();
    let text = registry.text();
    let name = bucket.name();
    let has = |metric: &str, operation: &str, value: u64| {
        let line = format!(
            "thanos_objstore_bucket_{metric}{{bucket=\"{name}\",operation=\"{operation}\"}} {value}\n"
        );
        assert!(text.contains(&line), "{line} in {text}");
    };
    has("operations_total", "get", 3);
    has("operations_total", "upload", 1);
    has("operations_total", "delete", 0);
    // An absent object is no failure of the bucket.
    has("operation_failures_total", "get", 1);
    has("operation_fetched_bytes_total", "get", 5);
    has("operation_duration_seconds_count", "iter", 1);
    let uploaded =
        format!("thanos_objstore_bucket_last_successful_upload_time{{bucket=\"{name}\"}} 1");
    assert!(text.contains(&uploaded), "{text}");
}

#[tokio::test]
async fn faults_strike_where_they_are_told() {
    let (bucket, faults) = Bucket::in_memory("memory").with_faults();
    bucket.upload("a/index", "0123456789".into()).await.unwrap();
    faults.add(Fault::new(On::Get, Effect::Fail).of("index").nth(2));
    bucket.get("a/index", 99).await.unwrap();
    let error = bucket.get("a/index", 99).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Failed {
                operation: "get",
                ..
            }
        ),
        "{error}"
    );
    bucket.get("a/index", 99).await.unwrap();

    faults.clear();
    faults.add(Fault::new(On::Get, Effect::Denied));
    assert!(bucket.exists("a/index").await.unwrap_err().is_denied());
    faults.clear();
    faults.add(Fault::new(On::Put, Effect::LoseAnswer));
    bucket.upload("b", "x".into()).await.unwrap_err();
    assert!(bucket.exists("b").await.unwrap());
    faults.add(Fault::new(On::Delete, Effect::Fail));
    bucket.delete("b").await.unwrap_err();
    faults.add(Fault::new(On::List, Effect::Fail));
    bucket.iter("").await.unwrap_err();
    assert!(bucket.iter_recursive("").next().await.unwrap().is_err());
    let log = faults.log();
    assert!(log.contains(&(On::Delete, "b".to_owned())), "{log:?}");
}

#[tokio::test]
async fn a_delay_delays() {
    let (bucket, faults) = Bucket::in_memory("memory").with_faults();
    faults.add(Fault::new(
        On::Get,
        Effect::Delay(Duration::from_millis(60)),
    ));
    let before = std::time::Instant::now();
    assert!(!bucket.exists("x").await.unwrap());
    assert!(before.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn bytes_that_do_not_come_are_missed() {
    let (bucket, faults) = Bucket::in_memory("memory").with_faults();
    bucket.upload("x", "0123456789".into()).await.unwrap();
    faults.add(Fault::new(On::Get, Effect::Truncate(4)));
    let short = |error: Error, wanted: u64, got: u64| {
        let right =
            matches!(&error, Error::Short { wanted: w, got: g, .. } if (*w, *g) == (wanted, got));
        assert!(right, "{error}");
    };
    short(bucket.get("x", 99).await.unwrap_err(), 10, 4);
    short(bucket.get_range("x", 1..7).await.unwrap_err(), 6, 4);
    let (_, pieces) = bucket.get_stream("x").await.unwrap();
    let pieces: Vec<Result<Bytes>> = pieces.collect().await;
    short(pieces.into_iter().last().unwrap().unwrap_err(), 10, 4);
}

#[tokio::test]
async fn a_folder_that_may_not_be_read_is_denied() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, bucket, _) = folder("");
    bucket.upload("x", "1".into()).await.unwrap();
    let file = dir.path().join("bucket/x");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        // Whoever runs this may read everything.
        return;
    }
    assert!(bucket.get("x", 9).await.unwrap_err().is_denied());
}
