//! Single keys from the environment.
//!
//! `SLUICE_LISTENERS__0__BIND=:1884` is the key `listeners[0].bind`. The same strictness holds as in the file: a
//! variable that names no key is an error.

use serde::de::DeserializeOwned;

use super::{KeyPath, Located, Step, words, yaml, yaml::Value};

/// How every variable that stands for a key begins.
pub const PREFIX: &str = "SLUICE_";

/// One variable of the environment that stands for a key.
#[derive(Clone, Debug)]
pub(super) struct Override {
    pub(super) variable: String,
    pub(super) path: KeyPath,
    value: String,
}

impl Override {
    /// `None` when the variable stands for no key.
    pub(super) fn parse(variable: String, value: String) -> Option<Self> {
        let name = variable.strip_prefix(PREFIX)?;
        if is_service_link(name) || OF_THE_CLIENT.contains(&name) {
            return None;
        }
        let step = |part: &str| part.parse().map_or_else(|_| Step::Key(part.to_lowercase()), Step::Index);
        Some(Self { path: name.split("__").map(step).collect(), variable, value })
    }

    /// Puts the value into the tree and checks that the tree still reads as a `T`.
    pub(super) fn apply<T: DeserializeOwned>(&self, tree: Value) -> Result<Value, Located> {
        let typed = yaml::parse::<Value>(&self.value).ok().filter(|_| !self.value.trim().is_empty());
        let text = Value::String(self.value.clone());
        let typed = typed.unwrap_or_else(|| text.clone());
        let attempt = |value: Value| {
            let mut tree = tree.clone();
            put(&mut tree, self.path.steps(), value)?;
            yaml::from_tree::<T>(tree.clone()).map_err(|error| error.message)?;
            Ok(tree)
        };
        // A name such as `007` is text although it looks like a number.
        attempt(typed).or_else(|message: String| attempt(text).map_err(|_| self.refused(&message)))
    }

    fn refused(&self, message: &str) -> Located {
        let (message, hint) = words::plain(message);
        Located { origin: self.variable.clone(), position: None, line: None, message, hint }
    }
}

fn put(tree: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *tree = value;
        return Ok(());
    };
    match step {
        Step::Key(key) => {
            if tree.is_null() {
                *tree = Value::Mapping(yaml::Mapping::new());
            }
            let map = tree.as_mapping_mut().ok_or_else(|| format!("there are no keys where `{key}` should be set"))?;
            put(map.entry(Value::String(key.clone())).or_insert(Value::Null), rest, value)
        }
        Step::Index(index) => {
            if tree.is_null() {
                *tree = Value::Sequence(Vec::new());
            }
            let list = tree.as_sequence_mut().ok_or_else(|| format!("there is no list where entry {index} is set"))?;
            if *index > list.len() {
                return Err(format!("entry {index} of a list that has {} entries", list.len()));
            }
            if *index == list.len() {
                list.push(Value::Null);
            }
            put(&mut list[*index], rest, value)
        }
    }
}

/// What `sluicectl` reads of the environment, which may be set where a server is started too. No key has such a name.
const OF_THE_CLIENT: [&str; 5] = ["SERVER", "TOKEN", "TOKEN_FILE", "CA", "CONTEXT"];

/// Whether an orchestrator set the variable for a service that happens to be called `sluice…`: `…_SERVICE_HOST`,
/// `…_PORT_1883_TCP_ADDR` and their like. No key has such a name.
fn is_service_link(name: &str) -> bool {
    !name.contains("__")
        && (name == "PORT"
            || name.starts_with("PORT_")
            || name.ends_with("_PORT")
            || name.contains("_PORT_")
            || name.contains("SERVICE_HOST")
            || name.contains("SERVICE_PORT"))
}
