//! Changes: worked out from what is known, written if that is still so, worked out again if not.

use sluice_cluster::Label;
use sluice_controlplane_core::{
    PlanInput,
    intent::{Author, Match, Refusal},
    ledger::Revision,
    record::Commit,
    view::View,
};
use sluice_controlplane_store::{Outcome, schema};
use tracing::info;

use super::{Call, Problem};
use crate::control::wall_ms;

impl Call<'_> {
    /// Who asks, and when.
    pub(super) fn author(&self) -> Author {
        let name = self.caller.as_ref().map_or("nobody", |caller| caller.name.as_str());
        // Names of tokens are labels.
        let by =
            Label::parse(name).or_else(|_| Label::parse("unnamed")).unwrap_or_else(|error| unreachable!("{error}"));
        Author { by, at_ms: wall_ms() }
    }

    /// Writes what is worked out. Returns the revision; `None`: there was nothing to change.
    pub(super) async fn change<F>(&self, work: F) -> Result<Option<u64>, Problem>
    where
        F: Fn(&View) -> Result<Option<Commit>, Refusal> + Clone + Send + 'static,
    {
        self.change_planned(move |view, _| work(view)).await
    }

    /// The same, where what nodes report matters too.
    pub(super) async fn change_planned<F>(&self, work: F) -> Result<Option<u64>, Problem>
    where
        F: Fn(&View, Option<PlanInput>) -> Result<Option<Commit>, Refusal> + Clone + Send + 'static,
    {
        for _ in 0..TRIES_MAX {
            let work = work.clone();
            let worked_out = self.api.handle.ask(move |desk| {
                let input = desk.reconciler().plan_input();
                desk.reconciler().view().map(|view| work(view, input))
            });
            let Some(commit) = worked_out.await?.ok_or_else(Problem::unread)?? else { return Ok(None) };
            match self.api.handle.store().commit(schema::txn(&commit)).await? {
                Outcome::Committed(revision) => {
                    let by = self.caller.as_ref().map_or("", |caller| caller.name.as_str());
                    info!(by, method = self.request.method, path = self.request.path, "an operator changed something");
                    self.api.handle.caught_up(revision.0).await;
                    return Ok(Some(revision.0));
                }
                // What was known was out of date.
                Outcome::Conflict { modified, .. } => self.api.handle.caught_up(modified.0).await,
            }
        }
        Err(Problem::conflict())
    }

    /// Which state the change was made from, by `If-Match` or `If-None-Match: *`.
    pub(super) fn matching(&self) -> Result<Match, Problem> {
        if self.request.if_none_match.as_deref() == Some("*") {
            return Ok(Match::At(Revision::ABSENT));
        }
        match self.request.if_match.as_deref() {
            None | Some("*") => Ok(Match::Any),
            Some(text) => {
                let number = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"')?.parse().ok());
                let number = number.ok_or_else(|| Problem::invalid("If-Match is an ETag, such as \"42\""))?;
                Ok(Match::At(Revision(number)))
            }
        }
    }

    /// A change of something that others may change: it has to say which state it was made from.
    pub(super) fn matching_required(&self) -> Result<Match, Problem> {
        if self.request.if_match.is_none() && self.request.if_none_match.is_none() {
            let detail = "send If-Match with the ETag of what you saw, If-None-Match: * to create, or If-Match: *";
            return Err(Problem::new(428, "precondition.required", "say what the change was made from", detail));
        }
        self.matching()
    }

    pub(super) fn is_dry(&self) -> bool {
        self.request.query.get("dry_run").is_some_and(|value| value == "true")
    }
}

/// Tries of one change against others.
const TRIES_MAX: u32 = 5;
