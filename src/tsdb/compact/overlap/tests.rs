use super::*;
use crate::chunk::{Encoding, XorAppender};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Samples = Vec<(i64, f64)>;

fn chunk(samples: &[(i64, f64)]) -> Piece<'static> {
    let mut chunk = XorAppender::new();
    samples.iter().for_each(|(t, v)| chunk.push(*t, *v));
    Piece {
        mint: samples[0].0,
        maxt: samples[samples.len() - 1].0,
        encoding: Encoding::Xor.as_byte(),
        data: chunk.finish().into(),
        frame: None,
    }
}

fn samples(chunks: &[Piece<'_>]) -> Samples {
    let mut out = Vec::new();
    for chunk in chunks {
        let decoded = Decoded::of(chunk).expect("floats");
        let v = decoded.floats().expect("floats").to_vec();
        out.extend(decoded.t.into_iter().zip(v));
    }
    out
}

fn source() -> impl Strategy<Value = Vec<Samples>> {
    let steps = prop::collection::vec((1i64..40, 0u8..3), 1..200);
    (0i64..300, steps, 1usize..50).prop_map(|(start, steps, size)| {
        let mut t = start;
        let samples = steps.into_iter().map(|(step, v)| {
            t += step;
            (t, f64::from(v))
        });
        let all: Samples = samples.collect();
        all.chunks(size).map(<[_]>::to_vec).collect()
    })
}

proptest! {
    #[test]
    fn one_to_one_loses_and_doubles_nothing(sources in prop::collection::vec(source(), 0..5)) {
        let wanted: BTreeSet<i64> = sources.iter().flatten().flatten().map(|(t, _)| *t).collect();
        let pieces = sources.iter().map(|chunks| chunks.iter().map(|c| chunk(c)).collect());
        let merged = merge(Merge::OneToOne, pieces.collect()).expect("merged");
        let got = samples(&merged);
        prop_assert_eq!(got.iter().map(|(t, _)| *t).collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>());
        prop_assert!(merged.windows(2).all(|pair| pair[0].maxt < pair[1].mint));
        for (t, v) in got {
            let has = |samples: &Samples| samples.contains(&(t, v));
            prop_assert!(sources.iter().flatten().any(has));
        }
    }

    #[test]
    fn twins_pass_as_they_are(source in source()) {
        let pieces = || source.iter().map(|c| chunk(c)).collect::<Vec<_>>();
        for how in [Merge::OneToOne, Merge::Penalty] {
            let merged = merge(how, vec![pieces(), pieces(), pieces()]).expect("merged");
            prop_assert_eq!(merged.len(), source.len());
            prop_assert!(merged.iter().zip(pieces()).all(|(a, b)| a.is_twin_of(&b)));
        }
    }

    #[test]
    fn penalty_gives_samples_of_a_replica_in_time_order(sources in prop::collection::vec(source(), 1..4)) {
        let known: BTreeMap<i64, Vec<f64>> = sources.iter().flatten().flatten().fold(
            BTreeMap::new(),
            |mut all, (t, v)| { all.entry(*t).or_insert_with(Vec::new).push(*v); all },
        );
        let pieces = sources.iter().map(|chunks| chunks.iter().map(|c| chunk(c)).collect());
        let merged = merge(Merge::Penalty, pieces.collect()).expect("merged");
        let got = samples(&merged);
        prop_assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(got.iter().all(|(t, v)| known[t].contains(v)));
    }
}

#[test]
fn chunks_are_cut_after_120_samples() {
    let every = |step: i64| (0..300).map(|n| (n * step, 0.0)).collect::<Samples>();
    let merged = merge(
        Merge::OneToOne,
        vec![vec![chunk(&every(2))], vec![chunk(&every(3))]],
    )
    .expect("merged");
    let sizes: Vec<usize> = merged
        .iter()
        .map(|c| samples(std::slice::from_ref(c)).len())
        .collect();
    assert_eq!(sizes, [120, 120, 120, 120, 20]);
}
