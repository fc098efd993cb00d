//! Which texts may be user names and groups, whatever source they come from.

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has more than {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("the name holds a control character")]
    Control,
    #[error("the name holds '+' or '#'")]
    Wildcard,
    #[error("the name holds '/'")]
    Separator,
}

/// Refuses what could break a log line or a protocol: control characters, excess length.
pub(crate) fn check_name(name: &str) -> Result<&str, NameError> {
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.len() > NAME_BYTES_MAX {
        Err(NameError::TooLong)
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control)
    } else {
        Ok(name)
    }
}

/// As [`check_name`], and refuses what has a meaning in topics. `separator` allows `/`, which URIs need.
pub(crate) fn check_topic_safe(name: &str, separator: bool) -> Result<&str, NameError> {
    check_name(name)?;
    if name.contains(['+', '#']) {
        Err(NameError::Wildcard)
    } else if !separator && name.contains('/') {
        Err(NameError::Separator)
    } else {
        Ok(name)
    }
}

/// As long as the longest client id by default.
const NAME_BYTES_MAX: usize = 256;
