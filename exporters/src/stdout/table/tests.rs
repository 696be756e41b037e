use std::sync::Arc;
use std::time::Duration;

use convis_otel_config::policy::NetworkName;

use super::*;
use crate::model::{Peer, Resource};
use crate::testing::assert_golden;
use crate::testing::samples::{closed, event, events, process};

fn table(style: OutputStyle) -> Table {
    Table::new(TimeZone::UTC, style)
}

fn shown(table: &mut Table, events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        table.write(event, &mut text);
    }
    text
}

fn client(resource: &Arc<Resource>, detail: Detail) -> Event {
    event(resource, Some(Role::Client), ["10.0.0.2:53412", "93.184.216.34:443"], detail)
}

/// Scenario: events of all kinds.
/// Guarantees: the table is the one on file.
#[test]
fn the_table_equals_the_golden_file() {
    assert_golden("stdout_table.txt", &shown(&mut table(OutputStyle::default()), &events().events));
}

/// Scenario: the widest content of every column.
/// Guarantees: every column begins where its title does.
#[test]
fn columns_stay_aligned() {
    let mut wide = event(
        &process(&"n".repeat(200), 4_194_304),
        Some(Role::Server),
        ["[2001:db8:85a3:1:2:8a2e:370:7334]:65535", "[2001:db8:85a3:1:2:8a2e:370:7334]:65535"],
        closed(999_949_000, 999_949_000),
    );
    if let Detail::Closed { duration, reason, .. } = &mut wide.detail {
        *duration = Some(Duration::from_nanos(999_999_999));
        *reason = CloseReason::Timeout;
    }
    let text = shown(&mut table(OutputStyle::default()), &[wide]);
    let [titles, line] = [0, 1].map(|index| text.lines().nth(index).unwrap());
    let mut start = 0;
    for (title, width) in &COLUMNS[..COLUMNS.len() - 1] {
        assert!(titles[start..].starts_with(title));
        let cell = line.get(start..start + width).unwrap_or(&line[start..]);
        assert_eq!(
            cell.len() + cell.matches(char::is_whitespace).count() - cell.matches(' ').count(),
            cell.len()
        );
        assert!(!cell.starts_with(' '), "{title}: {line}");
        let gap = line.get(start + width..start + width + 2).unwrap_or("  ");
        assert_eq!(gap, GAP, "{title}: {line}");
        start += width + GAP.len();
    }
}

/// Scenario: more lines than a screen, on a terminal and into a file.
/// Guarantees: titles come again on a terminal only.
#[test]
fn titles_come_again_on_terminals() {
    let curl = process("curl", 1);
    let many = vec![client(&curl, closed(1, 2)); 81];
    let titles = |terminal| {
        let style = OutputStyle { terminal, colour: false };
        shown(&mut table(style), &many).matches("TIME").count()
    };
    assert_eq!(titles(true), 3);
    assert_eq!(titles(false), 1);
}

/// Scenario: colour on and off.
/// Guarantees: no escape without colour; with it the same text once escapes are taken out.
#[test]
fn colour_changes_no_text() {
    let plain = shown(&mut table(OutputStyle::default()), &events().events);
    let coloured = shown(&mut table(OutputStyle { terminal: false, colour: true }), &events().events);
    assert!(!plain.contains('\x1b'));
    let bare =
        [GREEN, YELLOW, RED, DIM, PLAIN].iter().fold(coloured.clone(), |text, code| text.replace(code, ""));
    assert!(coloured.contains(RED));
    assert_eq!(bare, plain);
}

/// Scenario: a peer in a network that the user has named, without and with a process on this host.
/// Guarantees: the network's name behind its address, unless the peer itself has a name.
#[test]
fn named_networks_are_shown() {
    let curl = process("curl", 1);
    let mut event = client(&curl, closed(1, 2));
    event.connection.peer_network = PeerNetwork::named(NetworkName::new("office").unwrap());
    let text = shown(&mut table(OutputStyle::default()), std::slice::from_ref(&event));
    assert!(text.contains("93.184.216.34:443 office "), "{text}");
    event.peer = Some(Arc::new(Peer::of(&process("nginx", 2))));
    let text = shown(&mut table(OutputStyle::default()), &[event]);
    assert!(text.contains("93.184.216.34:443 nginx ") && !text.contains("office"), "{text}");
}

/// Scenario: an unexpected connection opens and closes, in colour.
/// Guarantees: both lines say so, in a colour of their own.
#[test]
fn the_unexpected_stands_out() {
    let curl = process("curl", 1);
    let mut events = [client(&curl, Detail::Opened { handshake: None }), client(&curl, closed(1, 2))];
    for event in &mut events {
        event.connection.unexpected = true;
    }
    let text = shown(&mut table(OutputStyle { terminal: false, colour: true }), &events);
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert!(
        lines[0].ends_with("  unexpected") && lines[1].ends_with("  unexpected, closed by peer"),
        "{text}"
    );
    assert!(lines.iter().all(|line| line.contains(MAGENTA)), "{text}");
}

/// Scenario: processes whose names try to drive the terminal.
/// Guarantees: one line, no control character.
#[test]
fn hostile_names_inject_nothing() {
    let resource = Resource::builder().with("process.executable.name", "\x1b]0;x\x07\r\nevil");
    let mut detail = closed(1, 2);
    if let Detail::Closed { closer, .. } = &mut detail {
        *closer = Some(Box::new(Closer { pid: 3, name: Some("\x1b[2J\nworse".to_owned()) }));
    }
    let text = shown(&mut table(OutputStyle::default()), &[client(&Arc::new(resource.build()), detail)]);
    assert_eq!(text.lines().count(), 2);
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
}
