use super::*;
use crate::chunk::XorAppender;
use proptest::prelude::*;

fn written(
    chunks: &[(u8, Vec<u8>)],
    cut_at: u64,
) -> (tempfile::TempDir, Vec<crate::index::ChunkRef>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = SegmentWriter::create(folder.path())
        .expect("created")
        .cut_at(cut_at);
    let refs = chunks
        .iter()
        .map(|(encoding, data)| writer.push(*encoding, data).expect("written"))
        .collect();
    writer.finish().expect("finished");
    (folder, refs)
}

#[test]
fn chunks_are_where_their_references_say() {
    let chunks: Vec<(u8, Vec<u8>)> = (0..40u8)
        .map(|n| (n % 3 + 1, vec![n; usize::from(n) * 7]))
        .collect();
    let (folder, refs) = written(&chunks, 1000);
    assert!(refs.is_sorted());
    assert!(
        refs.last().expect("a chunk").segment() > 3,
        "several segments"
    );
    for (place, (encoding, data)) in refs.iter().zip(&chunks) {
        let file =
            std::fs::read(folder.path().join(file_name(place.segment()))).expect("a segment");
        assert!(file.len() <= 1000);
        check_head(&file).expect("a head");
        let bytes = Bytes::from(file).slice(place.offset() as usize..);
        let frame = Frame::parse(&bytes, u64::from(place.offset())).expect("a chunk");
        assert_eq!((frame.encoding, frame.data), (*encoding, &data[..]));
        assert_eq!(frame.check(), Ok(()));
        assert_eq!(frame.data_of(&bytes), data);
    }
}

#[test]
fn a_block_without_chunks_has_one_empty_segment() {
    let (folder, _) = written(&[], MAGIC.into());
    let bytes = std::fs::read(folder.path().join("chunks/000001")).expect("a segment");
    assert_eq!(bytes, [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0]);
}

#[test]
fn damage_is_seen() {
    let mut appender = XorAppender::new();
    (0..50).for_each(|n| appender.push(n * 1000, 1.5));
    let (folder, refs) = written(&[(1, appender.finish())], 1 << 20);
    let file = std::fs::read(folder.path().join("chunks/000001")).expect("a segment");
    let chunk = &file[refs[0].offset() as usize..];
    for len in 0..chunk.len() {
        let error = Frame::parse(&chunk[..len], 8).expect_err("cut off");
        assert!(
            error.needs() == Some(chunk.len() as u64) || len < 2,
            "{len}"
        );
    }
    for bit in 0..chunk.len() * 8 {
        let mut bad = chunk.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let seen = Frame::parse(&bad, 8).and_then(|frame| frame.check());
        assert!(seen.is_err(), "bit {bit}");
    }
    let mut head = file[..8].to_vec();
    head[4] = 9;
    assert_eq!(
        check_head(&head).expect_err("version 9").to_string(),
        "segment at byte 4: version 9 is unknown"
    );
    assert!(check_head(b"RIFF....").is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Frame::parse(&bytes, 0);
        let _ = check_head(&bytes);
    }
}
