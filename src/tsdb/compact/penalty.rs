//! Two replicas as one, by Thanos's penalty algorithm (`pkg/dedup/iter.go`), over times alone: values are neither compared nor
//! changed. The store's deduplication, which evens out counters, is the same algorithm.

/// Milliseconds that a replica is pushed away at first, before any step is known.
const FIRST_PENALTY: i64 = 5000;

/// The samples of one side, times and values.
type Side<'a, V> = (&'a [i64], &'a [V]);

/// Picks samples of `a` and `b`.
pub(super) fn merge<V: Clone>(a: Side<'_, V>, b: Side<'_, V>) -> (Vec<i64>, Vec<V>) {
    let most = a.0.len().max(b.0.len()) + 16;
    let (mut t, mut v) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let mut take = |from: Side<'_, V>, at: usize| {
        t.push(from.0[at]);
        v.push(from.1[at].clone());
    };
    pick(a.0, b.0, |from_a, at| take(if from_a { a } else { b }, at));
    (t, v)
}

/// Calls `pick` with the side (whether it is `a`) and the place of every sample that stays.
fn pick(a: &[i64], b: &[i64], mut pick: impl FnMut(bool, usize)) {
    let (mut at_a, mut at_b) = (0, 0);
    let (mut penalty_a, mut penalty_b) = (0i64, 0i64);
    let mut last: Option<i64> = None;
    loop {
        let from = last.map_or(i64::MIN, |last| last.wrapping_add(1));
        let beyond = |times: &[i64], at: &mut usize, penalty: i64| {
            let from = from.wrapping_add(penalty);
            while times.get(*at).is_some_and(|t| *t < from) {
                *at += 1;
            }
            times.get(*at).copied()
        };
        let (next_a, next_b) = (
            beyond(a, &mut at_a, penalty_a),
            beyond(b, &mut at_b, penalty_b),
        );
        match (next_a, next_b) {
            (None, None) => return,
            (None, Some(t)) => {
                pick(false, at_b);
                (last, penalty_b) = (Some(t), 0);
            }
            (Some(t), None) => {
                pick(true, at_a);
                (last, penalty_a) = (Some(t), 0);
            }
            (Some(t_a), Some(t_b)) => {
                let (t, is_a) = if t_a <= t_b {
                    (t_a, true)
                } else {
                    (t_b, false)
                };
                let step = |last: i64| t.wrapping_sub(last).wrapping_mul(2);
                let penalty = last.map_or(FIRST_PENALTY, step);
                (penalty_a, penalty_b) = if is_a { (0, penalty) } else { (penalty, 0) };
                pick(is_a, if is_a { at_a } else { at_b });
                last = Some(t);
            }
        }
        if last == Some(i64::MAX) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(step: i64, from: i64, to: i64) -> Vec<i64> {
        (from..=to).step_by(step as usize).collect()
    }

    fn times(a: &[i64], b: &[i64]) -> Vec<i64> {
        merge((a, a), (b, b)).0
    }

    #[test]
    fn one_replica_is_followed_while_it_has_samples() {
        let a = every(10_000, 10_000, 100_000);
        assert_eq!(times(&a, &every(10_000, 10_001, 100_001)), a);
        assert_eq!(times(&a, &a), a);
        assert_eq!(times(&[], &a), a);
    }

    #[test]
    fn a_gap_is_filled_after_the_penalty() {
        let mut a = vec![10_000, 20_000];
        a.extend(every(10_000, 60_000, 100_000));
        let wanted = [
            10_000, 20_000, 40_001, 50_001, 60_001, 70_001, 80_001, 90_001, 100_001,
        ];
        assert_eq!(times(&a, &every(10_000, 10_001, 100_001)), wanted);
    }

    #[test]
    fn the_first_sample_decides_before_any_step_is_known() {
        let (a, b) = ([10_000, 20_000], [9_999, 14_000, 19_999]);
        assert_eq!(times(&a, &b), b);
        assert_eq!(
            times(&[i64::MIN, i64::MAX], &[i64::MAX]),
            [i64::MIN, i64::MAX]
        );
    }
}
