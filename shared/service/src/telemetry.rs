//! Logs, to standard error: text for people and the journal, JSON for machines.

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error(
        "log level `{0}` is not understood: use error, warn, info, debug or trace, or pairs such as info,sluice=debug"
    )]
    Level(String),
    /// Something else in the process already takes the logs.
    #[error("logs are already set up in this process")]
    Twice,
}

/// Checks a level, such as `info`, or levels by module, such as `info,sluice_dataplane_server=debug`.
///
/// # Errors
/// A text that is no level.
pub fn check_level(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(drop)
}

/// Sends the logs of the whole process to standard error from here on.
///
/// # Errors
/// A level that is none, or a second call in one process.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let registry = Registry::default().with(filter(level)?);
    let started = match format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Text => {
            // The journal stamps each line itself, and colours are for terminals.
            let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
            if std::env::var_os("JOURNAL_STREAM").is_some() {
                registry.with(layer.without_time()).try_init()
            } else {
                registry.with(layer).try_init()
            }
        }
    };
    started.map_err(|_| TelemetryError::Twice)
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let known = |level: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&level);
    // The library takes a bare word that is no level for the name of a module, and would then log nothing.
    let plain = level.split(',').map(str::trim).all(|part| known(part) || part.contains('='));
    if !plain {
        return Err(TelemetryError::Level(level.to_owned()));
    }
    EnvFilter::try_new(level.replace(' ', "")).map_err(|_| TelemetryError::Level(level.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_words_by_module() {
        for level in ["info", "debug", "off", "info,sluice=debug", "warn, sluice_dataplane_server=trace"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
        for level in ["", "loud", "info,loud", "sluice=loud"] {
            assert!(check_level(level).is_err(), "{level}");
        }
    }
}
