//! Logarithm and power to the base two with the steps of Go's `math` package, so that interpolated values are those of
//! Prometheus to the last bit. (The method is FreeBSD's `e_log.c` and `e_exp.c`, as Go's; the C library of a platform
//! rounds differently.)

const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

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
    ln_of_fraction(fraction) * std::f64::consts::LOG2_E + f64::from(exponent)
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
fn split(x: f64) -> (f64, i32) {
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

/// The natural logarithm of `x` from 0.5 to 1.
fn ln_of_fraction(x: f64) -> f64 {
    const L1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
    const L2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
    const L3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
    const L4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
    const L5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
    const L6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
    const L7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);
    let (f1, k) = if x <= std::f64::consts::FRAC_1_SQRT_2 {
        (x * 2.0, -1.0)
    } else {
        (x, 0.0)
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

/// 2^`exponent` for exponents of normal floats.
fn exact_power(exponent: i64) -> f64 {
    let biased = u64::try_from(exponent + 1023).unwrap_or(0);
    f64::from_bits(biased << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits printed by Go 1.26 on amd64.
    const LOG2: &[(f64, u64)] = &[
        (23.150717404875206, 0x4012_21c6_d19b_7653),
        (7.748642838047834e-160, 0xc080_846f_b8b7_19f9),
        (69.82355437875076, 0x4018_80a8_44cb_69cc),
        (7.520540145690563e-219, 0xc086_a4bb_3892_7373),
        (34.26820516401111, 0x4014_652b_7e43_2f1a),
        (3.1201026933835003e-295, 0xc08e_929e_1823_6d21),
        (45.882457343018075, 0x4016_1458_ffcf_9a46),
        (7.363758028347277e-69, 0xc06c_4aa4_a10d_1a68),
        (84.87640557765343, 0x4019_a111_1057_dea8),
        (6.645663939596875e-219, 0xc086_a628_a194_9687),
        (69.5689074764918, 0x4018_7b42_78ec_3d5c),
        (2.114614084541889e230, 0x4087_e8fd_a854_8b0c),
        (13.010171723205236, 0x400d_9ccf_bc57_4abd),
        (7.844234103913264e273, 0x408c_6edd_3069_acb6),
        (80.21985381013602, 0x4019_4db5_6f59_2e9c),
        (7.91232764696532e-308, 0xc08f_e15b_a671_1eb1),
        (71.57764868204868, 0x4018_a54f_ce41_a9fd),
        (5.317390873170841e-49, 0xc064_0ba3_e816_66a0),
        (68.01139438725136, 0x4018_59cf_39c2_1a42),
        (6.886210792978437e-48, 0xc063_9567_1f64_3c6c),
        (34.77984916126333, 0x4014_7b10_67e2_1fa5),
        (1.6993061890316662e262, 0x408b_38e1_7f9d_821b),
        (81.61818476941549, 0x4019_673d_05bd_4b13),
        (2.0443541595676658e-25, 0xc054_810f_4608_cbc2),
    ];
    const EXP2: &[(f64, u64)] = &[
        (942.5775151047343, 0x7ad7_e05d_92f2_d017),
        (-1.1838696106561264, 0x3fdc_2bbb_cd24_64be),
        (-3.239858371452896, 0x3fbb_1937_f565_ed23),
        (5.664440954683192, 0x4049_5bf8_b549_a886),
        (133.3899273265679, 0x4844_f719_dc35_2354),
        (4.523783803357144, 0x4037_00e7_cdcd_64f5),
        (-5.9810568640728, 0x3f90_3622_fd8e_ad28),
        (-8.077741628577728, 0x3f6e_523e_e19b_0527),
        (334.07557148788453, 0x54d0_dc46_b85a_db32),
        (9.474448311190258, 0x4086_3aed_ab21_f88b),
        (-5.8529510603820745, 0x3f91_b782_7487_e2d3),
        (0.30491384406458266, 0x3ff3_c3f8_f943_3702),
        (-655.6863950707932, 0x16f3_e28b_fe1f_90c5),
        (-1.0572806503304877, 0x3fde_c11e_2858_cc42),
        (-2.644979158406896, 0x3fc4_76cc_f589_a0b8),
        (7.093274320653968, 0x4061_1190_edce_ad09),
        (785.5124070382251, 0x7106_d2a6_47f9_6f98),
        (2.367510057360802, 0x4014_a459_5d39_1d94),
        (-8.744568530979944, 0x3f63_195d_8156_7c7f),
        (8.343457001296153, 0x4074_4cfa_26b3_2df1),
        (447.91421429351556, 0x5bee_2715_fc3d_5b05),
        (-9.743329939387626, 0x3f53_1d90_908d_c430),
        (6.419278207713224, 0x4055_6569_01e3_3dfe),
        (-2.4770415548443925, 0x3fc6_fd89_9565_d91e),
    ];

    #[test]
    fn logarithms_and_powers_are_go_s_to_the_last_bit() {
        for (x, bits) in LOG2 {
            assert_eq!(log2(*x).to_bits(), *bits, "log2({x})");
        }
        for (x, bits) in EXP2 {
            assert_eq!(exp2(*x).to_bits(), *bits, "exp2({x})");
        }
    }

    #[test]
    fn powers_of_two_are_exact_both_ways() {
        for exponent in -1074..1024 {
            let power = exp2(f64::from(exponent));
            assert_eq!(log2(power), f64::from(exponent));
        }
    }
}
