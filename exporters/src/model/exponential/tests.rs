use std::collections::BTreeMap;

use num_bigint::BigUint;
use proptest::prelude::*;

use super::*;

/// The finest scale whose powers are computed in full.
const EXACT_SCALE: i32 = 9;

/// Index of a bucket by the definition: with `v = digits * 2^exponent`, the bits of `digits^(2^scale)` are the logarithm
/// of `v` to the base, and it is whole only where `digits` is 1.
fn naive_index(measured: f64, scale: i32) -> i32 {
    let bits = measured.to_bits();
    let (fraction, biased) = (bits & ((1 << 52) - 1), i32::try_from(bits >> 52).unwrap());
    let mut digits = if biased == 0 { fraction } else { fraction | 1 << 52 };
    let mut exponent = biased.max(1) - 1075;
    while digits.is_multiple_of(2) {
        digits /= 2;
        exponent += 1;
    }
    let power = BigUint::from(digits).pow(1 << scale.max(0));
    let whole = i32::try_from(power.bits()).unwrap() - 1 + exponent * (1 << scale.max(0));
    (whole - i32::from(digits == 1)) >> (-scale).max(0)
}

/// Counts by index at a scale.
fn naive(measured: &[f64], scale: i32) -> BTreeMap<i32, u64> {
    let mut counts = BTreeMap::new();
    for measured in measured.iter().filter(|measured| **measured > 0.0) {
        *counts.entry(naive_index(*measured, scale)).or_default() += 1;
    }
    counts
}

fn recorded(measured: &[f64]) -> ExponentialBuckets {
    let mut buckets = ExponentialBuckets::default();
    for measured in measured {
        buckets.record(*measured);
    }
    buckets
}

/// That the counts are the reference's, where powers of that scale can be computed.
fn assert_counts(buckets: &ExponentialBuckets, measured: &[f64]) {
    let coarse = buckets.at_most(EXACT_SCALE);
    assert_eq!(coarse.indexed().collect::<BTreeMap<_, _>>(), naive(measured, coarse.scale));
    let zeros = measured.iter().filter(|measured| **measured <= 0.0).count() as u64;
    assert_eq!((buckets.zero_count(), buckets.count()), (zeros, measured.len() as u64));
}

/// The finest scale at which all fit, by trying.
fn finest(measured: &[f64]) -> i32 {
    let indexes: Vec<_> = measured.iter().filter(|of| **of > 0.0).map(|of| mapping::index(*of)).collect();
    let (Some(low), Some(high)) = (indexes.iter().min(), indexes.iter().max()) else { return MAX_SCALE };
    let fits = |scale: &i32| {
        let by = MAX_SCALE - scale;
        i64::from(high >> by) - i64::from(low >> by) < 160
    };
    (-10..=MAX_SCALE).rev().find(fits).unwrap()
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![
        // Any positive number, subnormal ones too.
        (1..f64::INFINITY.to_bits()).prop_map(f64::from_bits),
        // What connections last.
        1e-6..1e4,
        // Powers of two and their neighbours.
        (0..2098_u64, -1_i64..=1).prop_map(|(step, off)| {
            let power = if step < 52 { 1 << step } else { (step - 51) << 52 };
            f64::from_bits(power.saturating_add_signed(off).clamp(1, f64::MAX.to_bits()))
        }),
    ]
}

/// As in practice, within a few orders of magnitude, and over all that there is.
fn measurements() -> impl Strategy<Value = Vec<f64>> {
    let any = prop_oneof![9 => positive(), 1 => Just(0.0)];
    let near = (positive(), prop::collection::vec(1.0..1.5, 1..50))
        .prop_map(|(base, factors)| factors.iter().map(|by| (base * by).min(f64::MAX)).collect());
    prop_oneof![prop::collection::vec(any, 0..50), near]
}

/// Scenario: numbers at, just below and just above powers of two, from the smallest to the largest.
/// Guarantees: an upper bound belongs to its bucket, at every scale.
#[test]
fn powers_of_two_are_upper_bounds() {
    for exponent in -1022..=1023_i32 {
        let power = 2_f64.powi(exponent);
        let whole = exponent << MAX_SCALE;
        assert_eq!(mapping::index(power), whole - 1, "{power:e}");
        assert_eq!(mapping::index(power.next_up()), whole, "{power:e}");
        assert_eq!(mapping::index(power.next_down()), whole - 1, "{power:e}");
    }
    assert_eq!(mapping::index(f64::from_bits(1)), (-1074 << MAX_SCALE) - 1);
    assert_eq!(mapping::index(f64::from_bits(2)), (-1073 << MAX_SCALE) - 1);
    assert_eq!(mapping::index(f64::from_bits(3)) >> MAX_SCALE, -1073);
    assert_eq!(mapping::index(f64::MAX), (1024 << MAX_SCALE) - 1);
}

/// Scenario: the numbers of one octave that lie nearest to the bound of a bucket at scale 20, found by computing all of its
/// 2^20 bounds to 300 bits: 2^(bound/2^20) is within one part in 2^72 to 2^78 of digits/2^52.
/// Guarantees: each is on its side of the bound.
#[test]
fn nearest_numbers_to_bounds_are_on_their_side() {
    let table = [
        (308_076, 5_520_820_692_296_359_u64, true),
        (624_354, 6_804_593_366_865_409, false),
        (150_060, 4_973_243_067_342_823, true),
        (436_878, 6_011_470_353_094_022, false),
        (891_945, 8_121_260_215_719_793, false),
        (668_456, 7_005_887_858_850_626, true),
    ];
    for (bound, digits, above) in table {
        for exponent in [-1022, -1, 0, 1023] {
            let measured = digits as f64 / 2_f64.powi(52) * 2_f64.powi(exponent);
            let expected = (exponent << MAX_SCALE) + bound - i32::from(!above);
            assert_eq!(mapping::index(measured), expected, "{bound} {exponent}");
        }
    }
}

/// Scenario: nothing; zeros, negative numbers, none and infinity.
/// Guarantees: nothing has no bucket; what is not above zero is counted apart; infinity is the largest number.
#[test]
fn what_has_no_bucket() {
    let nothing = ExponentialBuckets::default();
    assert_eq!((nothing.scale(), nothing.offset(), nothing.counts(), nothing.count()), (20, 0, &[][..], 0));
    let buckets = recorded(&[0.0, -0.0, -1.0, f64::NAN, f64::INFINITY]);
    assert_eq!((buckets.zero_count(), buckets.counts()), (4, &[1][..]));
    assert_eq!(buckets.offset(), (1024 << 20) - 1);
}

/// Scenario: measurements at both ends of what there is.
/// Guarantees: both are held, in 160 buckets at most.
#[test]
fn the_whole_range_fits() {
    let buckets = recorded(&[f64::from_bits(1), f64::MAX, 1.0]);
    assert_eq!((buckets.scale(), buckets.offset(), buckets.counts().len()), (-4, -68, 132));
    assert_eq!(buckets.indexed().collect::<Vec<_>>(), [(-68, 1), (-1, 1), (63, 1)]);
}

proptest! {
    /// Scenario: any positive number.
    /// Guarantees: its index is that of the definition at each scale whose powers can be computed.
    #[test]
    fn indexes_equal_the_definition(measured in positive(), scale in -10..=EXACT_SCALE) {
        prop_assert_eq!(mapping::index(measured) >> (MAX_SCALE - scale), naive_index(measured, scale));
    }

    /// Scenario: any measurements.
    /// Guarantees: each is in its bucket, in 160 at most, at the finest scale that allows; their order does not matter.
    #[test]
    fn measurements_are_in_their_buckets(measured in measurements()) {
        let buckets = recorded(&measured);
        assert_counts(&buckets, &measured);
        prop_assert!(buckets.counts().len() <= MAX_BUCKETS);
        prop_assert_eq!(buckets.scale(), finest(&measured));
        let mut sorted = measured.clone();
        sorted.sort_by(f64::total_cmp);
        prop_assert_eq!(recorded(&sorted), buckets);
    }

    /// Scenario: two histograms are merged.
    /// Guarantees: the result is that of measuring everything in one.
    #[test]
    fn merging_is_measuring_in_one(first in measurements(), second in measurements()) {
        let mut merged = recorded(&first);
        merged.merge(&recorded(&second));
        prop_assert_eq!(merged, recorded(&[first, second].concat()));
    }

    /// Scenario: a histogram goes on, so that its scale may change, and what it was is taken from what it is.
    /// Guarantees: the difference holds exactly what was added, at the present scale, and no empty ends.
    #[test]
    fn differences_are_what_was_added(first in measurements(), second in measurements()) {
        let then = recorded(&first);
        let mut now = then.clone();
        for measured in &second {
            now.record(*measured);
        }
        let since = now.since(&then);
        assert_counts(&since, &second);
        prop_assert_eq!(since.scale(), now.scale());
        prop_assert!(since.counts().first() != Some(&0) && since.counts().last() != Some(&0));
        prop_assert_eq!(now.since(&now).count(), 0);
    }

    /// Scenario: a histogram is wanted at a coarser scale.
    /// Guarantees: it has the counts of that scale; a finer one changes nothing.
    #[test]
    fn coarser_scales_keep_every_measurement(measured in measurements(), scale in -10..25) {
        let buckets = recorded(&measured);
        let coarse = buckets.at_most(scale);
        assert_counts(&coarse, &measured);
        prop_assert_eq!(coarse.scale(), buckets.scale().min(scale));
        if scale >= buckets.scale() {
            prop_assert_eq!(coarse, buckets);
        }
    }
}
