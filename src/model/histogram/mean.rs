//! Sums and means of many histograms, compensated, in the order in which they come. A mean is the sum divided by the
//! count as long as the sum stays in the range of floats, and from then on the mean itself.

use super::add::Compensation;
use super::{FloatHistogram, Incompatible, Joined};

/// A running sum.
#[derive(Clone, Debug)]
pub struct Sum {
    value: FloatHistogram,
    compensation: Option<Compensation>,
}

impl Sum {
    /// The sum of one.
    #[must_use]
    pub fn new(first: FloatHistogram) -> Self {
        Self {
            value: first,
            compensation: None,
        }
    }

    /// Adds another.
    ///
    /// # Errors
    /// [`Incompatible`].
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Joined, Incompatible> {
        self.value.add_compensated(other, &mut self.compensation)
    }

    fn div(&mut self, divisor: f64) {
        self.value.div(divisor);
        if let Some(c) = &mut self.compensation {
            c.map(|v| v / divisor);
            if divisor == 0.0 {
                (c.positive, c.negative) = Default::default();
            }
        }
    }

    fn mul(&mut self, factor: f64) {
        self.value.mul(factor);
        if let Some(c) = &mut self.compensation {
            c.map(|v| v * factor);
        }
    }

    /// The sum, not compacted.
    #[must_use]
    pub fn total(mut self) -> FloatHistogram {
        if let Some(compensation) = self.compensation {
            let lost = compensation.in_layout(&self.value);
            // Same layout: nothing to be noticed, and never incompatible.
            let _ = self.value.add(&lost);
        }
        self.value
    }
}

/// A running mean.
#[derive(Clone, Debug)]
pub struct Mean {
    /// The sum, or the mean once that is calculated incrementally.
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one.
    #[must_use]
    pub fn new(first: FloatHistogram) -> Self {
        Self {
            sum: Sum::new(first),
            count: 1.0,
            incremental: false,
        }
    }

    /// Takes another in.
    ///
    /// # Errors
    /// [`Incompatible`]; the mean is unusable then.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Joined, Incompatible> {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum.clone();
            let joined = next.add(other)?;
            if !next.value.has_overflow() {
                self.sum = next;
                return Ok(joined);
            }
            self.incremental = true;
            self.sum.div(self.count - 1.0);
        }
        self.sum.mul((self.count - 1.0) / self.count);
        let mut part = other.clone();
        part.div(self.count);
        self.sum.add(&part)
    }

    /// The mean, not compacted.
    #[must_use]
    pub fn total(mut self) -> FloatHistogram {
        if !self.incremental {
            self.sum.div(self.count);
        }
        self.sum.total()
    }
}
