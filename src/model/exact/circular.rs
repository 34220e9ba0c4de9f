//! Circular functions and their inverses.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const SIN: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

/// The first coefficient belongs to the highest power.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    let (first, rest) = coefficients.split_first().unwrap_or((&0.0, &[]));
    rest.iter().fold(*first, |sum, next| sum * x + next)
}

/// A positive `x` as an even count of octants (modulo eight) and what is left.
fn octants(x: f64) -> (u64, f64) {
    const LARGE: f64 = (1u64 << 29) as f64;
    const FOUR_OVER_PI: f64 = 1.273_239_544_735_162_686_151_070_106_980_1;
    // A quarter of pi in three parts.
    const PARTS: [f64; 3] = [
        7.853_981_256_484_985_351_56e-1,
        3.774_894_707_930_798_176_68e-8,
        2.695_151_429_079_059_526_45e-15,
    ];
    if x >= LARGE {
        return octants_of_large(x);
    }
    let mut octant = (x * FOUR_OVER_PI) as u64;
    octant += octant & 1;
    let count = octant as f64;
    let rest = ((x - count * PARTS[0]) - count * PARTS[1]) - count * PARTS[2];
    (octant & 7, rest)
}

/// 4/pi in binary.
const FOUR_BY_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// By multiplication with as many digits of 4/pi as matter (Payne and Hanek).
fn octants_of_large(x: f64) -> (u64, f64) {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as usize + 61 - 1023 - 52;
    let mantissa = u128::from(bits & ((1 << 52) - 1) | (1 << 52));
    let (digit, shift) = (exponent / 64, exponent % 64);
    let product = |at: usize| {
        let pair = u128::from(FOUR_BY_PI[at]) << 64 | u128::from(FOUR_BY_PI[at + 1]);
        (pair << shift >> 64) * mantissa
    };
    let sum = (product(digit) << 64)
        .wrapping_add(product(digit + 1))
        .wrapping_add(product(digit + 2) >> 64);
    let (high, low) = ((sum >> 64) as u64, sum as u64);
    let octant = high >> 61;
    let fraction = high << 3 | low >> 61;
    let zeros = fraction.leading_zeros();
    // The low bits come as they were before the shift, as in Go.
    let mantissa = fraction.checked_shl(zeros + 1).unwrap_or(0)
        | low.checked_shr(63 - zeros.min(63)).unwrap_or(0);
    let mantissa = mantissa >> 12;
    let power = u64::from(1022 - zeros);
    let rest = f64::from_bits(power << 52 | mantissa);
    match octant & 1 {
        1 => ((octant + 1) & 7, (rest - 1.0) * FRAC_PI_4),
        _ => (octant, rest * FRAC_PI_4),
    }
}

fn sine_near_zero(z: f64) -> f64 {
    let square = z * z;
    z + z * square * polynomial(&SIN, square)
}

fn cosine_near_zero(z: f64) -> f64 {
    let square = z * z;
    1.0 - 0.5 * square + square * square * polynomial(&COS, square)
}

fn signed(negative: bool, v: f64) -> f64 {
    if negative { -v } else { v }
}

/// The sine.
#[must_use]
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (octant, rest) = octants(x.abs());
    let y = match octant % 4 {
        1 | 2 => cosine_near_zero(rest),
        _ => sine_near_zero(rest),
    };
    signed((x < 0.0) != (octant > 3), y)
}

/// The cosine.
#[must_use]
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (octant, rest) = octants(x.abs());
    let half = octant % 4;
    let y = match half {
        1 | 2 => sine_near_zero(rest),
        _ => cosine_near_zero(rest),
    };
    signed((octant > 3) != (half > 1), y)
}

/// The tangent.
#[must_use]
pub fn tan(x: f64) -> f64 {
    const P: [f64; 3] = [
        -1.309_369_391_813_837_876_46e4,
        1.153_516_648_385_874_161_40e6,
        -1.795_652_519_764_848_779_88e7,
    ];
    const Q: [f64; 5] = [
        1.0,
        1.368_129_634_706_929_546_78e4,
        -1.320_892_344_402_109_674_47e6,
        2.500_838_018_233_579_158_39e7,
        -5.386_957_559_294_546_298_81e7,
    ];
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (octant, z) = octants(x.abs());
    let square = z * z;
    let y = match square > 1e-14 {
        true => z + z * (square * polynomial(&P, square) / polynomial(&Q, square)),
        false => z,
    };
    let y = if octant & 2 == 2 { -1.0 / y } else { y };
    signed(x < 0.0, y)
}

/// The arctangent from 0 to 0.66.
fn atan_near_zero(x: f64) -> f64 {
    const P: [f64; 5] = [
        -8.750_608_600_031_904_122_785e-1,
        -1.615_753_718_733_365_076_637e1,
        -7.500_855_792_314_704_667_340e1,
        -1.228_866_684_490_136_173_410e2,
        -6.485_021_904_942_025_371_773e1,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.485_846_490_142_306_297_962e1,
        1.650_270_098_316_988_542_046e2,
        4.328_810_604_912_902_668_951e2,
        4.853_903_996_359_136_964_868e2,
        1.945_506_571_482_613_964_425e2,
    ];
    let z = x * x;
    let z = z * polynomial(&P, z) / polynomial(&Q, z);
    x * z + x
}

/// The arctangent of what is positive.
fn atan_of_positive(x: f64) -> f64 {
    // What half a pi is more than its float.
    const MORE: f64 = 6.123_233_995_736_765_886_130e-17;
    const TAN_3_8_PI: f64 = 2.414_213_562_373_095_048_80;
    if x <= 0.66 {
        atan_near_zero(x)
    } else if x > TAN_3_8_PI {
        FRAC_PI_2 - atan_near_zero(1.0 / x) + MORE
    } else {
        FRAC_PI_4 + atan_near_zero((x - 1.0) / (x + 1.0)) + 0.5 * MORE
    }
}

/// The arctangent.
#[must_use]
pub fn atan(x: f64) -> f64 {
    if x == 0.0 {
        x
    } else if x > 0.0 {
        atan_of_positive(x)
    } else {
        -atan_of_positive(-x)
    }
}

/// The arcsine.
#[must_use]
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let size = x.abs();
    if size > 1.0 {
        return f64::NAN;
    }
    let other = (1.0 - size * size).sqrt();
    let y = match size > 0.7 {
        true => FRAC_PI_2 - atan_of_positive(other / size),
        false => atan_of_positive(size / other),
    };
    signed(x < 0.0, y)
}

/// The arccosine.
#[must_use]
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point (`x`, `y`).
#[must_use]
pub fn atan2(y: f64, x: f64) -> f64 {
    if y.is_nan() || x.is_nan() {
        return f64::NAN;
    }
    if y == 0.0 {
        let angle = if x.is_sign_negative() { PI } else { 0.0 };
        return angle.copysign(y);
    }
    if x == 0.0 {
        return FRAC_PI_2.copysign(y);
    }
    let angle = match (x.is_infinite(), y.is_infinite()) {
        (true, true) if x > 0.0 => FRAC_PI_4,
        (true, true) => 3.0 * PI / 4.0,
        (true, false) if x > 0.0 => 0.0,
        (true, false) => PI,
        (false, true) => FRAC_PI_2,
        (false, false) => {
            let quotient = atan(y / x);
            return match (x < 0.0, quotient <= 0.0) {
                (true, true) => quotient + PI,
                (true, false) => quotient - PI,
                (false, _) => quotient,
            };
        }
    };
    angle.copysign(y)
}
