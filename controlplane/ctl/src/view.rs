//! Answers of control as people see them. Each answer is read into what is shown of it; what is not known here is let be, so
//! that control may say more than this program understands.

pub mod cluster;
pub mod links;
pub mod node;
pub mod plan;
pub mod policy;
pub mod token;
pub mod traffic;
mod words;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use words::{bytes, counted, duration, short_ids};

use crate::failure::{Exit, Failure};

/// A list.
#[derive(Deserialize)]
pub struct Items<T> {
    /// Its entries.
    pub items: Vec<T>,
}

/// Reads an answer.
///
/// # Errors
/// It has not what it needs.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        Failure::new(Exit::Failed, "the answer is not what was asked for")
            .because(error)
            .fix("see that sluicectl and control are of the same version; -o json shows the answer as it is")
    })
}

/// A text between others, if it is not empty.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
