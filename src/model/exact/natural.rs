//! `exp`, `ln` and what follows from them.

use super::binary::{LN2_HIGH, LN2_LOW, ln_of_fraction};

/// e to the power of `x`.
#[must_use]
pub fn exp(x: f64) -> f64 {
    const OVERFLOW: f64 = 7.097_827_128_933_84e2;
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == f64::NEG_INFINITY {
        return 0.0;
    }
    if x > OVERFLOW {
        return f64::INFINITY;
    }
    // The processor rounds to even, and to the least number what is none of 32 bits.
    let exponent = (x * std::f64::consts::LOG2_E).round_ties_even();
    let exponent = match exponent.abs() < 2_147_483_648.0 {
        true => exponent as i32,
        false => i32::MIN,
    };
    let k = f64::from(exponent);
    let rest = (-k).mul_add(LN2_UPPER, x);
    let rest = (-k).mul_add(LN2_LOWER, rest) * 0.0625;
    // Taylor's series of (e^rest - 1), and four squarings of what is added to one.
    let terms = [
        1.984_126_984_126_984_127e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    let series = terms
        .iter()
        .fold(2.480_158_730_158_730_158_7e-5_f64, |sum, term| {
            sum.mul_add(rest, *term)
        });
    let mut less_one = rest * series;
    for _ in 0..3 {
        less_one *= less_one + 2.0;
    }
    times_power(less_one.mul_add(less_one + 2.0, 1.0), exponent)
}

/// `x` × 2^`exponent`; what is below the smallest normal number is rounded twice.
fn times_power(x: f64, exponent: i32) -> f64 {
    const BIAS: i32 = 1023;
    let power = |exponent: i32| f64::from_bits((exponent as u64) << 52);
    let biased = exponent.wrapping_add(BIAS);
    match biased {
        2047.. => f64::INFINITY,
        1.. => x * power(biased),
        ..-52 => 0.0,
        _ => x * power(biased + BIAS - 1) * power(1),
    }
}

/// The natural logarithm.
#[must_use]
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    // Numbers below the smallest normal one are taken as if they had its exponent, as the processor's code does.
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    let fraction = f64::from_bits((bits & ((1 << 52) - 1)) | (1022 << 52));
    ln_of_fraction(fraction, f64::from(exponent))
}

/// The logarithm to the base ten.
#[must_use]
pub fn log10(x: f64) -> f64 {
    ln(x) * std::f64::consts::LOG10_E
}

/// The logarithm of `1 + x`.
pub(super) fn ln_1p(x: f64) -> f64 {
    const SQRT2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-1;
    const HALF_SQRT2_LESS_1: f64 = -2.928_932_188_134_524_755_992e-1;
    const SMALL: f64 = 1.0 / (1u64 << 29) as f64;
    const TINY: f64 = 1.0 / (1u64 << 54) as f64;
    if x < -1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let size = x.abs();
    if size < TINY {
        return x;
    }
    if size < SMALL {
        return x - x * x * 0.5;
    }
    if size < SQRT2_LESS_1 && x > HALF_SQRT2_LESS_1 {
        return ln_near_one(x, 0.0, 0.0, false);
    }
    let (fraction, k, correction, tiny) = normalized(x, size);
    ln_near_one(fraction, k, correction, tiny)
}

/// `1 + x` as 2^k × (1 + f): f, k, what rounding took, and whether f is next to nothing.
fn normalized(x: f64, size: f64) -> (f64, f64, f64, bool) {
    const TWO_53: f64 = 9_007_199_254_740_992.0;
    const MANTISSA: u64 = (1 << 52) - 1;
    const SQRT2: u64 = 0x0006_a09e_667f_3bcd;
    let u = if size < TWO_53 { 1.0 + x } else { x };
    let mut k = (u.to_bits() >> 52) as i32 - 1023;
    let correction = match size < TWO_53 {
        true if k > 0 => (1.0 - (u - x)) / u,
        true => (x - (u - 1.0)) / u,
        false => 0.0,
    };
    let mantissa = u.to_bits() & MANTISSA;
    let (u, rest) = if mantissa < SQRT2 {
        (f64::from_bits(mantissa | 0x3ff0_0000_0000_0000), mantissa)
    } else {
        k += 1;
        let half = f64::from_bits(mantissa | 0x3fe0_0000_0000_0000);
        (half, (0x0010_0000_0000_0000 - mantissa) >> 2)
    };
    (u - 1.0, f64::from(k), correction, rest == 0)
}

fn ln_near_one(f: f64, k: f64, correction: f64, tiny: bool) -> f64 {
    const P: [f64; 7] = [
        1.479_819_860_511_658_591e-1,
        1.531_383_769_920_937_332e-1,
        1.818_357_216_161_805_012e-1,
        2.222_219_843_214_978_396e-1,
        2.857_142_874_366_239_149e-1,
        3.999_999_999_940_941_908e-1,
        6.666_666_666_666_735_13e-1,
    ];
    let half_square = 0.5 * f * f;
    if tiny {
        if f == 0.0 {
            return match k == 0.0 {
                true => 0.0,
                false => k * LN2_HIGH + (correction + k * LN2_LOW),
            };
        }
        let r = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
        return match k == 0.0 {
            true => f - r,
            false => k * LN2_HIGH - ((r - (k * LN2_LOW + correction)) - f),
        };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * P[1..].iter().fold(P[0], |sum, p| p + z * sum);
    match k == 0.0 {
        true => f - (half_square - s * (half_square + r)),
        false => {
            k * LN2_HIGH
                - ((half_square - (s * (half_square + r) + (k * LN2_LOW + correction))) - f)
        }
    }
}
