//! Trends: least squares (`deriv`, `predict_linear`) and Holt's linear method (`double_exponential_smoothing`).

use super::kahan::Compensated;

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Per second.
    pub(crate) slope: f64,
    /// The value at the time that was asked for.
    pub(crate) intercept: f64,
}

/// The line closest to the samples; its intercept is at `origin` (milliseconds). None for fewer than two samples.
pub(crate) fn regression(t: &[i64], v: &[f64], origin: i64) -> Option<Line> {
    let [first, _, ..] = *v else {
        return None;
    };
    if v.iter().skip(1).all(|v| *v == first) {
        return Some(constant(first));
    }
    let mut count = 0.0;
    let [mut xs, mut ys, mut products, mut squares] = [Compensated::default(); 4];
    for (t, y) in t.iter().zip(v) {
        count += 1.0;
        let x = t.wrapping_sub(origin) as f64 / 1e3;
        xs = xs.add(x);
        ys = ys.add(*y);
        products = products.add(x * y);
        squares = squares.add(x * x);
    }
    let (xs, ys) = (xs.total(), ys.total());
    let covariance = products.total() - xs * ys / count;
    let variance = squares.total() - xs * xs / count;
    let slope = covariance / variance;
    Some(Line {
        slope,
        intercept: ys / count - slope * xs / count,
    })
}

fn constant(v: f64) -> Line {
    if v.is_infinite() {
        return Line {
            slope: f64::NAN,
            intercept: f64::NAN,
        };
    }
    Line {
        slope: 0.0,
        intercept: v,
    }
}

/// The smoothed last value. `level` weighs the newest sample, `trend` the newest trend. None for fewer than two.
pub(crate) fn smooth(v: &[f64], level: f64, trend: f64) -> Option<f64> {
    let [first, second, ..] = *v else {
        return None;
    };
    let (mut before, mut smoothed, mut slope) = (0.0, first, second - first);
    for (at, v) in v.iter().enumerate().skip(1) {
        let scaled = level * v;
        if at > 1 {
            let newest = trend * (smoothed - before);
            slope = newest + (1.0 - trend) * slope;
        }
        let expected = (1.0 - level) * (smoothed + slope);
        (before, smoothed) = (smoothed, scaled + expected);
    }
    Some(smoothed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_found() {
        let t = [0, 1000, 2000, 3000];
        let line = regression(&t, &[1.0, 3.0, 5.0, 7.0], 4000);
        assert_eq!(line.map(|l| (l.slope, l.intercept)), Some((2.0, 9.0)));
        assert_eq!(regression(&t, &[5.0; 4], 0), Some(constant(5.0)));
        assert_eq!(regression(&[0], &[1.0], 0), None);
        let infinite = regression(&t, &[f64::INFINITY; 4], 0);
        assert!(infinite.is_some_and(|line| line.slope.is_nan() && line.intercept.is_nan()));
    }

    #[test]
    fn smoothing_follows_a_line_exactly() {
        assert_eq!(smooth(&[1.0, 2.0, 3.0, 4.0], 0.5, 0.5), Some(4.0));
        assert_eq!(smooth(&[1.0], 0.5, 0.5), None);
    }
}
