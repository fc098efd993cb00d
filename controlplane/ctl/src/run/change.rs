//! Changes: said before they are made, asked for where something may be lost, and only said with `--dry-run`.

use serde_json::{Value, json};

use super::{Outcome, Run};
use crate::{
    cli::Write,
    failure::{Exit, Failure},
    output::Shown,
    request::Request,
    world::ask,
};

/// A change that control is asked for.
pub(super) struct Change {
    /// What it is, as the continuation of "this will".
    what: String,
    request: Request,
    is_destructive: bool,
}

impl Change {
    /// A change that can be taken back.
    pub(super) fn harmless(what: impl Into<String>, request: Request) -> Self {
        Self { what: what.into(), request, is_destructive: false }
    }

    /// A change by which something may be lost or moved.
    pub(super) fn destructive(what: impl Into<String>, request: Request) -> Self {
        Self { what: what.into(), request, is_destructive: true }
    }

    /// What would be done.
    fn dry(&self) -> Shown {
        let (method, target) = (self.request.route.method(), self.request.target());
        let value =
            json!({"dry_run": true, "what": self.what, "method": method, "path": target, "body": self.request.body});
        let body = self.request.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
        Shown::line(value, format!("would {}\n  {method} {target}{body}", self.what))
    }
}

impl Run<'_> {
    /// Makes a change and shows what `view` makes of the answer.
    pub(super) fn change(
        &mut self,
        write: &Write,
        change: Change,
        view: impl FnOnce(Value) -> Result<Shown, Failure>,
    ) -> Outcome {
        if write.dry_run {
            return self.put(&change.dry(), &write.output);
        }
        if change.is_destructive {
            self.confirm(write, &change.what)?;
        }
        let answer = ask(self.world, &change.request)?;
        let value = if answer.text.trim().is_empty() { json!({"done": true}) } else { answer.json()? };
        self.put(&view(value)?, &write.output)
    }

    /// Asks whether something is to be done, unless that was said already.
    pub(super) fn confirm(&mut self, write: &Write, what: &str) -> Result<(), Failure> {
        if write.yes {
            return Ok(());
        }
        self.world.note(&format!("This will {what}."));
        if self.world.confirm("Go on?")? {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "nothing was done").because("the answer was not yes"))
    }
}
