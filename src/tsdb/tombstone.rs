//! The tombstones of a block: which samples of which series count as deleted (Prometheus
//! `tsdb/docs/format/tombstones.md`).
//!
//! ```text
//! u32 magic 0x0130BA30, u8 version 1
//! tombstones: uvarint series reference, varint mint, varint maxt, both inclusive
//! u32 crc of the tombstones
//! ```

use std::collections::BTreeMap;

use crate::corrupt::{Corrupt, Flaw};
use crate::cursor::{CRC, Cursor, put_uvarint, put_varint};

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const HEAD: usize = 5;
const PART: &str = "tombstones";

/// A stretch of time, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub mint: i64,
    pub maxt: i64,
}

impl Interval {
    /// Whether `t` lies in it.
    #[must_use]
    pub fn contains(&self, t: i64) -> bool {
        (self.mint..=self.maxt).contains(&t)
    }
}

/// Deleted stretches by series reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Vec<Interval>>);

impl Tombstones {
    /// The file in a block's folder.
    pub const FILE: &'static str = "tombstones";

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new(PART, 0, bytes);
        let magic = cursor.u32()?;
        if magic != MAGIC {
            return Err(Corrupt::new(PART, 0, Flaw::Magic(magic)));
        }
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(Corrupt::new(PART, 4, Flaw::Version(version)));
        }
        let length = cursor.remaining().checked_sub(CRC);
        let Some(length) = length else {
            let needs = (HEAD + CRC) as u64;
            return Err(Corrupt::new(PART, 0, Flaw::Truncated { needs }));
        };
        let content = cursor.bytes(length)?;
        cursor.check_crc(content)?;
        let mut tombstones = Self::default();
        let mut content = Cursor::new(PART, HEAD as u64, content);
        while !content.is_empty() {
            let series = content.uvarint()?;
            let (mint, maxt) = (content.varint()?, content.varint()?);
            tombstones.add(series, Interval { mint, maxt });
        }
        Ok(tombstones)
    }

    /// The file as it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (series, interval) in self.iter() {
            put_uvarint(&mut out, series);
            put_varint(&mut out, interval.mint);
            put_varint(&mut out, interval.maxt);
        }
        let crc = crc32c::crc32c(&out[HEAD..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Marks a stretch of a series as deleted; what overlaps or touches becomes one.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.mint > interval.maxt {
            return;
        }
        let all = self.0.entry(series).or_default();
        let touches = |other: &Interval| {
            other.mint <= interval.maxt.saturating_add(1)
                && interval.mint <= other.maxt.saturating_add(1)
        };
        let start = all.partition_point(|other| other.maxt.saturating_add(1) < interval.mint);
        let count = all[start..]
            .iter()
            .take_while(|other| touches(other))
            .count();
        let joined = all[start..start + count]
            .iter()
            .fold(interval, |sum, other| Interval {
                mint: sum.mint.min(other.mint),
                maxt: sum.maxt.max(other.maxt),
            });
        all.splice(start..start + count, [joined]);
    }

    /// The deleted stretches of a series, ascending, apart from each other.
    #[must_use]
    pub fn of(&self, series: u64) -> &[Interval] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Interval)> {
        let each = |(series, all): (&u64, &'_ Vec<Interval>)| (*series, all.clone());
        self.0
            .iter()
            .map(each)
            .flat_map(|(series, all)| all.into_iter().map(move |one| (series, one)))
    }

    /// Whether nothing is deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> Tombstones {
        let mut all = Tombstones::default();
        all.add(16, Interval { mint: 5, maxt: 9 });
        all.add(16, Interval { mint: -7, maxt: -7 });
        all.add(
            900,
            Interval {
                mint: i64::MIN,
                maxt: i64::MAX,
            },
        );
        all
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Tombstones::parse(&some().encode()), Ok(some()));
        // What Prometheus writes into every block without deletions.
        let empty = [0x01, 0x30, 0xba, 0x30, 0x01, 0, 0, 0, 0];
        assert_eq!(Tombstones::parse(&empty), Ok(Tombstones::default()));
        assert_eq!(Tombstones::default().encode(), empty);
    }

    #[test]
    fn damage_is_seen() {
        let good = some().encode();
        for len in 0..good.len() {
            assert!(Tombstones::parse(&good[..len]).is_err(), "{len}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::parse(&bad).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn intervals_stay_apart_and_cover_the_same(added in prop::collection::vec((-30i64..30, 0i64..10), 0..20)) {
            let mut all = Tombstones::default();
            for (mint, length) in &added {
                all.add(1, Interval { mint: *mint, maxt: mint + length });
            }
            for t in -40..50 {
                let wanted = added.iter().any(|(mint, length)| (*mint..=mint + length).contains(&t));
                prop_assert_eq!(all.of(1).iter().any(|i| i.contains(t)), wanted);
            }
            prop_assert!(all.of(1).is_sorted_by(|a, b| a.maxt + 1 < b.mint));
        }
    }
}
