//! What nodes send together, computed from what one sends.

use super::figure::{Cell, Table};
use super::statistics::{median, short};
use super::wire::{BYTES_PER_END, BYTES_PER_INTERVAL, VARIANTS};

/// Of one node, connection ends a second.
const RATES: [f64; 2] = [10.0, 1000.0];
const NODES: [(f64, &str); 2] = [(1000.0, "1,000 nodes"), (100_000.0, "100,000 nodes")];

/// Seconds, as convis has it by default.
const INTERVAL: f64 = 10.0;

/// Megabytes a second, from the bytes per end and per interval that were measured.
pub(super) fn table(cells: &[Cell]) -> Table {
    let mut table = Table::default();
    let wire = |row: &str, column: &str| {
        let found =
            cells.iter().find(|cell| cell.section == "wire" && cell.row == row && cell.column == column);
        found.and_then(|cell| median(&cell.values))
    };
    for (row, ..) in VARIANTS {
        let (Some(per_end), Some(metrics)) = (wire(row, BYTES_PER_END), wire(row, BYTES_PER_INTERVAL)) else {
            continue;
        };
        for (nodes, name) in NODES {
            for rate in RATES {
                let bytes = per_end * rate + metrics / INTERVAL;
                table.put(row, &format!("{name} at {}/s, MB/s", short(rate)), vec![bytes * nodes / 1e6]);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_multiplied() {
        let mut measured = Table::default();
        measured.put(VARIANTS[2].0, BYTES_PER_END, vec![80.0]);
        measured.put(VARIANTS[2].0, BYTES_PER_INTERVAL, vec![2000.0]);
        let read = |line: &String| serde_json::from_str::<Cell>(line).unwrap();
        let cells: Vec<Cell> = measured.lines("wire").iter().map(read).collect();
        let computed: Vec<Cell> = table(&cells).lines("fleet").iter().map(read).collect();
        let values: Vec<f64> = computed.iter().map(|cell| cell.values[0]).collect();
        // 1,000 nodes, each 10 ends of 80 bytes and 200 bytes of metrics a second; and so on.
        assert_eq!(values, [1.0, 80.2, 100.0, 8020.0]);
    }
}
