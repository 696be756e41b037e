//! The name that was meant.

/// The one of `names` that `text` most likely means; `None` when it is far from all of them.
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let within = (text.chars().count() / 3).max(1);
    let text: Vec<char> = text.chars().take(MAX_CHARS).flat_map(char::to_lowercase).collect();
    names
        .into_iter()
        .map(|name| (distance(&text, &name.chars().collect::<Vec<_>>()), name))
        .filter(|(far, _)| *far <= within)
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// No name is longer, and the work grows with the square.
const MAX_CHARS: usize = 64;

/// Letters to put in, take out, change, or swap with their neighbour, to make one of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let changed = last[column] + usize::from(a != b);
            let mut best = changed.min(last[column + 1] + 1).min(line[column] + 1);
            let swaps = row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b;
            if swaps {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_name() {
        const NAMES: [&str; 5] = ["endpoint", "headers", "timeout", "tls", "sending_queue"];
        let table = [
            ("endpont", Some("endpoint")),
            ("enpdoint", Some("endpoint")),
            ("Headers", Some("headers")),
            ("header", Some("headers")),
            ("time_out", Some("timeout")),
            ("sendingQueue", Some("sending_queue")),
            ("tsl", Some("tls")),
            ("tlss", Some("tls")),
            ("t", None),
            ("compression", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(nearest(text, NAMES), want, "{text}");
        }
    }

    #[test]
    fn distances() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, want) in
            [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("ab", "ba", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(of(a, b), want, "{a} {b}");
        }
    }
}
