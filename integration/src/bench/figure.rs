//! What is measured: tables of cells that know their single values.

use serde::{Deserialize, Serialize};

use super::statistics::{median, short, spread};

/// One cell, as it is kept between measuring and reporting.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Cell {
    /// The table.
    pub(super) section: String,
    /// Left end of the row.
    pub(super) row: String,
    /// Head of the column, with the unit.
    pub(super) column: String,
    /// One value per round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<f64>,
    /// In place of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

impl Cell {
    /// Median, and the spread where there was more than one round.
    pub(super) fn shown(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let (Some(median), Some((low, high))) = (median(&self.values), spread(&self.values)) else {
            return String::new();
        };
        if self.values.len() == 1 {
            return short(median);
        }
        format!("{} ({} .. {})", short(median), short(low), short(high))
    }
}

/// Cells of one section, in the order of rows.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Cell>);

impl Table {
    /// Adds the values of a cell, if there are any.
    pub(super) fn put(&mut self, row: &str, column: &str, values: Vec<f64>) {
        if !values.is_empty() {
            self.cell(row, column, values, None);
        }
    }

    /// Adds a cell of words.
    pub(super) fn say(&mut self, row: &str, column: &str, text: impl Into<String>) {
        self.cell(row, column, Vec::new(), Some(text.into()));
    }

    fn cell(&mut self, row: &str, column: &str, values: Vec<f64>, text: Option<String>) {
        let [row, column] = [row, column].map(str::to_owned);
        self.0.push(Cell { section: String::new(), row, column, values, text });
    }

    /// A JSON line per cell.
    pub(super) fn lines(self, section: &str) -> Vec<String> {
        let line = |cell| Cell { section: section.to_owned(), ..cell };
        let cells = self.0.into_iter().map(line);
        cells.map(|cell| serde_json::to_string(&cell).expect("cells are plain")).collect()
    }
}
