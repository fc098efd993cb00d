//! A rule's topic filter, with placeholders that stand for the client's own id or user name.
//!
//! Matching compares piecewise and never builds the filter's text, so an id cannot become a wildcard or a level.
//! An id that would be read as such fits no placeholder: an allow rule then does not apply, while in a deny rule
//! (`widen`) that level stands for every text, so that an odd id never escapes a refusal.

use std::borrow::Cow;

use crate::principal::{Name, Principal};

/// A parsed filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    levels: Levels,
    /// Whether `#` follows the levels.
    rest: bool,
}

/// The levels before any `#`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Levels {
    /// The same for every client.
    Fixed(Box<[Level]>),
    /// At least one has a placeholder.
    Templated(Box<[Template]>),
}

/// A level of a filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// Every text; as the first level, every text that does not begin with `$` [MQTT-4.7.2-1].
    Any,
    Literal(Box<str>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Template {
    Fixed(Level),
    /// Text with at least one placeholder.
    Own(Box<[Piece]>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Box<str>),
    Name(Name),
}

impl Pattern {
    /// Parses a filter: `%c` and `%u` are placeholders, `%%` is a percent sign.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        if text.contains('\0') {
            return Err(PatternError::Nul);
        }
        if text == "$share" || text.starts_with("$share/") {
            return Err(PatternError::Shared);
        }
        let (levels, rest) = match text.strip_suffix('#') {
            Some("") => (None, true),
            Some(before) => (Some(before.strip_suffix('/').ok_or(PatternError::Hash)?), true),
            None => (Some(text), false),
        };
        let texts = levels.into_iter().flat_map(|levels| levels.split('/'));
        let templates: Vec<Template> = texts.map(Template::parse).collect::<Result<_, _>>()?;
        if templates.len() + usize::from(rest) > LEVELS_MAX {
            return Err(PatternError::TooDeep);
        }
        let fixed: Option<Box<[Level]>> = templates.iter().map(|template| template.fixed().cloned()).collect();
        let levels = fixed.map_or_else(|| Levels::Templated(templates.into()), Levels::Fixed);
        Ok(Self { levels, rest })
    }

    /// Whether the exact topic is one of this pattern's for `principal`.
    pub(crate) fn matches(&self, topic: &str, principal: &Principal, widen: bool) -> bool {
        if topic.starts_with('$') && !self.begins_with_text() {
            return false;
        }
        let left = match &self.levels {
            Levels::Fixed(levels) => levels.iter().try_fold(Some(topic), |left, level| level.step(left?)),
            Levels::Templated(templates) => {
                let mut levels = templates.iter().enumerate();
                levels.try_fold(Some(topic), |left, (at, level)| level.step(left?, principal, at == 0, widen))
            }
        };
        left.is_some_and(|left| self.rest || left.is_none())
    }

    /// The pattern's levels for `principal`; `None` where it does not apply to such a client.
    pub(crate) fn resolve(&self, principal: &Principal, widen: bool) -> Option<Cow<'_, [Level]>> {
        match &self.levels {
            Levels::Fixed(levels) => Some(Cow::Borrowed(levels)),
            Levels::Templated(templates) => {
                let levels = templates.iter().enumerate();
                levels.map(|(at, template)| template.resolve(principal, at == 0, widen)).collect()
            }
        }
    }

    /// Whether `#` follows the levels.
    pub(crate) fn has_rest(&self) -> bool {
        self.rest
    }

    /// The text of the filter, where it is the same for every client.
    pub(crate) fn plain(&self) -> Option<String> {
        let Levels::Fixed(levels) = &self.levels else { return None };
        let texts = levels.iter().map(|level| match level {
            Level::Any => "+",
            Level::Literal(text) => text,
        });
        Some(texts.chain(self.rest.then_some("#")).collect::<Vec<_>>().join("/"))
    }

    /// Whether the filter starts with a text of its own, so that the text may begin with `$`.
    fn begins_with_text(&self) -> bool {
        match &self.levels {
            Levels::Fixed(levels) => matches!(levels.first(), Some(Level::Literal(_))),
            Levels::Templated(templates) => match templates.first() {
                None | Some(Template::Fixed(Level::Any)) => false,
                Some(Template::Fixed(Level::Literal(_))) => true,
                Some(Template::Own(pieces)) => matches!(pieces.first(), Some(Piece::Text(_))),
            },
        }
    }
}

/// What is left of a topic after a level: `None` where that was the last one.
type Left<'t> = Option<&'t str>;

impl Level {
    /// Takes this level off the front of a topic; `None` where the topic has another there.
    fn step<'t>(&self, topic: &'t str) -> Option<Left<'t>> {
        match self {
            Self::Any => Some(split_level(topic).1),
            // Compared in place: most patterns end here, without a search for the end of the level.
            Self::Literal(text) => match topic.strip_prefix(&**text)? {
                "" => Some(None),
                rest => rest.strip_prefix('/').map(Some),
            },
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "+" {
            return Ok(Self::Fixed(Level::Any));
        }
        if text.contains('+') {
            return Err(PatternError::Plus);
        }
        if text.contains('#') {
            return Err(PatternError::Hash);
        }
        let pieces = pieces(text)?;
        match &*pieces {
            [] => Ok(Self::Fixed(Level::Literal(Box::default()))),
            [Piece::Text(text)] => Ok(Self::Fixed(Level::Literal(text.clone()))),
            _ => Ok(Self::Own(pieces.into())),
        }
    }

    fn fixed(&self) -> Option<&Level> {
        match self {
            Self::Fixed(level) => Some(level),
            Self::Own(_) => None,
        }
    }

    /// As [`Level::step`].
    fn step<'t>(&self, topic: &'t str, principal: &Principal, first: bool, widen: bool) -> Option<Left<'t>> {
        let pieces = match self {
            Self::Fixed(level) => return level.step(topic),
            Self::Own(pieces) => pieces,
        };
        let (text, left) = split_level(topic);
        let mut unmatched = Some(text);
        for (at, piece) in pieces.iter().enumerate() {
            let Some(part) = piece.value(principal, first && at == 0) else { return widen.then_some(left) };
            unmatched = unmatched.and_then(|text| text.strip_prefix(part));
        }
        (unmatched == Some("")).then_some(left)
    }

    fn resolve(&self, principal: &Principal, first: bool, widen: bool) -> Option<Level> {
        let pieces = match self {
            Self::Fixed(level) => return Some(level.clone()),
            Self::Own(pieces) => pieces.iter().enumerate(),
        };
        let text: Option<String> = pieces.map(|(at, piece)| piece.value(principal, first && at == 0)).collect();
        match text {
            Some(text) => Some(Level::Literal(text.into())),
            None => widen.then_some(Level::Any),
        }
    }
}

impl Piece {
    fn value<'a>(&'a self, principal: &'a Principal, leading: bool) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Name(name) => principal.value(*name, leading),
        }
    }
}

fn split_level(topic: &str) -> (&str, Left<'_>) {
    match topic.bytes().position(|byte| byte == b'/') {
        Some(end) => (&topic[..end], Some(&topic[end + 1..])),
        None => (topic, None),
    }
}

/// Cuts a level at its placeholders; neighbouring texts are one piece.
fn pieces(level: &str) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut characters = level.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let name = match characters.next() {
            Some('%') => {
                text.push('%');
                continue;
            }
            Some('c') => Name::Client,
            Some('u') => Name::User,
            other => return Err(PatternError::Placeholder(other)),
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text).into()));
        }
        pieces.push(Piece::Name(name));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(pieces)
}

/// Why a text is no filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("an empty filter matches nothing")]
    Empty,
    #[error("a filter has at most {BYTES_MAX} bytes")]
    TooLong,
    #[error("a filter has at most {LEVELS_MAX} levels")]
    TooDeep,
    #[error("a filter cannot hold the character U+0000")]
    Nul,
    #[error("'+' stands alone in its level, as in a/+/b")]
    Plus,
    #[error("'#' stands alone in the last level, as in a/b/#")]
    Hash,
    #[error(
        "a rule names the filter itself: shared subscriptions follow the rule of their filter, without $share/GROUP/"
    )]
    Shared,
    #[error("the placeholders are %c (client id) and %u (user name); a percent sign is written %%")]
    Placeholder(Option<char>),
}

/// The longest string that MQTT can carry, so that raised limits need no change here.
const BYTES_MAX: usize = 65_535;
/// Twice the default bound of a topic's levels.
const LEVELS_MAX: usize = 256;

#[cfg(test)]
mod tests;
