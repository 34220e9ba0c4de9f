//! Hyperbolic functions and their inverses.

use std::f64::consts::LN_2;

use super::natural::{exp, ln, ln_1p};

/// The size of `x`; zero keeps its sign.
fn positive(x: f64) -> f64 {
    if x < 0.0 { -x } else { x }
}

/// The hyperbolic sine.
#[must_use]
pub fn sinh(x: f64) -> f64 {
    const P: [f64; 4] = [
        -0.630_767_364_049_771_699_118_478_725_1e6,
        -0.899_127_202_203_950_935_539_801_351_1e5,
        -0.289_421_135_598_956_380_728_466_036_6e4,
        -0.263_056_321_339_749_706_281_948_9e2,
    ];
    const Q: [f64; 3] = [
        -0.630_767_364_049_771_699_121_207_727_7e6,
        0.152_151_737_879_001_907_069_648_517_6e5,
        -0.173_678_953_558_233_699_533_450_911e3,
    ];
    let size = positive(x);
    let y = if size > 21.0 {
        exp(size) * 0.5
    } else if size > 0.5 {
        let power = exp(size);
        (power - 1.0 / power) * 0.5
    } else {
        let s = size * size;
        let over = (((P[3] * s + P[2]) * s + P[1]) * s + P[0]) * size;
        over / (((s + Q[2]) * s + Q[1]) * s + Q[0])
    };
    if x < 0.0 { -y } else { y }
}

/// The hyperbolic cosine.
#[must_use]
pub fn cosh(x: f64) -> f64 {
    let x = x.abs();
    let power = exp(x);
    match x > 21.0 {
        true => power * 0.5,
        false => (power + 1.0 / power) * 0.5,
    }
}

/// The hyperbolic tangent.
#[must_use]
pub fn tanh(x: f64) -> f64 {
    const P: [f64; 3] = [
        -9.643_991_794_250_522_386_28e-1,
        -9.928_772_310_019_185_865_64e1,
        -1.614_687_684_417_084_479_52e3,
    ];
    const Q: [f64; 3] = [
        1.128_116_784_916_329_314_02e2,
        2.235_488_390_601_004_485_83e3,
        4.844_063_053_251_254_860_48e3,
    ];
    const LARGE: f64 = 0.5 * 8.802_969_193_111_305_429_598_8e1;
    let size = x.abs();
    if size > LARGE {
        return 1f64.copysign(x);
    }
    if size >= 0.625 {
        let y = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
        return y.copysign(x);
    }
    if x == 0.0 {
        return x;
    }
    let s = x * x;
    let over = (P[0] * s + P[1]) * s + P[2];
    x + x * s * over / (((s + Q[0]) * s + Q[1]) * s + Q[2])
}

const NEAR_ZERO: f64 = 1.0 / LARGE;
const LARGE: f64 = (1u64 << 28) as f64;

/// The inverse of [`sinh`].
#[must_use]
pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let size = positive(x);
    let y = if size > LARGE {
        ln(size) + LN_2
    } else if size > 2.0 {
        ln(2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size))
    } else if size < NEAR_ZERO {
        size
    } else {
        ln_1p(size + size * size / (1.0 + (1.0 + size * size).sqrt()))
    };
    if x < 0.0 { -y } else { y }
}

/// The inverse of [`cosh`].
#[must_use]
pub fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == 1.0 {
        return 0.0;
    }
    if x >= LARGE {
        return ln(x) + LN_2;
    }
    if x > 2.0 {
        return ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()));
    }
    let t = x - 1.0;
    ln_1p(t + (2.0 * t + t * t).sqrt())
}

/// The inverse of [`tanh`].
#[must_use]
pub fn atanh(x: f64) -> f64 {
    if !(-1.0..=1.0).contains(&x) {
        return f64::NAN;
    }
    let size = positive(x);
    let y = if size == 1.0 {
        f64::INFINITY
    } else if size < NEAR_ZERO {
        size
    } else if size < 0.5 {
        let double = size + size;
        0.5 * ln_1p(double + double * size / (1.0 - size))
    } else {
        0.5 * ln_1p((size + size) / (1.0 - size))
    };
    if x < 0.0 { -y } else { y }
}
