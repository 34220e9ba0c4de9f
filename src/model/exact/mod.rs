//! Functions of real numbers with the steps of Go's `math` package on amd64, so that answers are those of Prometheus to the
//! last bit: the C library of a platform rounds differently. The methods are public: FreeBSD's `msun` (logarithms, powers of
//! two), Shibata's (ISC 2010) for `exp`, Moshier's Cephes for the circular functions, Hart and Cheney for `sinh`.

#![expect(
    clippy::excessive_precision,
    reason = "coefficients with the digits of their publications"
)]

mod binary;
mod circular;
mod hyperbolic;
mod natural;
mod power;

pub use binary::{exp2, log2};
pub use circular::{acos, asin, atan, atan2, cos, sin, tan};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use natural::{exp, ln, log10};
pub use power::pow;

pub(crate) use binary::scale;

#[cfg(test)]
mod tests;
