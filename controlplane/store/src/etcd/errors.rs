//! What etcd's errors mean to whoever asked.

use etcd_client::Error;

use crate::StoreError;

/// Sorts an error of the client.
pub(super) fn failure(error: Error) -> StoreError {
    match error {
        Error::GRpcStatus(status) => of_status(i32::from(status.code()), status.message()),
        Error::InvalidArgs(reason) => StoreError::Invalid { reason },
        Error::InvalidUri(reason) => StoreError::Invalid { reason: reason.to_string() },
        Error::TransportError(error) => StoreError::unavailable(causes(&error)),
        Error::IoError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::LeaseKeepAliveError(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => StoreError::unavailable(error),
    }
}

/// The codes of gRPC, and what etcd says with them.
fn of_status(code: i32, message: &str) -> StoreError {
    let reason = message.to_owned();
    match code {
        RESOURCE_EXHAUSTED if message.contains("space exceeded") => StoreError::Full,
        RESOURCE_EXHAUSTED if message.contains("larger than") => StoreError::Invalid { reason },
        PERMISSION_DENIED | UNAUTHENTICATED => StoreError::Denied { reason },
        INVALID_ARGUMENT if message.contains("user") || message.contains("password") || message.contains("auth") => {
            StoreError::Denied { reason }
        }
        INVALID_ARGUMENT | OUT_OF_RANGE | UNIMPLEMENTED => StoreError::Invalid { reason },
        _ => StoreError::Unavailable { reason },
    }
}

/// An error of the transport says little itself; what caused it says more.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_somebody_has_to_repair() {
        let of = |code, message| of_status(code, message).is_passing();
        assert!(of(14, "etcdserver: no leader") && of(4, "etcdserver: request timed out"));
        assert!(of(8, "etcdserver: too many requests"));
        assert_eq!(of_status(8, "etcdserver: mvcc: database space exceeded"), StoreError::Full);
        assert!(!of(16, "etcdserver: invalid auth token") && !of(7, "etcdserver: permission denied"));
        let refused = of_status(3, "etcdserver: authentication failed, invalid user ID or password");
        assert!(matches!(refused, StoreError::Denied { .. }));
        assert!(matches!(of_status(3, "etcdserver: request is too large"), StoreError::Invalid { .. }));
    }
}
