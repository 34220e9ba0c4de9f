//! Functions of one number, as Go's `math` has them.

use model::exact;

/// The function of one float called `name`; the ones that take parameters are elsewhere.
pub(crate) fn of_name(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => exact::exp,
        "sqrt" => f64::sqrt,
        "ln" => exact::ln,
        "log2" => exact::log2,
        "log10" => exact::log10,
        "sin" => exact::sin,
        "cos" => exact::cos,
        "tan" => exact::tan,
        "asin" => exact::asin,
        "acos" => exact::acos,
        "atan" => exact::atan,
        "sinh" => exact::sinh,
        "cosh" => exact::cosh,
        "tanh" => exact::tanh,
        "asinh" => exact::asinh,
        "acosh" => exact::acosh,
        "atanh" => exact::atanh,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "sgn" => sign,
        _ => return None,
    })
}

fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// To the nearest multiple, half up.
pub(crate) fn round(v: f64, nearest: f64) -> f64 {
    // Multiplying by the inverse loses less than dividing.
    let inverse = 1.0 / nearest;
    (v * inverse + 0.5).floor() / inverse
}

/// The greater one; NaN unless the other is positive infinity.
pub(crate) fn greater(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The lesser one; NaN unless the other is negative infinity.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_and_the_lesser_are_go_s() {
        let nan = f64::NAN;
        assert!(greater(nan, 1.0).is_nan() && lesser(1.0, nan).is_nan());
        assert_eq!(greater(nan, f64::INFINITY), f64::INFINITY);
        assert_eq!(lesser(f64::NEG_INFINITY, nan), f64::NEG_INFINITY);
        assert!(greater(-0.0, 0.0).is_sign_positive());
        assert!(lesser(-0.0, 0.0).is_sign_negative());
        assert_eq!((greater(1.0, 2.0), lesser(1.0, 2.0)), (2.0, 1.0));
    }

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!(
            (round(2.5, 1.0), round(-2.5, 1.0), round(7.3, 5.0)),
            (3.0, -2.0, 5.0)
        );
    }

    #[test]
    fn a_sign_keeps_zero_and_nan() {
        assert_eq!((sign(-3.0), sign(0.5), sign(0.0)), (-1.0, 1.0, 0.0));
        assert!(sign(f64::NAN).is_nan());
    }
}
