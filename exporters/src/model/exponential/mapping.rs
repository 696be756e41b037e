//! Which bucket a measurement belongs to, exactly.
//!
//! A logarithm in floating point errs near the bounds of buckets. Here the mantissa is squared instead, once per bit of the
//! scale: whether the square reaches 2 is the next bit of its logarithm. Squares are kept to 127 bits after the point, so
//! that all of them together are wrong by less than one part in 2^103, while no `f64` is nearer than one part in 2^78 to the
//! bound of any bucket but those it is equal to, which are the powers of two.

use super::MAX_SCALE;

/// 1.0 with 127 bits after the point.
const ONE: u128 = 1 << 127;

/// Index at [`MAX_SCALE`] of the bucket of a measurement, which is finite and above zero. Shifted to the right by `n` it is
/// the index at `MAX_SCALE - n`.
pub(super) fn index(measured: f64) -> i32 {
    let (exponent, mut mantissa) = split(measured);
    if mantissa == ONE {
        // A bucket's upper bound belongs to it.
        return (exponent << MAX_SCALE) - 1;
    }
    let mut index = exponent;
    for _ in 0..MAX_SCALE {
        let square = halved_square(mantissa);
        let bit = square >= ONE;
        index = index << 1 | i32::from(bit);
        mantissa = if bit { square } else { square << 1 };
    }
    index
}

/// `exponent` and `mantissa` such that the number is `mantissa * 2^exponent`, with a mantissa from 1 up to 2.
fn split(number: f64) -> (i32, u128) {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = number.to_bits();
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    let biased = bits >> MANTISSA_BITS;
    // Subnormal numbers have no leading one of their own.
    let digits = if biased == 0 { fraction } else { fraction | 1 << MANTISSA_BITS };
    let exponent = i32::try_from(biased.max(1)).unwrap_or_default() - f64::MAX_EXP + 1;
    let missing =
        i32::try_from(digits.leading_zeros()).unwrap_or_default() - (63 - MANTISSA_BITS.cast_signed());
    (exponent - missing, u128::from(digits) << (64 + digits.leading_zeros()))
}

/// Half of the square of a number from 1 up to 2, rounded down.
fn halved_square(number: u128) -> u128 {
    let (high, low) = (number >> 64, number & u128::from(u64::MAX));
    high * high + ((high * low) >> 63)
}
