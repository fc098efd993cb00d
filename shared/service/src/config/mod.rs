//! Strict configuration from one YAML file and the environment.
//!
//! A file is read into a plain struct of serde. An unknown key, a wrong type, a value out of range or a missing file is
//! an error that says where, shows the line and, where a key was mistyped, names the one that was meant. The
//! environment may override single keys under the same rules. What is well formed but contradicts itself is reported
//! by the owner of the struct as [`Problem`]s, which are located in the same way.
//!
//! Not here: which keys there are. Each process defines its own struct, documents every field, and gets its JSON
//! Schema, its reference page and its file of defaults from [`mod@reference`].

mod environment;
mod error;
mod path;
pub mod reference;
mod source;
pub mod units;
mod words;
mod yaml;

pub use environment::PREFIX;
pub use error::{ConfigError, Located, Problem};
pub use path::{KeyPath, Step};
pub use source::Source;
pub use units::{Bytes, Duration};
