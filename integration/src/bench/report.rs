//! Puts tables between the markers of a document; the words around them are people's.

use std::fs;
use std::path::Path;

use super::divan::{Median, medians};
use super::figure::{Cell, Table};
use super::statistics::short;
use super::{SECTIONS, budgets, fleet, growth};

/// Benches whose output is read, by the name of its file.
const BENCHES: [&str; 3] = ["encode", "track", "replay"];
/// Outputs that are shown as they are.
const TEXTS: [&str; 1] = ["callgrind"];

const NOT_RUN: &str = "Not run.";

/// Reads a folder of results and rewrites every table of the document: a report is of one machine and one day, so one without
/// results says so. A table without a place is an error.
pub(super) fn write(folder: &Path, document: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut cells = Vec::new();
    for (section, _) in SECTIONS {
        // One that failed may have left nothing.
        let text = fs::read_to_string(folder.join(format!("{section}.jsonl"))).unwrap_or_default();
        for line in text.lines() {
            cells.push(
                serde_json::from_str::<Cell>(line).map_err(|error| format!("{section}: {error}: {line}"))?,
            );
        }
    }
    let output = |name: &str| fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default();
    let benches = |name: &str| medians(&output(name));
    cells.extend(cells_of("budgets", budgets::table(&cells, &benches)));
    cells.extend(cells_of("fleet", fleet::table(&cells)));
    let all: Vec<Median> = BENCHES.iter().flat_map(|name| benches(name)).collect();
    cells.extend(cells_of("growth", growth::table(&cells, &all)));
    let mut text = read(document)?;
    for name in SECTIONS.map(|(name, _)| name).into_iter().chain(["budgets", "fleet", "growth"]) {
        text = placed(&text, name, &rendered(&cells, name))?;
    }
    for name in BENCHES {
        text = placed(&text, name, &listed(&benches(name)))?;
    }
    for name in TEXTS {
        let output = output(name);
        let shown = if output.trim().is_empty() {
            NOT_RUN.to_owned()
        } else {
            format!("```\n{}\n```", output.trim())
        };
        text = placed(&text, name, &shown)?;
    }
    fs::write(document, text).map_err(|error| format!("{}: {error}", document.display()))
}

fn cells_of(section: &str, table: Table) -> Vec<Cell> {
    let lines = table.lines(section);
    lines.iter().map(|line| serde_json::from_str(line).expect("cells are what they were")).collect()
}

/// The cells of a section as a table, rows and columns in the order in which they come.
fn rendered(cells: &[Cell], section: &str) -> String {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| cell.section == section).collect();
    if cells.is_empty() {
        return NOT_RUN.to_owned();
    }
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for cell in &cells {
        for (list, name) in [(&mut rows, &cell.row), (&mut columns, &cell.column)] {
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
    let shown = |row: &String, column: &String| {
        let found = cells.iter().find(|cell| cell.row == *row && cell.column == *column);
        found.map(|cell| cell.shown()).unwrap_or_default()
    };
    let body = rows.iter().map(|row| line(row, columns.iter().map(|column| shown(row, column))));
    table(&columns, body)
}

fn listed(medians: &[Median]) -> String {
    if medians.is_empty() {
        return NOT_RUN.to_owned();
    }
    let per_item = |median: &Median| median.per_item.map(short).unwrap_or_default();
    let body = medians.iter().map(|median| line(&median.name, [median.time.clone(), per_item(median)]));
    table(&["median", "ns per item"], body)
}

fn table(columns: &[impl AsRef<str>], body: impl Iterator<Item = String>) -> String {
    let head = line("", columns.iter().map(|column| column.as_ref().to_owned()));
    let rule = "|---".repeat(columns.len() + 1) + "|";
    [head, rule].into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

fn line(first: &str, rest: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = std::iter::once(first.to_owned()).chain(rest).collect();
    format!("| {} |", cells.join(" | "))
}

/// The document with `content` between its markers for `name`.
fn placed(text: &str, name: &str, content: &str) -> Result<String, String> {
    let (open, close) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let lacks = |marker: &str| format!("the document has no {marker}");
    let (before, rest) = text.split_once(&open).ok_or_else(|| lacks(&open))?;
    let (_, after) = rest.split_once(&close).ok_or_else(|| lacks(&close))?;
    Ok(format!("{before}{open}\n{content}\n{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_a_table() {
        let mut table = Table::default();
        table.put("nothing", "µs", vec![3.0, 1.0, 2.0]);
        table.put("convis", "µs", vec![2.5]);
        table.put("convis", "times", vec![1.25, 1.25]);
        table.say("peer", "µs", "not run: there is none");
        let lines: Vec<String> =
            rendered(&cells_of("overhead", table), "overhead").lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "|  | µs | times |",
                "|---|---|---|",
                "| nothing | 2 (1 .. 3) |  |",
                "| convis | 2.50 | 1.25 (1.25 .. 1.25) |",
                "| peer | not run: there is none |  |",
            ]
        );
    }

    #[test]
    fn content_is_replaced_between_markers_alone() {
        let text = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n";
        assert_eq!(placed(text, "x", "new").unwrap(), text.replace("old", "new"));
        assert!(placed(text, "y", "new").unwrap_err().contains("bench:y"));
    }

    #[test]
    fn what_was_not_run_is_not_what_ran_before() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("document.md");
        let names = SECTIONS
            .map(|(name, _)| name)
            .into_iter()
            .chain(["budgets", "fleet", "growth"])
            .chain(BENCHES)
            .chain(TEXTS);
        let places = names.map(|name| format!("<!-- bench:{name} -->\nold\n<!-- /bench:{name} -->\n"));
        let old = places.collect::<Vec<_>>().concat();
        fs::write(&document, &old).unwrap();
        let cell = r#"{"section":"start","row":"convis","column":"ms to capturing","values":[90.0]}"#;
        fs::write(folder.path().join("start.jsonl"), cell).unwrap();
        write(folder.path(), &document).unwrap();
        let text = fs::read_to_string(&document).unwrap();
        assert!(!text.contains("old") && text.contains("| convis | 90 |"), "{text}");
        assert!(text.contains("| start to capturing, ms | 300 | 100 | 90 | stretch |"), "{text}");
        assert_eq!(
            text.matches(NOT_RUN).count(),
            SECTIONS.len() - 1 + BENCHES.len() + TEXTS.len() + 2,
            "{text}"
        );
        fs::write(&document, "").unwrap();
        assert!(write(folder.path(), &document).unwrap_err().contains("bench:machine"));
    }
}
