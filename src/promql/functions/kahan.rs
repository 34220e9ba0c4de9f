//! Neumaier's compensated sum, step by step as Prometheus does it (`util/kahansum`), so that the bits are the same.

/// A sum and what rounding took from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Compensated {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Compensated {
    pub(crate) fn of(sum: f64) -> Self {
        Self { sum, lost: 0.0 }
    }

    #[inline]
    pub(crate) fn add(self, v: f64) -> Self {
        let sum = self.sum + v;
        let lost = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= v.abs() {
            self.lost + ((self.sum - sum) + v)
        } else {
            self.lost + ((v - sum) + self.sum)
        };
        Self { sum, lost }
    }

    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }

    /// Both parts times `factor`.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            sum: factor * self.sum,
            lost: factor * self.lost,
        }
    }

    /// Both parts by `divisor`.
    pub(crate) fn divided(self, divisor: f64) -> Self {
        Self {
            sum: self.sum / divisor,
            lost: self.lost / divisor,
        }
    }
}

/// A mean: the sum by the count, until the sum would leave the range of floats; then the mean itself goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mean {
    state: Compensated,
    count: f64,
    /// Whether `state` is the mean already.
    running: bool,
}

impl Mean {
    pub(crate) fn of(v: f64) -> Self {
        Self {
            state: Compensated::of(v),
            count: 1.0,
            running: false,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.running {
            let next = self.state.add(v);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            self.running = true;
            self.state = self.state.divided(self.count - 1.0);
        }
        let weight = (self.count - 1.0) / self.count;
        self.state = self.state.scaled(weight).add(v / self.count);
    }

    pub(crate) fn value(self) -> f64 {
        if self.running {
            return self.state.total();
        }
        self.state.divided(self.count).total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_great_ones() {
        let sum = [1.0, 1e100, 1.0, -1e100];
        let sum = sum
            .into_iter()
            .fold(Compensated::default(), Compensated::add);
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn a_mean_lives_where_its_sum_would_not() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.value(), f64::MAX);
        let mut mean = Mean::of(f64::INFINITY);
        mean.add(1.0);
        assert_eq!(mean.value(), f64::INFINITY);
    }
}
