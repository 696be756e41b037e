//! Medians and spreads.

/// The value in the middle, of an even number the mean of both; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
    } else {
        Some(upper)
    }
}

/// The smallest and the largest.
pub(super) fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(low, high), value| (low.min(*value), high.max(*value))))
}

/// Each value by its neighbour in the other series: what drifts in both cancels out.
pub(super) fn paired(values: &[f64], by: &[f64], combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    values.iter().zip(by).map(|(value, by)| combine(*value, *by)).collect()
}

/// Four digits or fewer, as people read them.
pub(super) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size.fract() == 0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = usize::from(whole.starts_with('-'));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > sign && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 3.0)));
        assert_eq!((median(&[]), spread(&[])), (None, None));
    }

    #[test]
    fn neighbours_cancel_what_drifts() {
        assert_eq!(paired(&[2.0, 4.0], &[1.0, 2.0], |value, by| value / by), [2.0, 2.0]);
    }

    #[test]
    fn figures_are_short() {
        let short = [0.0, 3.0, 0.0123, 1.2345, 12.345, 123.45, 1234.5, 1_234_567.0, -1500.0].map(short);
        assert_eq!(short, ["0", "3", "0.012", "1.23", "12.3", "123", "1,234", "1,234,567", "-1,500"]);
    }
}
