//! One series out of replicas, each timestamp once: `--deduplication.func=chain`, Prometheus's `ChainedSeriesMerge`.

use model::{Columns, Timestamp};

use super::Leaf;

/// Appends the samples of all `replicas` from `range.0` to `range.1` inclusive, in order of time. Of samples at the same time
/// one is kept, the one that Prometheus keeps.
pub(crate) fn chain(replicas: &[Columns], range: (Timestamp, Timestamp), out: &mut Columns) {
    let mut leaves = replicas
        .iter()
        .map(|columns| Leaf::new(columns, range, false));
    let Some(mut current) = leaves.next() else {
        return;
    };
    let mut others = Heap::default();
    for mut leaf in leaves {
        if leaf.next() {
            others.push(leaf);
        }
    }
    let mut last = None;
    loop {
        if current.next() {
            if Some(current.time()) == last {
                continue;
            }
            let first_of_all = others
                .first()
                .is_none_or(|other| current.time() < other.time());
            if !first_of_all {
                others.push(current);
                let Some(next) = others.pop() else { return };
                current = next;
            }
        } else {
            let Some(next) = others.pop() else { return };
            current = next;
        }
        if Some(current.time()) != last {
            last = Some(current.time());
            current.push_to(out);
        }
    }
}

/// Replicas by their current time. As in Go's `container/heap`, since the place of equal ones decides whose sample is kept.
#[derive(Debug, Default)]
struct Heap<'c>(Vec<Leaf<'c>>);

impl<'c> Heap<'c> {
    fn first(&self) -> Option<&Leaf<'c>> {
        self.0.first()
    }

    fn push(&mut self, leaf: Leaf<'c>) {
        self.0.push(leaf);
        let mut child = self.0.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.less(child, parent) {
                return;
            }
            self.0.swap(child, parent);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<Leaf<'c>> {
        let end = self.0.len().checked_sub(1)?;
        self.0.swap(0, end);
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= end {
                break;
            }
            let right = left + 1;
            let child = if right < end && self.less(right, left) {
                right
            } else {
                left
            };
            if !self.less(child, parent) {
                break;
            }
            self.0.swap(child, parent);
            parent = child;
        }
        self.0.pop()
    }

    fn less(&self, a: usize, b: usize) -> bool {
        self.0[a].time() < self.0[b].time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(samples: &[(Timestamp, f64)]) -> Columns {
        let mut columns = Columns::default();
        for (t, v) in samples {
            columns.push_float(*t, *v);
        }
        columns
    }

    fn chained(
        replicas: &[&[(Timestamp, f64)]],
        range: (Timestamp, Timestamp),
    ) -> Vec<(Timestamp, f64)> {
        let replicas: Vec<Columns> = replicas.iter().map(|samples| replica(samples)).collect();
        let mut out = Columns::default();
        chain(&replicas, range, &mut out);
        out.t.into_iter().zip(out.v).collect()
    }

    #[test]
    fn every_time_is_there_once_and_in_order() {
        let (a, b) = (
            &[(1, 1.0), (3, 1.0), (5, 1.0)][..],
            &[(2, 2.0), (3, 2.0), (9, 2.0)][..],
        );
        let all = (Timestamp::MIN, Timestamp::MAX);
        let times: Vec<_> = chained(&[a, b], all).into_iter().map(|(t, _)| t).collect();
        assert_eq!(times, [1, 2, 3, 5, 9]);
        assert_eq!(chained(&[a, b], (2, 4)).len(), 2);
        assert_eq!(chained(&[a], all), a);
        assert_eq!(chained(&[], all), []);
        assert_eq!(chained(&[&[], b, &[]], all), b);
    }

    /// A run in which all replicas have the same times is taken from one of them.
    #[test]
    fn a_replica_is_kept_while_it_is_not_behind() {
        let (a, b) = (&[(1, 1.0), (2, 1.0)][..], &[(1, 2.0), (2, 2.0)][..]);
        let all = (Timestamp::MIN, Timestamp::MAX);
        assert_eq!(chained(&[a, b], all), [(1, 2.0), (2, 2.0)]);
    }
}
