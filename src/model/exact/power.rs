//! `x` to the power of `y`: squarings for the whole part of `y`, `exp` and `ln` for the rest.

use super::binary::{ldexp, split};
use super::natural::{exp, ln};

/// `x` to the power of `y`.
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    special(x, y).unwrap_or_else(|| general(x, y))
}

/// The powers that need no calculation.
fn special(x: f64, y: f64) -> Option<f64> {
    let infinite_unless = |zero: bool| if zero { 0.0 } else { f64::INFINITY };
    Some(if y == 0.0 || x == 1.0 {
        1.0
    } else if y == 1.0 {
        x
    } else if x.is_nan() || y.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        let negative = x.is_sign_negative() && is_odd(y);
        match (y < 0.0, negative) {
            (true, true) => f64::NEG_INFINITY,
            (true, false) => f64::INFINITY,
            (false, true) => x,
            (false, false) => 0.0,
        }
    } else if y.is_infinite() {
        match x == -1.0 {
            true => 1.0,
            false => infinite_unless((x.abs() < 1.0) == (y > 0.0)),
        }
    } else if x == f64::NEG_INFINITY {
        pow(1.0 / x, -y)
    } else if x == f64::INFINITY {
        infinite_unless(y < 0.0)
    } else if y == 0.5 {
        x.sqrt()
    } else if y == -0.5 {
        1.0 / x.sqrt()
    } else {
        return None;
    })
}

fn is_odd(y: f64) -> bool {
    // From here on all floats are even.
    const EVEN: f64 = 9_007_199_254_740_992.0;
    y.abs() < EVEN && y.trunc() == y && y.trunc() as i64 & 1 == 1
}

fn general(x: f64, y: f64) -> f64 {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    if rest != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= TOO_LARGE {
        return match x == -1.0 {
            true => 1.0,
            false if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            false => f64::INFINITY,
        };
    }
    // The answer is fraction × 2^exponent.
    let (mut fraction, mut exponent) = (1.0, 0i64);
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        fraction = exp(rest * ln(x));
    }
    let (mut square, power) = signed_split(x);
    let (mut power, mut bits) = (i64::from(power), whole as i64);
    while bits != 0 {
        if power.abs() > 1 << 12 {
            // Beyond all floats, whatever the rest.
            exponent += power;
            break;
        }
        if bits & 1 == 1 {
            fraction *= square;
            exponent += power;
        }
        square *= square;
        power <<= 1;
        if square < 0.5 {
            square += square;
            power -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        fraction = 1.0 / fraction;
        exponent = -exponent;
    }
    ldexp(fraction, exponent)
}

fn signed_split(x: f64) -> (f64, i32) {
    let (fraction, exponent) = split(x.abs());
    (fraction.copysign(x), exponent)
}
