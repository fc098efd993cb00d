//! What each command does: asks control, and says what is to be shown. Nothing here touches a socket, a file or a clock but
//! through the [`World`].

mod change;
mod check;
mod nodes;
mod placement;
mod resources;
mod tokens;

use serde_json::Value;

pub use check::CHECKS;

use crate::{
    cli::{Alarms, Cli, Command, Kind, Links, Look, Nodes, Output, Placement, Store, Token, Topics},
    failure::{Exit, Failure},
    output::Shown,
    request::Request,
    route::Route,
    view,
    world::{World, ask, json, list},
};

/// What a command is run with.
pub struct Run<'a> {
    /// The world.
    pub world: &'a mut dyn World,
    /// Whether there are colours.
    pub has_colour: bool,
}

/// What a command came to.
pub type Outcome = Result<Exit, Failure>;

impl Run<'_> {
    /// Runs a command that needs control.
    ///
    /// # Errors
    /// It did not do what it was asked to.
    pub fn command(&mut self, command: Command) -> Outcome {
        match command {
            Command::Status { short: true, look } => {
                self.one(&look, &Request::to(Route::ClusterStatus), view::cluster::brief)
            }
            Command::Status { short: false, look } => self.look(
                &look,
                |world| json(world, &Request::to(Route::Overview)),
                |world, overview| view::cluster::status(overview, Some(&list(world, Route::Nodes)?)),
            ),
            Command::Check(args) => check::run(self, &args),
            Command::Nodes(command) => nodes::run(self, command),
            Command::Placement(command) => placement::run(self, command),
            Command::Topics(Topics::Where { topic, look }) => {
                let request = Request::to(Route::TopicWhere).query("topic", &topic);
                self.one(&look, &request, view::policy::location)
            }
            Command::Links(Links::Ls(look)) => self.list(&look, Route::Links, view::links::list),
            Command::Links(Links::Matrix(look)) => self.look(
                &look,
                |world| list(world, Route::Links),
                |world, links| view::links::matrix(links, &list(world, Route::Nodes)?),
            ),
            Command::Store(Store::Status(look)) => self.one(&look, &Request::to(Route::Store), view::cluster::store),
            Command::Store(Store::Accept(write)) => accept_store(self, &write),
            Command::Alarms(Alarms::Ls(look)) => self.list(&look, Route::Alarms, view::cluster::alarms),
            Command::Token(command) => tokens::run(self, command),
            Command::Whoami(look) => self.one(&look, &Request::to(Route::Whoami), view::token::whoami),
            Command::Get { kind, name, look } => self.get(kind, name, look),
            Command::Describe { kind, name, look } => self.get(kind, Some(name), look),
            Command::Apply(args) => resources::apply(self, &args),
            Command::Diff(args) => resources::diff(self, &args),
            Command::Delete(args) => resources::delete(self, args),
            Command::Metrics => {
                let text = ask(self.world, &Request::to(Route::Metrics))?.text;
                self.world.show(&text)?;
                Ok(Exit::Ok)
            }
            Command::Openapi(output) => {
                let document = json(self.world, &Request::to(Route::OpenApi))?;
                let text = format!("{document:#}");
                self.put(&Shown::line(document, text), &output)
            }
            Command::Context(_) | Command::Completion { .. } | Command::Version { .. } => {
                unreachable!("these need no control and are done before")
            }
        }
    }

    /// Things of a kind are shown as by the command that is about them.
    fn get(&mut self, kind: Kind, name: Option<String>, look: Look) -> Outcome {
        let command = match (kind, name) {
            (Kind::Node, None) => Command::Nodes(Nodes::Ls(look)),
            (Kind::Node, Some(node)) => Command::Nodes(Nodes::Describe { node: crate::cli::NodeRef { node }, look }),
            (Kind::Placement, None) => Command::Placement(Placement::Ls(look)),
            (Kind::Placement, Some(name)) => Command::Placement(Placement::Get { name, look }),
            (Kind::Plan, Some(id)) => return placement::show_plan(self, &id, &look),
            (Kind::Plan, None) => return Err(Failure::usage("plans are not listed: name one of them")),
            (Kind::Shard, None) => {
                Command::Placement(Placement::Show { keyspace: None, node: None, moving: false, by_node: false, look })
            }
            (Kind::Revision, None) => Command::Placement(Placement::History(look)),
            (Kind::Link, None) => Command::Links(Links::Ls(look)),
            (Kind::Alarm, None) => Command::Alarms(Alarms::Ls(look)),
            (Kind::Token, None) => Command::Token(Token::Ls(look)),
            (Kind::Shard | Kind::Revision | Kind::Link | Kind::Alarm | Kind::Token, Some(name)) => {
                return Err(Failure::usage(format!("things of this kind cannot be named: leave out {name}")));
            }
        };
        self.command(command)
    }

    /// Shows a list.
    fn list(&mut self, look: &Look, route: Route, view: fn(Value) -> Result<Shown, Failure>) -> Outcome {
        self.look(look, |world| list(world, route), |_, value| view(value))
    }

    /// Looks at something, once or again and again: what control answers, and what is to be shown of it.
    fn look(
        &mut self,
        look: &Look,
        ask: impl Fn(&mut dyn World) -> Result<Value, Failure>,
        view: impl Fn(&mut dyn World, Value) -> Result<Shown, Failure>,
    ) -> Outcome {
        let format = look.output.format;
        let see = |world: &mut dyn World| {
            let value = ask(world)?;
            view(world, value.clone()).or_else(|failure| match failure.exit == Exit::Failed && format.is_data() {
                // An answer that this program does not understand is none the worse for others.
                true => Ok(Shown::new(value, Vec::new())),
                false => Err(failure),
            })
        };
        if !look.watch {
            let shown = see(self.world)?;
            return self.put(&shown, &look.output);
        }
        let mut last = String::new();
        loop {
            match see(self.world) {
                Ok(shown) => {
                    let text = shown.text(format, self.has_colour)?;
                    if text != last {
                        self.world.clear();
                        self.world.show(&text)?;
                        last = text;
                    }
                }
                // It may come back, and whoever watches wants to see that.
                Err(failure) if failure.exit == Exit::Unreachable => self.world.note(&failure.to_string()),
                Err(failure) => return Err(failure),
            }
            self.world.pause(look.interval);
        }
    }

    /// Looks at one thing.
    fn one(&mut self, look: &Look, request: &Request, view: fn(Value) -> Result<Shown, Failure>) -> Outcome {
        self.look(look, |world| json(world, request), |_, value| view(value))
    }

    /// Shows a result, and ends with its code.
    fn put(&mut self, shown: &Shown, output: &Output) -> Outcome {
        let text = shown.text(output.format, self.has_colour)?;
        self.world.show(&text)?;
        Ok(shown.exit)
    }
}

fn accept_store(run: &mut Run<'_>, write: &crate::cli::Write) -> Outcome {
    let what = "go on with the store as it is: what happened after its backup was made is lost, and nodes take what the \
                store says instead of what they hold";
    let change = change::Change::destructive(what, Request::to(Route::AcceptStore));
    run.change(write, change, |answer| Ok(Shown::line(answer, "Accepted: control goes on with this store.")))
}

/// Parses a command line. Help and versions are failures that end well.
///
/// # Errors
/// It is no command line of this program.
pub fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, clap::Error> {
    use clap::FromArgMatches as _;
    Cli::from_arg_matches(&crate::commands::command().try_get_matches_from(args)?)
}
