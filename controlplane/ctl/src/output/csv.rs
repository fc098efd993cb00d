//! Values separated by commas, as RFC 4180 has them.

use super::{cell::Cell, table::Table};

/// All columns of a table under their titles.
pub(super) fn table(table: &Table) -> String {
    table.lines().map(|cells| line(cells.iter().map(Cell::text))).collect()
}

/// Names in the first line, what they stand for in the second.
pub(super) fn fields(fields: &[(&'static str, Cell)]) -> String {
    line(fields.iter().map(|(name, _)| *name)) + &line(fields.iter().map(|(_, cell)| cell.text()))
}

fn line<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
