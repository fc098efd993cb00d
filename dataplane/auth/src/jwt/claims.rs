//! The claims of a verified token.

use serde_json::{Map, Value};

/// A JSON object whose members are asked for by name and kind.
pub(super) struct Claims(Map<String, Value>);

/// A claim is there, but of another kind than it must be. A token is refused for it: an expiry that cannot be read is
/// not an expiry that is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WrongKind;

impl Claims {
    /// `None` for what is no JSON object.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn is_text(&self, name: &str, expected: &str) -> bool {
        self.text(name) == Some(expected)
    }

    /// A list of texts, or a single one.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, WrongKind> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(WrongKind);
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Array(values)) if values.len() <= LIST_MAX => {
                values.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(value) => text(value).map(|text| Some(vec![text])),
        }
    }

    /// A NumericDate (RFC 7519, section 2: seconds since 1970, possibly with a fraction) in milliseconds.
    pub(super) fn time_ms(&self, name: &str) -> Result<Option<u64>, WrongKind> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().ok_or(WrongKind)?;
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(WrongKind);
        }
        // Within SECONDS_MAX, milliseconds are exact in f64 and fit u64.
        Ok(Some((seconds * 1000.0) as u64))
    }

    /// RFC 7519, section 4.1.3: who does not find itself in the audience must refuse the token.
    pub(super) fn audience_admits(&self, audience: Option<&str>) -> bool {
        match (audience, self.0.get("aud")) {
            (None, claim) => claim.is_none(),
            (Some(audience), Some(Value::String(text))) => text == audience,
            (Some(audience), Some(Value::Array(list))) => list.iter().any(|entry| entry.as_str() == Some(audience)),
            (Some(_), _) => false,
        }
    }
}

/// The year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;
/// Entries of a list.
const LIST_MAX: usize = 256;
