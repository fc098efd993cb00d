//! Clusters by name, in a file of the user: `contexts.yaml` in `$XDG_CONFIG_HOME/sluicectl` or `~/.config/sluicectl`.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Exit, Failure},
    yaml,
};

/// A cluster, and who asks it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Control's HTTP interface; several replicas with commas between them.
    pub server: String,
    /// The token itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A file with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// All contexts of a user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The one in use.
    #[serde(default)]
    pub current: Option<String>,
    /// The one that was in use before.
    #[serde(default)]
    previous: Option<String>,
    /// By name.
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Where they are kept, by the variables of an environment; `None` if it names no home.
    #[must_use]
    pub fn path(environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let named = |name| environment(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
        let config = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")))?;
        Some(config.join("sluicectl").join("contexts.yaml"))
    }

    /// Reads them. There are none if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it should be.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Ok(Self::default()),
            Ok(text) => yaml::read(&text).map_err(|error| wrong(path, &error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(path, &error.to_string())),
        }
    }

    /// Keeps them: whole or not at all, and so that only their owner can read them.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = yaml::write(self)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| write_private(path, &text))
            .map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be written", path.display())).because(error))
    }

    /// A context by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let there =
                if names.is_empty() { "there is none yet".into() } else { format!("there are {}", names.join(", ")) };
            Failure::new(Exit::Config, format!("there is no context {name}"))
                .because(there)
                .fix("add it: sluicectl context add NAME --server URL --token-file FILE")
        })
    }

    /// All of them, and whether each is in use.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Context, bool)> {
        self.contexts.iter().map(|(name, context)| (name.as_str(), context, self.current.as_ref() == Some(name)))
    }

    /// Adds a context, or replaces it, and uses it.
    pub fn add(&mut self, name: &str, context: Context) {
        self.contexts.insert(name.to_owned(), context);
        self.switch(name);
    }

    /// Uses a context; `-` is the one before. Returns its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn choose(&mut self, name: &str) -> Result<String, Failure> {
        let name = match name {
            "-" => self.previous.clone().ok_or_else(|| {
                Failure::new(Exit::Failed, "there is no context before this one").fix("name it: sluicectl context ls")
            })?,
            name => name.to_owned(),
        };
        self.named(&name)?;
        self.switch(&name);
        Ok(name)
    }

    /// Forgets a context.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.named(name)?;
        self.contexts.remove(name);
        for of in [&mut self.current, &mut self.previous] {
            if of.as_deref() == Some(name) {
                *of = None;
            }
        }
        Ok(())
    }

    fn switch(&mut self, name: &str) {
        if self.current.as_deref() != Some(name) {
            self.previous = self.current.replace(name.to_owned());
        }
    }
}

fn wrong(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Config, format!("{} cannot be read", path.display()))
        .because(why)
        .fix("mend it, or delete it and add your contexts again")
}

/// Writes a file that only its owner can read: whole, or not at all.
///
/// # Errors
/// The system does not let it.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().map(ToOwned::to_owned).ok_or(ErrorKind::InvalidInput)?;
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // What is left of it is worth nothing.
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn context(server: &str) -> Context {
        Context { server: server.into(), token: Some("slc_a_b".into()), ..Context::default() }
    }

    #[test]
    fn what_is_kept_is_read_again_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/sluicectl/contexts.yaml");
        let mut contexts = Contexts::load(&path).unwrap();
        assert_eq!(contexts, Contexts::default());
        contexts.add("prod", context("https://a:1"));
        contexts.save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        contexts.add("demo", context("http://b:1"));
        contexts.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn one_goes_back_and_forth_between_two_contexts() {
        let mut contexts = Contexts::default();
        assert_eq!(contexts.choose("-").unwrap_err().exit, Exit::Failed);
        contexts.add("a", context("http://a"));
        contexts.add("b", context("http://b"));
        assert_eq!(contexts.choose("-").unwrap(), "a");
        assert_eq!(contexts.choose("-").unwrap(), "b");
        assert_eq!(contexts.choose("b").unwrap(), "b", "and the one before stays");
        assert_eq!(contexts.choose("-").unwrap(), "a");
        assert_eq!(contexts.choose("c").unwrap_err().exit, Exit::Config);
        contexts.remove("a").unwrap();
        assert_eq!((contexts.current.clone(), contexts.iter().count()), (None, 1));
    }

    #[test]
    fn a_file_that_is_wrong_is_a_wrong_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contexts.yaml");
        for text in ["contexts: [", "currant: a", "contexts: {a: {sever: x}}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Contexts::load(&path).unwrap_err().exit, Exit::Config, "{text}");
        }
    }

    #[test]
    fn the_file_is_where_the_environment_says_that_files_of_users_are() {
        let path = |pairs: &[(&str, &str)]| {
            let found = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Contexts::path(found).map(|path| path.display().to_string())
        };
        let both = [("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(path(&both).as_deref(), Some("/x/sluicectl/contexts.yaml"));
        assert_eq!(path(&both[1..]).as_deref(), Some("/h/.config/sluicectl/contexts.yaml"));
        assert_eq!(
            path(&[("XDG_CONFIG_HOME", "rel"), ("HOME", "/h")]).as_deref(),
            Some("/h/.config/sluicectl/contexts.yaml")
        );
        assert_eq!(path(&[]), None);
    }
}
