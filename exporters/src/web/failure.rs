//! Failures below the protocol.

use std::error::Error;
use std::io;

use crate::accounting::ErrorType;
use crate::outcome::{ExportError, Outcome};

/// An error below the protocol: no connection, a broken one, or TLS. It may pass.
pub(crate) fn connection_failed(endpoint: &str, error: &(dyn Error + 'static)) -> Outcome {
    let cause = innermost(error);
    let error = if mentions_tls(error) {
        let text =
            format!("TLS with {endpoint} failed: {cause}; check ca, cert, key and the endpoint's scheme");
        ExportError::new(ErrorType::Tls, text)
    } else if cause.contains("close_notify") {
        let text = format!(
            "no connection to {endpoint}: it ended within TLS, without a reason; check ca, cert, key and that the \
             receiver runs"
        );
        ExportError::new(ErrorType::Unreachable, text)
    } else {
        let text =
            format!("no connection to {endpoint}: {cause}; check the address and that the receiver runs");
        ExportError::new(ErrorType::Unreachable, text)
    };
    Outcome::Retry { after: None, error }
}

/// The last error of a chain, which names the cause.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = inner(last) {
        last = source;
    }
    last.to_string()
}

/// Whether a chain has an error of TLS in it. HTTP/2 keeps only its text once the handshake is over, and the kind that
/// TLS gives to all of its errors and plain sockets give to none.
fn mentions_tls(error: &(dyn Error + 'static)) -> bool {
    let is_tls = |error: &(dyn Error + 'static)| {
        let io = error.downcast_ref::<io::Error>();
        error.is::<rustls::Error>() || io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    };
    std::iter::successors(Some(error), |error| inner(*error)).any(is_tls)
}

/// The next error of a chain. An I/O error that wraps another one is not its source by itself.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
