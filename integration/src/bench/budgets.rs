//! The budgets of the architecture beside what was measured.

use super::divan::Median;
use super::figure::{Cell, Table};
use super::statistics::{median, short, spread};
use super::{live, machine, start};

/// What a budget is compared with.
enum Measured {
    /// Section, row and column of a cell.
    Cell(&'static str, &'static str, &'static str),
    /// The largest of a column.
    Worst(&'static str, &'static str),
    /// Microseconds per item of a bench: the file of its output, and its name.
    Bench(&'static str, &'static str),
}

struct Budget {
    what: &'static str,
    limit: f64,
    stretch: f64,
    measured: Measured,
}

const CONVIS: &str = "convis, every event over OTLP";

const BUDGETS: [Budget; 10] = [
    Budget {
        what: "connect, accept and close, times nothing attached",
        limit: 1.10,
        stretch: 1.05,
        measured: Measured::Cell("overhead", CONVIS, "times nothing attached"),
    },
    Budget {
        what: "its cost, times tcplife's",
        limit: 0.7,
        stretch: 0.5,
        measured: Measured::Cell("overhead", CONVIS, "cost, times tcplife's"),
    },
    Budget {
        what: "user space per event, µs",
        limit: 1.0,
        stretch: 0.3,
        measured: Measured::Bench("replay", "to_nobody"),
    },
    Budget {
        what: "encoding an event as OTLP, µs",
        limit: 2.0,
        stretch: 1.0,
        measured: Measured::Bench("encode", "otlp_logs"),
    },
    Budget {
        what: "events lost at top rate",
        limit: 0.0,
        stretch: 0.0,
        measured: Measured::Worst("loss", "lost anywhere, process records included"),
    },
    Budget {
        what: "memory with its kernel maps, idle, MiB",
        limit: 32.0,
        stretch: 16.0,
        measured: Measured::Cell("live", "0 live ends", live::TOGETHER),
    },
    Budget {
        what: "the same with 50,000 live ends, MiB",
        limit: 110.0,
        stretch: 60.0,
        measured: Measured::Cell("live", "50000 live ends", live::TOGETHER),
    },
    Budget {
        what: "CPU when idle, %",
        limit: 0.5,
        stretch: 0.5,
        measured: Measured::Cell("live", "0 live ends", live::CPU),
    },
    Budget {
        what: "start to capturing, ms",
        limit: 300.0,
        stretch: 100.0,
        measured: Measured::Cell("start", "convis", start::COLUMN),
    },
    Budget {
        what: "release binary, MiB",
        limit: 20.0,
        stretch: 10.0,
        measured: Measured::Cell("machine", machine::BINARY, machine::VALUE),
    },
];

/// A row per budget. `benches` gives what a bench's output says.
pub(super) fn table(cells: &[Cell], benches: &impl Fn(&str) -> Vec<Median>) -> Table {
    let mut table = Table::default();
    for Budget { what, limit, stretch, measured } in BUDGETS {
        table.put(what, "budget", vec![limit]);
        table.put(what, "stretch", vec![stretch]);
        let Some(value) = value(&measured, cells, benches) else {
            table.say(what, "measured", "not measured");
            continue;
        };
        table.say(what, "measured", short(value));
        let met = [(stretch, "stretch"), (limit, "yes")].into_iter().find(|(limit, _)| value <= *limit);
        table.say(what, "met", met.map_or("**no**", |(_, word)| word));
    }
    table
}

fn value(measured: &Measured, cells: &[Cell], benches: &impl Fn(&str) -> Vec<Median>) -> Option<f64> {
    match *measured {
        Measured::Cell(section, row, column) => {
            let at = |cell: &&Cell| cell.section == section && cell.row == row && cell.column == column;
            median(&cells.iter().find(at)?.values)
        }
        Measured::Worst(section, column) => {
            let at = |cell: &&Cell| cell.section == section && cell.column == column;
            let all: Vec<f64> = cells.iter().filter(at).flat_map(|cell| cell.values.clone()).collect();
            spread(&all).map(|(_, high)| high)
        }
        Measured::Bench(file, name) => {
            let medians = benches(file);
            let worst = medians.iter().filter(|median| median.name.split(' ').any(|word| word == name));
            worst.filter_map(|median| median.per_item).map(|nanos| nanos / 1000.0).reduce(f64::max)
        }
    }
}
