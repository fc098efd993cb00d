//! How far the copies of one stream go.

/// What is known of the registers of one worker of a home.
#[derive(Debug)]
pub(super) struct Source {
    /// The life of that worker; 0 = none yet.
    pub(super) life: u64,
    /// The last change that the copies know.
    pub(super) version: u64,
    /// The copies are whole up to this topic; empty = nothing is whole. `None` = all of them are.
    pub(super) after: Option<Box<str>>,
    /// The question that has no answer yet; 0 = none.
    pub(super) query: u64,
    /// Whether each change comes here.
    pub(super) is_live: bool,
    /// Whether a question is due.
    pub(super) wants: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self { life: 0, version: 0, after: Some(Box::default()), query: 0, is_live: false, wants: false }
    }
}

impl Source {
    /// Whether the copies are what the home has.
    pub(super) fn is_current(&self) -> bool {
        self.is_live && self.after.is_none()
    }

    /// Nothing comes here any more.
    pub(super) fn cut_off(&mut self) {
        self.is_live = false;
        self.query = 0;
    }

    /// It is of this life from here on.
    pub(super) fn begin_life(&mut self, life: u64) {
        if self.life != life {
            self.life = life;
            self.version = 0;
            self.after = Some(Box::default());
        }
    }
}
