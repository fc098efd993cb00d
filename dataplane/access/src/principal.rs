//! The authenticated client that rules speak about.

use std::sync::Arc;

use crate::Scope;

/// A client as rules see it: made once when a connection is accepted, then only read.
#[derive(Clone, Debug)]
pub struct Principal {
    client_id: Arc<str>,
    username: Option<Arc<str>>,
    groups: Arc<[Arc<str>]>,
    superuser: bool,
    scope: Option<Arc<Scope>>,
    client_fit: Fit,
    user_fit: Fit,
}

impl Principal {
    /// A client that nothing is known of but its id: no user name (anonymous), no groups.
    pub fn new(client_id: impl Into<Arc<str>>) -> Self {
        let client_id = client_id.into();
        let client_fit = Fit::of(&client_id);
        let (groups, user_fit) = (Arc::from([]), Fit::Never);
        Self { client_id, username: None, groups, superuser: false, scope: None, client_fit, user_fit }
    }

    /// With the *authenticated* user name; `None` = anonymous. What a CONNECT merely claims does not belong here.
    #[must_use]
    pub fn with_username(mut self, username: Option<Arc<str>>) -> Self {
        self.user_fit = username.as_deref().map_or(Fit::Never, Fit::of);
        self.username = username;
        self
    }

    /// As a member of these groups.
    #[must_use]
    pub fn with_groups(mut self, groups: impl Into<Arc<[Arc<str>]>>) -> Self {
        self.groups = groups.into();
        self
    }

    /// As a superuser: no rule applies. A scope still does.
    #[must_use]
    pub fn with_superuser(mut self, superuser: bool) -> Self {
        self.superuser = superuser;
        self
    }

    /// Held to the topics that its credentials name, on top of the rules.
    #[must_use]
    pub fn with_scope(mut self, scope: Option<Arc<Scope>>) -> Self {
        self.scope = scope;
        self
    }

    /// The client id.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// The authenticated user name; `None` = anonymous.
    pub fn username(&self) -> Option<&Arc<str>> {
        self.username.as_ref()
    }

    /// The groups this client is a member of.
    pub fn groups(&self) -> &[Arc<str>] {
        &self.groups
    }

    /// Whether no rule applies.
    pub fn is_superuser(&self) -> bool {
        self.superuser
    }

    /// The topics that the credentials name, if they do.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_deref()
    }

    /// What stands for `name`, where it may stand for anything. `leading` = at the very start of a filter.
    pub(crate) fn value(&self, name: Name, leading: bool) -> Option<&str> {
        let (fit, value) = match name {
            Name::Client => (self.client_fit, &*self.client_id),
            Name::User => (self.user_fit, self.username.as_deref().unwrap_or_default()),
        };
        let usable = match fit {
            Fit::Anywhere => true,
            Fit::NotLeading => !leading,
            Fit::Never => false,
        };
        usable.then_some(value)
    }
}

/// A placeholder of a rule's topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// `%c`
    Client,
    /// `%u`
    User,
}

/// Where an id may stand for a placeholder. An id that MQTT would read as more than the text of one level never may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fit {
    Anywhere,
    /// It begins with `$`: at the start of a filter it would lead out of the ordinary topic space.
    NotLeading,
    /// It is empty, or has a wildcard, a level separator or NUL in it.
    Never,
}

impl Fit {
    fn of(id: &str) -> Self {
        if id.is_empty() || id.contains(['+', '#', '/', '\0']) {
            Self::Never
        } else if id.starts_with('$') {
            Self::NotLeading
        } else {
            Self::Anywhere
        }
    }
}
