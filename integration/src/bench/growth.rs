//! How costs grow with their input: what one unit costs when there are few and when there are many.

use super::divan::Median;
use super::figure::{Cell, Table};
use super::live::{self, PER_END};
use super::processes::PER_POINT;
use super::statistics::median;

/// A unit's cost at several sizes.
struct Growth {
    what: String,
    /// Size, and cost of one unit.
    steps: Vec<(f64, f64)>,
}

/// A row per cost, the smallest size beside the largest. A ratio of 1 is linear.
pub(super) fn table(cells: &[Cell], benches: &[Median]) -> Table {
    let mut table = Table::default();
    let of_cells = [
        Growth { what: "reading a live end's totals, µs".to_owned(), steps: steps(cells, "live", PER_END) },
        Growth { what: "memory of a live end, KiB".to_owned(), steps: memory(cells) },
        Growth {
            what: "a data point and its sending, µs".to_owned(),
            steps: steps(cells, "processes", PER_POINT),
        },
    ];
    for Growth { what, mut steps } in of_cells.into_iter().chain(of_benches(benches)) {
        steps.sort_by(|one, other| one.0.total_cmp(&other.0));
        // Where few cost nothing that could be measured there is nothing to compare with.
        let [(few, small), .., (many, large)] = steps.as_slice() else { continue };
        if *small <= 0.0 {
            continue;
        }
        table.put(&what, "few", vec![*few]);
        table.put(&what, "of one", vec![*small]);
        table.put(&what, "many", vec![*many]);
        table.put(&what, "of one then", vec![*large]);
        table.put(&what, "ratio", vec![large / small]);
    }
    table
}

fn steps(cells: &[Cell], section: &str, column: &str) -> Vec<(f64, f64)> {
    let found = cells.iter().filter(|cell| cell.section == section && cell.column == column);
    found.filter_map(|cell| Some((leading(&cell.row)?, median(&cell.values)?))).collect()
}

/// What each end adds to the memory of none.
fn memory(cells: &[Cell]) -> Vec<(f64, f64)> {
    let all = steps(cells, "live", live::TOGETHER);
    let none = all.iter().find(|(ends, _)| *ends == 0.0).map_or(0.0, |(_, mebibytes)| *mebibytes);
    let some = all.into_iter().filter(|(ends, _)| *ends > 0.0);
    some.map(|(ends, mebibytes)| (ends, (mebibytes - none) * 1024.0 / ends)).collect()
}

/// Benches with a size as their argument.
fn of_benches(benches: &[Median]) -> Vec<Growth> {
    let mut found: Vec<Growth> = Vec::new();
    for bench in benches {
        let Some((name, size)) = bench.name.rsplit_once(' ') else { continue };
        let (Ok(size), Some(nanos)) = (size.replace('_', "").parse::<f64>(), bench.per_item) else {
            continue;
        };
        let what = format!("{name}, ns");
        match found.iter_mut().find(|growth| growth.what == what) {
            Some(growth) => growth.steps.push((size, nanos)),
            None => found.push(Growth { what, steps: vec![(size, nanos)] }),
        }
    }
    found
}

fn leading(row: &str) -> Option<f64> {
    row.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::statistics::short;

    fn cells(section: &str, column: &str, steps: &[(u32, f64)]) -> Vec<Cell> {
        let mut table = Table::default();
        for (size, value) in steps {
            table.put(&format!("{size} live ends"), column, vec![*value]);
        }
        let lines = table.lines(section);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn few_stand_beside_many() {
        let mut all = cells("live", live::TOGETHER, &[(0, 20.0), (1024, 21.0), (2048, 24.0)]);
        all.extend(cells("live", PER_END, &[(1024, 2.0), (2048, 2.5)]));
        let bench =
            |name: &str, nanos| Median { name: name.to_owned(), time: String::new(), per_item: Some(nanos) };
        let benches = [bench("replay 1000", 100.0), bench("replay 100_000", 300.0)];
        let lines = table(&all, &benches).lines("growth").join("\n");
        let ratios: Vec<Cell> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|cell: &Cell| cell.column == "ratio")
            .collect();
        let shown: Vec<_> = ratios.iter().map(|cell| (cell.row.as_str(), short(cell.values[0]))).collect();
        let expected = [
            ("reading a live end's totals, µs", "1.25"),
            ("memory of a live end, KiB", "2"),
            ("replay, ns", "3"),
        ];
        assert_eq!(shown, expected.map(|(row, ratio)| (row, ratio.to_owned())));
    }
}
