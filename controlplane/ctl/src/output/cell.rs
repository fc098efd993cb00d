//! Text on a terminal: how wide it is, in which colour, and that it can do nothing but be read.

use unicode_width::UnicodeWidthStr;

/// What a text says about how things are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Well.
    Good,
    /// Somebody may have to look.
    Warning,
    /// Somebody has to.
    Bad,
    /// A title.
    Title,
}

/// A text with its tone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text with a tone. What could command a terminal is shown and not obeyed: texts come from others.
    #[must_use]
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        let visible = |c: char| match c {
            '\n' => "\n".to_owned(),
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        };
        Self { text: text.as_ref().chars().map(visible).collect(), tone }
    }

    /// A text that is good news.
    #[must_use]
    pub fn good(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Good)
    }

    /// A text that somebody may have to look at.
    #[must_use]
    pub fn warning(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Warning)
    }

    /// A text that somebody has to look at.
    #[must_use]
    pub fn bad(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Bad)
    }

    /// What stands for nothing in a table.
    #[must_use]
    pub fn nothing() -> Self {
        Self::from("-")
    }

    /// A text, if there is one.
    #[must_use]
    pub fn of(text: Option<impl ToString>) -> Self {
        text.map_or_else(Self::nothing, |text| Self::from(text.to_string()))
    }

    /// Texts with commas between them.
    #[must_use]
    pub fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        if texts.is_empty() { Self::nothing() } else { Self::from(texts.join(",")) }
    }

    /// Without colour.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Columns of a terminal that it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.text.width()
    }

    /// With its colour, if there is to be any.
    #[must_use]
    pub fn painted(&self, has_colour: bool) -> String {
        let code = match self.tone {
            Tone::Plain => return self.text.clone(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Title => "1",
        };
        if has_colour { format!("\u{1b}[{code}m{}\u{1b}[0m", self.text) } else { self.text.clone() }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}
