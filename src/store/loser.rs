//! A tournament of losers (Knuth, TAOCP 5.4.1): the smallest of k heads in ⌈log₂ k⌉ comparisons.

/// Positions of `k` sources; who is smaller is asked of the caller, who owns the heads.
#[derive(Debug, Default)]
pub(crate) struct LoserTree {
    /// `nodes[0]` is the winner, `nodes[1..k]` are losers of inner matches; leaves are implied at `k..2k`.
    nodes: Vec<usize>,
}

impl LoserTree {
    /// Plays all matches of `k` sources.
    pub(crate) fn new(k: usize, less: impl Fn(usize, usize) -> bool) -> Self {
        let mut winners = vec![0; 2 * k];
        for leaf in 0..k {
            winners[k + leaf] = leaf;
        }
        let mut nodes = vec![0; k];
        for node in (1..k).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if less(b, a) { (b, a) } else { (a, b) };
            winners[node] = winner;
            nodes[node] = loser;
        }
        if k > 0 {
            nodes[0] = winners[1.min(2 * k - 1)];
        }
        Self { nodes }
    }

    /// The source with the smallest head.
    pub(crate) fn winner(&self) -> Option<usize> {
        self.nodes.first().copied()
    }

    /// Replays the matches of the winner, whose head has changed.
    pub(crate) fn replay(&mut self, less: impl Fn(usize, usize) -> bool) {
        let k = self.nodes.len();
        let Some(mut winner) = self.winner() else {
            return;
        };
        let mut node = (k + winner) / 2;
        while node >= 1 {
            if less(self.nodes[node], winner) {
                std::mem::swap(&mut self.nodes[node], &mut winner);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_sorted_runs_gives_the_sorted_whole(mut runs in prop::collection::vec(prop::collection::vec(0u8..20, 0..9), 0..9)) {
            let mut expected: Vec<u8> = runs.iter().flatten().copied().collect();
            expected.sort_unstable();
            for run in &mut runs {
                run.sort_unstable_by(|a, b| b.cmp(a));
            }
            let key = |runs: &[Vec<u8>], i: usize| runs[i].last().map_or(u16::MAX, |v| u16::from(*v));
            let mut tree = LoserTree::new(runs.len(), |a, b| key(&runs, a) < key(&runs, b));
            let mut merged = Vec::new();
            while let Some(value) = tree.winner().and_then(|winner| runs[winner].pop()) {
                merged.push(value);
                tree.replay(|a, b| key(&runs, a) < key(&runs, b));
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
