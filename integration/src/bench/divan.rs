//! Reads what benches written with divan print.

/// The median of one bench.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Median {
    /// Its name, with its argument if it has one.
    pub(super) name: String,
    /// As divan wrote it.
    pub(super) time: String,
    /// Nanoseconds per item, where it counts items.
    pub(super) per_item: Option<f64>,
}

/// One per line of the tree that has times. A second line below it with a rate belongs to it.
pub(super) fn medians(text: &str) -> Vec<Median> {
    let mut found: Vec<Median> = Vec::new();
    let mut parent = String::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('│').map(str::trim).collect();
        // The tree's own lines are of the same sign; times are the last columns.
        let [.., fastest, _, median, _, _, _] = columns.as_slice() else { continue };
        let name = name(fastest);
        if let Some(rate) = item_rate(median) {
            if let Some(last) = found.last_mut() {
                last.per_item = Some(1e9 / rate);
            }
        } else if median.is_empty() {
            name.clone_into(&mut parent);
        } else if !name.is_empty() && starts_with_digit(median) {
            let depth = line.chars().position(|sign| sign == '├' || sign == '╰').unwrap_or_default();
            let name = if depth > 0 { format!("{parent} {name}") } else { name.to_owned() };
            found.push(Median { name, time: (*median).to_owned(), per_item: None });
        }
    }
    found
}

/// The first column is the tree and the fastest time.
fn name(first: &str) -> &str {
    let plain = first.trim_start_matches(['├', '╰', '─', ' ']);
    plain.split("  ").next().unwrap_or_default().trim()
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|sign: char| sign.is_ascii_digit())
}

/// Items a second.
fn item_rate(text: &str) -> Option<f64> {
    let (value, unit) = text.strip_suffix("item/s")?.rsplit_once(' ')?;
    let times = match unit {
        "" => 1.0,
        "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    value.trim().parse::<f64>().ok().map(|value| value * times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Timer precision: 26 ns
bench              fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ encode          719 µs        │ 24.79 ms      │ 749.3 µs      │ 3.175 ms      │ 100     │ 100
│                  712 Kitem/s   │ 20.64 Kitem/s │ 500 Kitem/s   │ 161.2 Kitem/s │         │
├─ replay                        │               │               │               │         │
│  ├─ 1000         82.01 µs      │ 13.73 ms      │ 83.1 µs       │ 343.5 µs      │ 100     │ 100
│  │               6.242 Mitem/s │ 37.26 Kitem/s │ 4 Mitem/s     │ 1.49 Mitem/s  │         │
│  ╰─ 100000       8.201 ms      │ 13.73 ms      │ 8.31 ms       │ 9.35 ms       │ 100     │ 100
│                  6.242 Mitem/s │ 37.26 Kitem/s │ 2 Mitem/s     │ 1.49 Mitem/s  │         │
╰─ parse           1.2 ns        │ 3 ns          │ 1.5 ns        │ 1.6 ns        │ 100     │ 409600
";

    #[test]
    fn medians_have_their_names_and_rates() {
        let expected = [
            ("encode", "749.3 µs", Some(2000.0)),
            ("replay 1000", "83.1 µs", Some(250.0)),
            ("replay 100000", "8.31 ms", Some(500.0)),
            ("parse", "1.5 ns", None),
        ];
        let expected = expected.map(|(name, time, per_item)| Median {
            name: name.to_owned(),
            time: time.to_owned(),
            per_item,
        });
        assert_eq!(medians(OUTPUT), expected);
    }
}
