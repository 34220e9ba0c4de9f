//! Logarithm and power to the base two, and floats as a fraction and a power of two.

pub(super) const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
pub(super) const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// As Go's `math.Log2`.
#[must_use]
pub fn log2(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (fraction, exponent) = split(x);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    ln_of_fraction(fraction, 0.0) * std::f64::consts::LOG2_E + f64::from(exponent)
}

/// As Go's `math.Exp2`.
#[must_use]
pub fn exp2(x: f64) -> f64 {
    const OVERFLOW: f64 = 1.023_999_999_999_999_9e3;
    const UNDERFLOW: f64 = -1.074e3;
    if x.is_nan() {
        return x;
    }
    if x > OVERFLOW {
        return f64::INFINITY;
    }
    if x < UNDERFLOW {
        return 0.0;
    }
    // Truncation of a half more rounds to the nearest.
    let k = if x > 0.0 { x + 0.5 } else { x - 0.5 } as i32;
    let k = if x == 0.0 { 0 } else { k };
    let t = x - f64::from(k);
    exp_of(t * LN2_HIGH, -t * LN2_LOW, k)
}

/// A positive finite `x` as a fraction from 0.5 to 1 and a power of two.
pub(super) fn split(x: f64) -> (f64, i32) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let (x, shift) = if x < f64::MIN_POSITIVE {
        (x * f64::from_bits(0x4330_0000_0000_0000), -52)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022 + shift;
    (f64::from_bits((bits & MANTISSA) | (1022 << 52)), exponent)
}

/// The natural logarithm of `x` × 2^`exponent`, `x` from 0.5 to 1.
pub(super) fn ln_of_fraction(x: f64, exponent: f64) -> f64 {
    const L1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
    const L2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
    const L3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
    const L4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
    const L5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
    const L6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
    const L7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);
    let (f1, k) = if x <= std::f64::consts::FRAC_1_SQRT_2 {
        (x * 2.0, exponent - 1.0)
    } else {
        (x, exponent)
    };
    let f = f1 - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let t1 = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let t2 = s4 * (L2 + s4 * (L4 + s4 * L6));
    let r = t1 + t2;
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + r) + k * LN2_LOW)) - f)
}

/// e^(`high` - `low`) × 2^`k`.
fn exp_of(high: f64, low: f64, k: i32) -> f64 {
    const P1: f64 = f64::from_bits(0x3fc5_5555_5555_5555);
    const P2: f64 = f64::from_bits(0xbf66_c16c_16be_bd93);
    const P3: f64 = f64::from_bits(0x3f11_566a_af25_de2c);
    const P4: f64 = f64::from_bits(0xbebb_bd41_c5d2_6bf1);
    const P5: f64 = f64::from_bits(0x3e66_3769_72be_a4d0);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    let (fraction, exponent) = split(y);
    scale(fraction, i64::from(exponent) + i64::from(k))
}

/// `fraction` × 2^`exponent`, `fraction` from 0.5 to 1, rounded once.
pub(crate) fn scale(fraction: f64, exponent: i64) -> f64 {
    const NORMAL: i64 = -1021;
    if exponent > 1024 {
        return f64::INFINITY;
    }
    if exponent < NORMAL - 53 {
        return 0.0;
    }
    // Two steps of powers that are normal floats; only the last one can round.
    let first = exponent.clamp(NORMAL, 1023);
    fraction * exact_power(first) * exact_power(exponent - first)
}

/// `x` × 2^`exponent`, rounded once.
pub(super) fn ldexp(x: f64, exponent: i64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let (fraction, own) = split(x.abs());
    scale(fraction, exponent.saturating_add(i64::from(own))).copysign(x)
}

/// 2^`exponent` for exponents of normal floats.
fn exact_power(exponent: i64) -> f64 {
    let biased = u64::try_from(exponent + 1023).unwrap_or(0);
    f64::from_bits(biased << 52)
}
