use super::*;
use proptest::prelude::*;

/// Two chunks made by Prometheus's block writer: a counter and a gauge scraped every 60 s, with jitter and gaps.
const SHORT: &str = "0007a4f590f4ee6640e206029fbe76ccf9d403e76f092aa0428f6081795db841893f7c4ddebf1ab9bd91\
78f5d819de575a1325a041970145c2de7015fbc46ac043f2b247d7020fdec0";
const LONG: &str = "\
0076aea2d5edee660000000000000000c4d503c28c082e043600205e8dec2bb7823dd46fd4600961745f6fc5b8be64d66f1e\
605f616cc06f47a8bec584f101393aa2093e2edde2ec26b830cd287e10de25c07d10379032c417e4055375c106fcc1f6c0d5\
37bcf012c4167c3fd17b2b015fdfa5c0cdf023106efdffac05517bd7033c427e407537807acffe3f7d5f026982f682dc5fb1\
43ba204aa04b77d4f07a88199817c5e0d476a20b0a0cb1016102e8be6587dcc0ecc09a2f07a0db10b633da8bb3b813c409e4\
1b5e005e075102dd0e78be958154c129c1766f94a3cd3792b02b985b583f4de1b4096e02ca1d579da6b0753d1205d48ff75e\
063601f4e74e9c04d0d171c81bb17c3501aa2fa46013c41a441fa88055805bf7e03019a2f48e06dc414cc02e8bffe80cb303\
a700ea2f1e21f7c4009c05a88474804b175ad03bae0b8601dddf45c066b8148805b37c63076a60c36033cdf3fc02a9bf0c81\
fb37eef009a2072a035c5fd747dd78012804cf7dc101ade019601f441cf40e58b9ee805530ac3017e2f3620f545f1c402588\
40380fd17a1b00ae20f420735ddfac05d882e7805517b090f9e604ae01d4dfab406d981b8804d17f61036e2f9820377c03cc\
025fbffc83f5f05cd00bfef5ce02d7df7040e59bf4c805d3056701ee6fbc2013441624ffbfba76e25dab837693dc008f033a\
aefe763d8820599a2ef5e2b8819dde577b0145c4bcb3010f2a80";

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn decoded(data: &[u8]) -> Result<Columns, ChunkError> {
    let mut out = Columns::default();
    decode(data, &mut out).map(|samples| {
        assert_eq!(samples, out.len());
        out
    })
}

fn encoded(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<u8> {
    let mut appender = XorAppender::new();
    for (t, v) in samples {
        appender.push(t, v);
    }
    appender.finish()
}

/// FNV over timestamps and value bits, as the reference reader computed it.
fn fingerprint(columns: &Columns) -> u64 {
    columns
        .t
        .iter()
        .zip(&columns.v)
        .fold(0xcbf2_9ce4_8422_2325, |hash, (t, v)| {
            [t.cast_unsigned(), v.to_bits()]
                .iter()
                .fold(hash, |hash: u64, word| {
                    (hash ^ word).wrapping_mul(0x100_0000_01b3)
                })
        })
}

#[test]
fn chunks_of_prometheus_read_as_prometheus_reads_them() {
    for (hex, samples, reference) in [
        (SHORT, 7, 0x433a_ed1f_e150_b86e),
        (LONG, 118, 0xcc53_be47_49fd_537b),
    ] {
        let columns = decoded(&unhex(hex)).expect("a chunk");
        assert_eq!(columns.len(), samples);
        assert_eq!(fingerprint(&columns), reference);
        assert!(columns.t.is_sorted());
        assert_eq!(
            columns.runs,
            [model::KindRun {
                kind: Kind::Float,
                len: samples
            }]
        );
    }
}

#[test]
fn writing_again_gives_the_same_bytes() {
    for hex in [SHORT, LONG] {
        let data = unhex(hex);
        let columns = decoded(&data).expect("a chunk");
        assert_eq!(
            encoded(columns.t.iter().copied().zip(columns.v.iter().copied())),
            data
        );
    }
}

#[test]
fn decoding_appends() {
    let mut out = Columns::default();
    out.push_float(1, 1.0);
    assert_eq!(decode(&encoded([(2, 2.0), (3, 3.0)]), &mut out), Ok(2));
    assert_eq!((out.t, out.v), (vec![1, 2, 3], vec![1.0, 2.0, 3.0]));
}

#[test]
fn each_delta_class_holds_its_bounds() {
    let bounds = [8_192, 8_193, 65_536, 65_537, 524_288, 524_289, 1 << 40];
    for bound in bounds.iter().flat_map(|b| [*b, -*b, -*b + 1]) {
        let start = 1i64 << 50;
        let samples = [
            (start, 1.0),
            (start + 1, 1.0),
            (start + 2 + bound, 1.0),
            (start + 3, 2.0),
        ];
        let columns = decoded(&encoded(samples)).expect("a chunk");
        assert_eq!(columns.t, samples.map(|s| s.0), "{bound}");
    }
}

#[test]
fn an_empty_chunk_has_no_samples() {
    assert_eq!(
        decoded(&XorAppender::new().finish()),
        Ok(Columns::default())
    );
    assert_eq!(
        decoded(&[]),
        Err(ChunkError::Truncated {
            sample: 0,
            samples: 0
        })
    );
}

#[test]
fn every_truncation_is_an_error_and_leaves_no_samples_behind() {
    let data = unhex(LONG);
    let mut out = Columns::default();
    for len in 0..data.len() - 1 {
        assert!(
            matches!(
                decode(&data[..len], &mut out),
                Err(ChunkError::Truncated { .. })
            ),
            "{len}"
        );
        assert!(out.is_empty() && out.v.is_empty() && out.runs.is_empty());
    }
}

#[test]
fn a_count_that_lies_is_an_error_and_reserves_nothing() {
    let mut data = encoded([(0, 1.0), (1, 1.0)]);
    data[..2].copy_from_slice(&u16::MAX.to_be_bytes());
    let mut out = Columns::default();
    assert!(matches!(
        decode(&data, &mut out),
        Err(ChunkError::Truncated {
            samples: 65_535,
            ..
        })
    ));
    assert!(out.t.capacity() == 0);
}

#[test]
fn flipped_bits_never_panic() {
    let data = unhex(LONG);
    let mut out = Columns::default();
    for bit in 0..data.len() * 8 {
        let mut bad = data.clone();
        bad[bit / 8] ^= 0x80 >> (bit % 8);
        out.clear();
        let _ = decode(&bad, &mut out);
        assert_eq!(out.t.len(), out.v.len());
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0i32..1000).prop_map(f64::from),
        4 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(model::stale_nan()),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ]
}

proptest! {
    #[test]
    fn what_is_appended_is_decoded(
        start: i64,
        steps in prop::collection::vec((prop_oneof![Just(15_000i64), 0..100_000i64, any::<i64>()], value()), 0..300),
    ) {
        let mut t = start;
        let samples: Vec<(i64, f64)> = steps.iter().map(|(step, v)| { t = t.wrapping_add(*step); (t, *v) }).collect();
        let columns = decoded(&encoded(samples.iter().copied())).expect("a chunk");
        prop_assert_eq!(columns.len(), samples.len());
        for (at, (t, v)) in samples.iter().enumerate() {
            prop_assert_eq!((columns.t[at], columns.v[at].to_bits()), (*t, v.to_bits()));
        }
    }

    #[test]
    fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut out = Columns::default();
        let _ = decode(&data, &mut out);
        prop_assert_eq!(out.t.len(), out.v.len());
    }
}

#[test]
fn what_is_after_the_last_needed_sample_is_left_out() {
    let whole = decoded(&unhex(LONG)).unwrap();
    for until in [
        whole.t[0],
        whole.t[1],
        whole.t[60] - 1,
        whole.t[60],
        i64::MAX,
    ] {
        let mut out = Columns::for_reader(model::Need { until, edges: None });
        let read = decode(&unhex(LONG), &mut out).unwrap();
        let needed = whole.t.partition_point(|t| *t <= until);
        assert!((needed..=needed + 2).contains(&read), "{read} for {needed}");
        assert_eq!(
            (&out.t[..], &out.v[..]),
            (&whole.t[..read], &whole.v[..read])
        );
        assert_eq!(out.runs.iter().map(|run| run.len).sum::<usize>(), read);
    }
}
