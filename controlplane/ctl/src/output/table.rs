//! The layout of tables.

use super::cell::{Cell, Tone};

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Whether it is left out unless a wide table is wanted.
    pub is_wide: bool,
    /// Whether what stands in it is pushed to the right, as numbers are.
    pub is_number: bool,
}

impl Column {
    /// A column of text that is always there.
    #[must_use]
    pub const fn text(title: &'static str) -> Self {
        Self { title, is_wide: false, is_number: false }
    }

    /// A column of numbers that is always there.
    #[must_use]
    pub const fn number(title: &'static str) -> Self {
        Self { title, is_wide: false, is_number: true }
    }

    /// Only in wide tables.
    #[must_use]
    pub const fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }
}

/// Rows and columns.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    titles: Vec<Cell>,
    columns: Vec<(bool, bool)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        let titles = columns.iter().map(|column| Cell::new(column.title, Tone::Title)).collect();
        Self {
            titles,
            columns: columns.iter().map(|column| (column.is_wide, column.is_number)).collect(),
            rows: Vec::new(),
        }
    }

    /// A table whose columns behind the first are numbers under titles that are not known beforehand.
    #[must_use]
    pub fn matrix(corner: &str, titles: impl IntoIterator<Item = String>) -> Self {
        let titles: Vec<Cell> =
            std::iter::once(corner.to_owned()).chain(titles).map(|title| Cell::new(title, Tone::Title)).collect();
        let columns = (0..titles.len()).map(|at| (false, at > 0)).collect();
        Self { titles, columns, rows: Vec::new() }
    }

    /// Adds a row: as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The titles and then the rows, all columns of them.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Vec<Cell>> {
        std::iter::once(&self.titles).chain(&self.rows)
    }

    /// The table as lines: columns two spaces apart, as wide as the widest of what stands in them.
    pub(super) fn text(&self, is_wide: bool, has_colour: bool) -> String {
        let shown: Vec<usize> = (0..self.columns.len()).filter(|at| is_wide || !self.columns[*at].0).collect();
        let widths: Vec<usize> =
            shown.iter().map(|at| self.lines().map(|line| line[*at].width()).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for line in self.lines() {
            let cells = shown.iter().zip(&widths).enumerate().map(|(nth, (at, width))| {
                let is_last = nth + 1 == shown.len();
                padded(&line[*at], *width, self.columns[*at].1, is_last, has_colour)
            });
            let cells: Vec<String> = cells.collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn padded(cell: &Cell, width: usize, is_number: bool, is_last: bool, has_colour: bool) -> String {
    let (painted, gap) = (cell.painted(has_colour), " ".repeat(width.saturating_sub(cell.width())));
    match (is_number, is_last) {
        (true, _) => gap + &painted,
        (false, true) => painted,
        (false, false) => painted + &gap,
    }
}

/// Names with what they stand for, one below the other; what has several lines is set in.
pub(super) fn fields(fields: &[(&'static str, Cell)], has_colour: bool) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, cell): &(&'static str, Cell)| {
        let name = padded(&Cell::new(name, Tone::Title), width, false, false, has_colour);
        let value = cell.painted(has_colour).replace('\n', &format!("\n{}", " ".repeat(width + 2)));
        format!("{name}  {value}\n")
    };
    fields.iter().map(line).collect()
}
