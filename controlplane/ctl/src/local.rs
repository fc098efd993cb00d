//! Commands that need no control: contexts, completion, the version.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    cli::{Command, Connection, Context as ContextCommand, Shell},
    commands,
    contexts::{Context, Contexts},
    failure::{Exit, Failure},
    output::{Cell, Column, Format, Shown, Table},
    target,
};

/// What is to be shown, and how.
type Local = Result<(Shown, Format), Failure>;

/// Runs a command that needs no control; `None`: this one does.
pub(crate) fn run(command: &Command, connection: &Connection) -> Option<Local> {
    if let Command::Context(command) = command {
        Some(of_user(command, connection))
    } else if let Command::Completion { shell } = command {
        Some(Ok((Shown::line(Value::Null, completion(*shell)), Format::Table)))
    } else if let Command::Version { json } = command {
        Some(Ok((version(*json), Format::Table)))
    } else {
        None
    }
}

fn of_user(command: &ContextCommand, connection: &Connection) -> Local {
    let path = Contexts::path(|name| std::env::var(name).ok()).ok_or_else(|| {
        Failure::new(Exit::Config, "it is not known where contexts are kept")
            .because("neither HOME nor XDG_CONFIG_HOME names a folder")
            .fix("set one of them")
    })?;
    let folder = std::env::current_dir()
        .map_err(|error| Failure::new(Exit::Failed, "it is not known in which folder this is").because(error))?;
    contexts(command, connection, &path, &folder)
}

/// Does something with contexts; `folder` is where relative paths begin.
fn contexts(command: &ContextCommand, connection: &Connection, path: &Path, folder: &Path) -> Local {
    let mut contexts = Contexts::load(path)?;
    let (shown, format) = match command {
        ContextCommand::Ls(output) => return Ok((list(&contexts), output.format)),
        ContextCommand::Add { name } => {
            contexts.add(name, added(connection, folder)?);
            (format!("Context {name} is kept, and in use."), json!({"added": name}))
        }
        ContextCommand::Use { name } => {
            let name = contexts.choose(name)?;
            (format!("Context {name} is in use."), json!({"current": name}))
        }
        ContextCommand::Rm { name } => {
            contexts.remove(name)?;
            (format!("Context {name} is forgotten."), json!({"removed": name}))
        }
    };
    contexts.save(path)?;
    Ok((Shown::line(format, shown), Format::Table))
}

fn added(connection: &Connection, folder: &Path) -> Result<Context, Failure> {
    let server = connection.server.clone().ok_or_else(|| {
        Failure::usage("a context needs a server").fix("name it: --server https://control1.example.com:7080")
    })?;
    // What cannot be used is not kept.
    let said = Connection { server: Some(server.clone()), token: connection.token.clone(), ..Connection::default() };
    target::resolve(&said, &|_| None, &Contexts::default(), &|_| Ok(String::new()))?;
    let absolute = |path: &PathBuf| folder.join(path);
    Ok(Context {
        server,
        token: connection.token.clone(),
        token_file: connection.token_file.as_ref().map(absolute),
        ca: connection.ca.as_ref().map(absolute),
    })
}

fn list(contexts: &Contexts) -> Shown {
    let columns = [
        Column::text(""),
        Column::text("NAME"),
        Column::text("SERVER"),
        Column::text("TOKEN"),
        Column::text("CA").wide(),
    ];
    let mut table = Table::new(&columns);
    let mut items = Vec::new();
    for (name, context, is_current) in contexts.iter() {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let token = match (&context.token, path(&context.token_file)) {
            (Some(_), _) => Cell::from("kept here"),
            (None, file) => Cell::of(file),
        };
        let star = if is_current { Cell::good("*") } else { Cell::from("") };
        table.row(vec![star, name.into(), Cell::from(&context.server), token, Cell::of(path(&context.ca))]);
        items.push(json!({
            "name": name,
            "current": is_current,
            "server": context.server,
            "token_file": path(&context.token_file),
            "ca": path(&context.ca),
        }));
    }
    let value = json!({ "items": items });
    if table.is_empty() {
        Shown::line(value, "No contexts yet: sluicectl context add")
    } else {
        Shown::table(value, table)
    }
}

/// What a shell needs to complete command lines.
fn completion(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut commands::command(), "sluicectl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The version of this program.
fn version(is_json: bool) -> Shown {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({"version": version});
    let text = if is_json { value.to_string() } else { format!("sluicectl {version}") };
    Shown { value: Value::Null, ..Shown::line(value, text) }.exit(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(server: Option<&str>) -> Connection {
        Connection {
            server: server.map(str::to_owned),
            token_file: Some("prod.token".into()),
            ca: Some("/ca.pem".into()),
            ..Connection::default()
        }
    }

    #[test]
    fn a_context_is_kept_with_paths_that_hold_everywhere_and_listed_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contexts.yaml");
        let run = |command: ContextCommand, connection: &Connection| {
            contexts(&command, connection, &path, Path::new("/home/anna"))
        };
        let add = |name: &str| ContextCommand::Add { name: name.into() };
        run(add("prod"), &connection(Some("https://c1:7080"))).unwrap();
        let secret =
            Connection { token: Some("slc_a_geheim".into()), token_file: None, ..connection(Some("http://b:1")) };
        run(add("demo"), &secret).unwrap();
        let listed =
            || run(ContextCommand::Ls(crate::cli::Output { format: Format::Wide }), &Connection::default()).unwrap();
        let text = listed().0.text(Format::Wide, false).unwrap();
        let wanted = "   NAME  SERVER           TOKEN                  CA\n\
                      *  demo  http://b:1       kept here              /ca.pem\n   \
                      prod  https://c1:7080  /home/anna/prod.token  /ca.pem\n";
        assert_eq!(text, wanted);
        assert!(!listed().0.text(Format::Json, false).unwrap().contains("geheim"));
        run(ContextCommand::Use { name: "-".into() }, &Connection::default()).unwrap();
        assert!(listed().0.text(Format::Table, false).unwrap().contains("*  prod"));
        run(ContextCommand::Rm { name: "prod".into() }, &Connection::default()).unwrap();
        assert!(!listed().0.text(Format::Table, false).unwrap().contains("prod"));
    }

    #[test]
    fn a_context_that_could_not_be_used_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contexts.yaml");
        for server in [None, Some("c1:7080")] {
            let failure =
                contexts(&ContextCommand::Add { name: "x".into() }, &connection(server), &path, Path::new("/"));
            assert_eq!(failure.unwrap_err().exit, Exit::Usage);
        }
        assert!(!path.exists());
    }

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion(shell);
            assert!(
                ["simulate", "uncordon", "--token-file"]
                    .iter()
                    .all(|word| script.contains(word.trim_start_matches('-')))
            );
        }
    }
}
