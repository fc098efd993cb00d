//! What a demo prints.

use std::io::{self, IsTerminal as _, Write as _};

/// Standard output. On a terminal, the line about the load is written over itself.
#[derive(Debug)]
pub(super) struct Console {
    is_terminal: bool,
    /// Whether the last line is one that will be written over.
    is_open: bool,
}

/// A row of the table of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) mqtt: String,
    /// Nodes that it has a link to; `None` = not known.
    pub(super) peers: Option<usize>,
    pub(super) state: String,
}

impl Console {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), is_open: false }
    }

    /// Prints lines that stay. Nobody may be reading.
    pub(super) fn say(&mut self, text: &str) {
        let start = if std::mem::take(&mut self.is_open) { CLEARED } else { "" };
        write(&format!("{start}{text}\n"));
    }

    /// Prints a line that the next one replaces.
    pub(super) fn show(&mut self, line: &str) {
        if self.is_terminal {
            self.is_open = true;
            write(&format!("{CLEARED}{line}"));
        } else {
            write(&format!("{line}\n"));
        }
    }
}

fn write(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The table of nodes.
pub(super) fn table(rows: &[Row]) -> String {
    let heads = ["NODE", "REGION", "MQTT", "PEERS", "STATE"].map(str::to_owned);
    let cells = |row: &Row| {
        let peers = row.peers.map_or_else(|| "-".to_owned(), |peers| peers.to_string());
        [row.name.clone(), row.region.clone(), row.mqtt.clone(), peers, row.state.clone()]
    };
    let lines: Vec<[String; 5]> = std::iter::once(heads).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |cells: &[String; 5]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!(" {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Back to the start of the line, and nothing on it.
const CLEARED: &str = "\r\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |name: &str, peers| Row {
            name: name.into(),
            region: "eu-west".into(),
            mqtt: "127.0.0.1:1883".into(),
            peers,
            state: "ready".into(),
        };
        assert_eq!(
            table(&[row("eu-west1", Some(2)), row("d2", None)]),
            " NODE      REGION   MQTT            PEERS  STATE\n \
             eu-west1  eu-west  127.0.0.1:1883  2      ready\n \
             d2        eu-west  127.0.0.1:1883  -      ready"
        );
    }
}
