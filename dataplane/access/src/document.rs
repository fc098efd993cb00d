//! A YAML document as a tree in which every node knows where it stands.
//!
//! Less than YAML: one document; no anchors, aliases or tags, so that a small text cannot grow; bounded depth.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use crate::RulesError;

/// A node and its place.
pub(crate) struct Node<'s> {
    pub(crate) place: Place,
    pub(crate) value: Value<'s>,
}

/// Line and column, both from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

pub(crate) enum Value<'s> {
    Scalar {
        text: Cow<'s, str>,
        /// Without quotes, so that `true` and `1` mean more than their text.
        plain: bool,
    },
    List(Vec<Node<'s>>),
    Map(Vec<(Node<'s>, Node<'s>)>),
}

impl Place {
    /// An error at this place.
    pub(crate) fn error(self, what: impl Into<String>, hint: impl Into<String>) -> RulesError {
        RulesError { line: self.line, column: self.column, what: what.into(), hint: hint.into() }
    }
}

impl Node<'_> {
    /// Whether nothing is written here.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain } => *plain && matches!(&**text, "" | "~" | "null"),
            Value::List(_) | Value::Map(_) => false,
        }
    }
}

/// Reads the one document of `source`; `None` where there is none, or nothing but comments.
pub(crate) fn read(source: &str) -> Result<Option<Node<'_>>, RulesError> {
    let mut reader = Reader { parser: Parser::new_from_str(source) };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::DocumentStart(_), span) if document.is_some() => {
                return Err(place(span.start).error("a second document begins here", "remove the line '---'"));
            }
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                document = Some(reader.node(event, span, 0)?);
            }
            (Event::StreamEnd, _) => return Ok(document.filter(|node| !node.is_empty())),
            _ => {}
        }
    }
}

struct Reader<'s> {
    parser: Parser<'s, StrInput<'s>>,
}

impl<'s> Reader<'s> {
    fn next(&mut self) -> Result<(Event<'s>, Span), RulesError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(place(*error.marker()).error(format!("this is not YAML: {}", error.info()), QUOTING))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node<'s>, RulesError> {
        let at = place(span.start);
        if depth > DEPTH_MAX {
            return Err(at.error("this is nested too deeply", ""));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) => Value::Scalar { text, plain: style == ScalarStyle::Plain },
            Event::SequenceStart(0, None) => Value::List(self.list(depth)?),
            Event::MappingStart(0, None) => Value::Map(self.map(depth)?),
            Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(at.error("anchors, aliases and tags are not understood here", "write the value out"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(at.error("a value is missing here", "")),
        };
        Ok(Node { place: at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node<'s>>, RulesError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(nodes),
                (event, span) => nodes.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node<'s>, Node<'s>)>, RulesError> {
        let mut pairs = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(pairs),
                (event, span) => {
                    let key = self.node(event, span, depth + 1)?;
                    let (event, span) = self.next()?;
                    pairs.push((key, self.node(event, span, depth + 1)?));
                }
            }
        }
    }
}

fn place(marker: Marker) -> Place {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Place { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// Lists in a map in a list in a map are all that rules need.
const DEPTH_MAX: usize = 8;
const QUOTING: &str = "filters that begin with # or % need quotes: \"#\"";
