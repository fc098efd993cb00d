//! What is shown: the same answer as tables for people, or as data for programs.

mod cell;
mod csv;
mod table;

use clap::ValueEnum;
use serde_json::Value;

pub use self::{
    cell::{Cell, Tone},
    table::{Column, Table},
};
use crate::failure::{Exit, Failure};

/// How a result is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// What control answers; lists in one piece
    Json,
    /// The same as YAML
    Yaml,
    /// One entry of a list on each line, as JSON
    Jsonl,
    /// All columns, separated by commas
    Csv,
}

impl Format {
    /// Whether it shows the answer itself, and not what is understood of it.
    #[must_use]
    pub fn is_data(self) -> bool {
        matches!(self, Self::Json | Self::Yaml | Self::Jsonl)
    }
}

/// A result.
#[derive(Clone, PartialEq, Debug)]
pub struct Shown {
    /// For programs.
    pub value: Value,
    /// For people, from top to bottom.
    pub parts: Vec<Part>,
    /// What the process ends with.
    pub exit: Exit,
}

/// A part of what people see.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// Rows and columns.
    Table(Table),
    /// Names with what they stand for, one below the other. Those without anything are left out.
    Fields(Vec<(&'static str, Cell)>),
    /// Lines as they are.
    Text(Cell),
}

impl Shown {
    /// A result that is good, with its parts.
    #[must_use]
    pub fn new(value: Value, parts: Vec<Part>) -> Self {
        Self { value, parts, exit: Exit::Ok }
    }

    /// A table alone.
    #[must_use]
    pub fn table(value: Value, table: Table) -> Self {
        Self::new(value, vec![Part::Table(table)])
    }

    /// A line alone.
    #[must_use]
    pub fn line(value: Value, line: impl Into<Cell>) -> Self {
        Self::new(value, vec![Part::Text(line.into())])
    }

    /// Ends with a code.
    #[must_use]
    pub fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The text of it, with a line break at its end unless it is empty.
    ///
    /// # Errors
    /// Its value cannot be written in that format.
    pub fn text(&self, format: Format, has_colour: bool) -> Result<String, Failure> {
        let text = match format {
            Format::Table | Format::Wide => self.for_people(format == Format::Wide, has_colour),
            Format::Json => format!("{:#}", self.value),
            Format::Yaml => yaml(&self.value)?,
            Format::Jsonl => match self.value.get("items") {
                Some(Value::Array(items)) => items.iter().map(|item| format!("{item}\n")).collect(),
                _ => self.value.to_string(),
            },
            Format::Csv => self.csv(),
        };
        Ok(if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" })
    }

    fn for_people(&self, is_wide: bool, has_colour: bool) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Table(table) => table.text(is_wide, has_colour),
            Part::Fields(fields) => table::fields(fields, has_colour),
            Part::Text(cell) => cell.painted(has_colour) + "\n",
        });
        parts.collect()
    }

    /// The tables, or the names with what they stand for.
    fn csv(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Table(table) => csv::table(table),
            Part::Fields(fields) => csv::fields(fields),
            Part::Text(_) => String::new(),
        });
        parts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// A value as YAML.
///
/// # Errors
/// It is something that YAML cannot say.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    crate::yaml::write(value)
}

#[cfg(test)]
mod tests;
