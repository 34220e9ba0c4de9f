//! Which series has which label, gathered while series are written in order, given back label by label. What does not fit
//! a bound of memory lies in temporary files, in sorted runs: there are millions of series in a large block.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use tempfile::SpooledTempFile;

/// Name and value, by their symbols.
pub(super) type Pair = (u32, u32);

/// Pairs of a label and a series that are held in memory; each takes eight bytes, and four more while they are sorted.
const MOST_ENTRIES: usize = 4 << 20;
/// What a run may have before it goes to the disk.
const MOST_IN_MEMORY: usize = 1 << 20;
const BUFFER: usize = 64 << 10;

/// The series of every label.
#[derive(Debug)]
pub(super) struct PostingsLog {
    /// Every label ever seen, by the number that entries know it by.
    pairs: Vec<Pair>,
    numbers: HashMap<Pair, u32, foldhash::fast::RandomState>,
    /// Number of the label, and series, in the order of the series.
    entries: Vec<(u32, u32)>,
    most_entries: usize,
    runs: Vec<SpooledTempFile>,
    spill: Option<PathBuf>,
    /// Labels of the series before and their numbers: most are the same.
    last: Vec<(Pair, u32)>,
}

impl PostingsLog {
    /// Runs lie in the folder `spill`; without one, everything stays in memory.
    pub(super) fn new(spill: Option<PathBuf>) -> Self {
        let most_entries = if spill.is_some() {
            MOST_ENTRIES
        } else {
            usize::MAX
        };
        Self {
            pairs: Vec::new(),
            numbers: HashMap::default(),
            entries: Vec::new(),
            most_entries,
            runs: Vec::new(),
            spill,
            last: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_bound(mut self, most_entries: usize) -> Self {
        self.most_entries = most_entries;
        self
    }

    /// Adds a series, which is after all that were added.
    pub(super) fn add(&mut self, labels: &[Pair], series: u32) -> io::Result<()> {
        self.last.truncate(labels.len());
        for (at, pair) in labels.iter().enumerate() {
            let number = match self.last.get(at) {
                Some((before, number)) if before == pair => *number,
                _ => self.number(*pair),
            };
            match self.last.get_mut(at) {
                Some(place) => *place = (*pair, number),
                None => self.last.push((*pair, number)),
            }
            self.entries.push((number, series));
        }
        if self.entries.len() >= self.most_entries {
            self.spill()?;
        }
        Ok(())
    }

    fn number(&mut self, pair: Pair) -> u32 {
        let next = self.pairs.len() as u32;
        let number = *self.numbers.entry(pair).or_insert(next);
        if number == next {
            self.pairs.push(pair);
        }
        number
    }

    /// The entries sorted by label: the order of labels, where each begins, and all their series.
    fn sorted(&self) -> (Vec<u32>, Vec<usize>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.pairs.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.pairs[*number as usize]);
        let mut starts = vec![0usize; self.pairs.len() + 1];
        for (number, _) in &self.entries {
            starts[*number as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut series = vec![0; self.entries.len()];
        for (number, one) in &self.entries {
            let place = &mut next[*number as usize];
            series[*place] = *one;
            *place += 1;
        }
        (order, starts, series)
    }

    fn spill(&mut self) -> io::Result<()> {
        let folder = self.spill.clone().unwrap_or_else(std::env::temp_dir);
        let file = tempfile::spooled_tempfile_in(MOST_IN_MEMORY, folder);
        let mut out = BufWriter::with_capacity(BUFFER, file);
        let (order, starts, series) = self.sorted();
        for number in order {
            let at = number as usize;
            let refs = &series[starts[at]..starts[at + 1]];
            if refs.is_empty() {
                continue;
            }
            let (name, value) = self.pairs[at];
            for word in [name, value, refs.len() as u32] {
                out.write_all(&word.to_le_bytes())?;
            }
            for one in refs {
                out.write_all(&one.to_le_bytes())?;
            }
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        io::Seek::rewind(&mut file)?;
        self.runs.push(file);
        self.entries.clear();
        Ok(())
    }

    /// Calls `each` with every label in order, and its series, ascending.
    pub(super) fn drain<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(Pair, &[u32]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            let (order, starts, series) = self.sorted();
            for number in order {
                let at = number as usize;
                each(self.pairs[at], &series[starts[at]..starts[at + 1]])?;
            }
            return Ok(());
        }
        self.spill()?;
        let runs = std::mem::take(&mut self.runs);
        drop(self);
        merge(runs, each)
    }
}

/// A run being read.
struct Run {
    file: BufReader<SpooledTempFile>,
    count: usize,
}

impl Run {
    fn word(&mut self) -> io::Result<u32> {
        let mut word = [0; 4];
        self.file.read_exact(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// The next label, `None` at the end.
    fn next(&mut self) -> io::Result<Option<Pair>> {
        if io::BufRead::fill_buf(&mut self.file)?.is_empty() {
            return Ok(None);
        }
        let pair = (self.word()?, self.word()?);
        self.count = self.word()? as usize;
        Ok(Some(pair))
    }
}

/// Runs were written one after the other, so the series of a label ascend from run to run.
fn merge<E: From<io::Error>>(
    runs: Vec<SpooledTempFile>,
    mut each: impl FnMut(Pair, &[u32]) -> Result<(), E>,
) -> Result<(), E> {
    let open = |file| Run {
        file: BufReader::with_capacity(BUFFER, file),
        count: 0,
    };
    let mut runs: Vec<Run> = runs.into_iter().map(open).collect();
    let mut heads = BinaryHeap::new();
    for (at, run) in runs.iter_mut().enumerate() {
        heads.extend(run.next()?.map(|pair| Reverse((pair, at))));
    }
    let mut series = Vec::new();
    while let Some(Reverse((pair, first))) = heads.pop() {
        series.clear();
        let mut at = first;
        loop {
            let run = &mut runs[at];
            for _ in 0..run.count {
                series.push(run.word()?);
            }
            heads.extend(run.next()?.map(|pair| Reverse((pair, at))));
            match heads.peek() {
                Some(Reverse((next, other))) if *next == pair => at = *other,
                _ => break,
            }
            heads.pop();
        }
        each(pair, &series)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn drained(log: PostingsLog) -> Vec<(Pair, Vec<u32>)> {
        let mut all = Vec::new();
        let done: io::Result<()> = log.drain(|pair, series| {
            all.push((pair, series.to_vec()));
            Ok(())
        });
        done.expect("read");
        all
    }

    proptest! {
        #[test]
        fn spilled_or_not_each_label_has_its_series(
            labels in prop::collection::vec(prop::collection::vec(0u32..6, 0..4), 0..60),
            bound in 1usize..40,
        ) {
            let mut wanted: BTreeMap<Pair, Vec<u32>> = BTreeMap::new();
            let folder = tempfile::tempdir().expect("a folder");
            let mut held = PostingsLog::new(None);
            let mut spilled = PostingsLog::new(Some(folder.path().to_owned())).with_bound(bound);
            for (series, values) in (16u32..).zip(&labels) {
                let pairs: Vec<Pair> = (0..).zip(values.iter().copied()).collect();
                pairs.iter().for_each(|pair| wanted.entry(*pair).or_default().push(series));
                held.add(&pairs, series).expect("held");
                spilled.add(&pairs, series).expect("spilled");
            }
            let wanted: Vec<_> = wanted.into_iter().collect();
            prop_assert_eq!(&drained(held), &wanted);
            prop_assert_eq!(drained(spilled), wanted);
        }
    }
}
