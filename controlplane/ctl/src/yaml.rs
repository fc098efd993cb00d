//! YAML, in one place, so that what reads it can be replaced.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::failure::{Exit, Failure};

/// A value as YAML.
///
/// # Errors
/// It is something that YAML cannot say.
pub(crate) fn write(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_yaml::to_string(value).map_err(|error| Failure::new(Exit::Failed, "no YAML can be made of it").because(error))
}

/// Reads a document.
///
/// # Errors
/// It is not what it should be; says where.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

/// Reads all documents of a stream; JSON is YAML too. Empty ones are left out.
///
/// # Errors
/// One of them cannot be read; says where.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        if !value.is_null() {
            found.push(value);
        }
    }
    Ok(found)
}
