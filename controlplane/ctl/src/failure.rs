//! How a command ends: with which code, and with which words if it did not do what it was asked to.

use std::fmt;

use serde::Deserialize;

/// The codes that the process ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// It is done, or it is well.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// Something is unhealthy, or something would change.
    Pending = 2,
    /// The command line is wrong.
    Usage = 64,
    /// Control cannot be reached, or cannot serve.
    Unreachable = 69,
    /// Control, or the system, does not let in who asks.
    Denied = 77,
    /// A file of `sluicectl` is wrong.
    Config = 78,
}

impl Exit {
    /// All codes, with what each says.
    pub const ALL: [(Self, &str); 7] = [
        (Self::Ok, "done, or healthy"),
        (Self::Failed, "failed; of `check`: nothing could be checked"),
        (Self::Pending, "unhealthy, changes pending, or not yet there when the time was over"),
        (Self::Usage, "the command line or what it asks for is wrong"),
        (Self::Unreachable, "control cannot be reached, or cannot serve now"),
        (Self::Denied, "the token is missing, wrong or of too low a role; or a file may not be read or written"),
        (Self::Config, "a file is wrong: contexts, certificates, resources"),
    ];
}

/// Why a command did not do what it was asked to: a sentence of what, one of why, one of what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The code of the process.
    pub exit: Exit,
    what: String,
    why: Option<String>,
    fix: Option<String>,
    /// The name that control gives the problem, if control said so.
    code: Option<String>,
}

impl Failure {
    /// A failure of which it is known only what.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, fix: None, code: None }
    }

    /// A wrong command line.
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// With the reason.
    #[must_use]
    pub fn because(self, why: impl ToString) -> Self {
        Self { why: Some(why.to_string()), ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, and if that is not known what.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.why.as_deref().unwrap_or(&self.what)
    }

    /// Whether control calls it by this name.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What a refusal of control means, by status and body.
    #[must_use]
    pub fn refused(status: u16, body: &str) -> Self {
        let problem: Problem = serde_json::from_str(body).unwrap_or_default();
        let title = if problem.title.is_empty() { format!("control answers {status}") } else { problem.title };
        let mut failure = Self::new(exit(status), title);
        if !problem.detail.is_empty() {
            failure = failure.because(problem.detail);
        }
        if let Some(fix) = remedy(&problem.code) {
            failure = failure.fix(fix);
        }
        Self { code: Some(problem.code), ..failure }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  because {why}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "\n  -> {fix}")?;
        }
        Ok(())
    }
}

/// What control says of a problem; further members may come.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    code: String,
    detail: String,
}

fn exit(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        400 | 405 | 413 => Exit::Usage,
        502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// What to do about a problem, by its name.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "auth.required" => {
            "name a token with --token-file, SLUICE_TOKEN_FILE or a context; whether it is valid: sluicectl whoami"
        }
        "auth.forbidden" => "ask an admin for a token of that role: sluicectl token create --role ROLE --name NAME",
        "control.not_leading" => "name the other replicas too: --server URL,URL",
        "store.unread" | "control.stopping" => "ask again in a moment, or another replica: --server URL,URL",
        "store.contended" => "look at what others have changed, sluicectl placement history, and ask again",
        "precondition.failed" => "look at what it is like by now, and make the change from that",
        "plan.parent_moved" => "make a new plan, and apply that: sluicectl placement plan -f FILE",
        "node.phase" => "see in which phase the node is: sluicectl nodes describe NODE",
        "node.not_empty" => {
            "sluicectl nodes drain NODE and wait until it has no shards; or, if its disk is gone for good, \
             nodes remove --lost"
        }
        "revision.forgotten" => "see which revisions are remembered: sluicectl placement history",
        "placement.conflict" => "see which policies there are: sluicectl placement ls",
        "store.unavailable" | "store.unreadable" => "see what is wrong with the store: sluicectl store status",
        "not_found" => "see what there is: sluicectl nodes ls, placement ls, placement history, token ls",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_why_and_what_to_do_and_ends_with_its_code() {
        let body =
            r#"{"title":"the plan is out of date","code":"plan.parent_moved","detail":"it was made from 3","new":1}"#;
        let failure = Failure::refused(409, body);
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.is("plan.parent_moved") && !failure.is("not_found"));
        assert_eq!(
            failure.to_string(),
            "the plan is out of date\n  because it was made from 3\n  \
             -> make a new plan, and apply that: sluicectl placement plan -f FILE"
        );
    }

    #[test]
    fn every_status_has_its_code_also_without_a_problem() {
        let exits = [(400, 64), (401, 77), (403, 77), (404, 1), (409, 1), (412, 1), (500, 1), (503, 69), (504, 69)];
        for (status, exit) in exits {
            let failure = Failure::refused(status, "<html>");
            assert_eq!((failure.exit as u8, failure.what()), (exit, format!("control answers {status}").as_str()));
        }
    }
}
