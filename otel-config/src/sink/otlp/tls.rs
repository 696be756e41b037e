//! The certificates of a signal: the sink's own and those of the variables.

use super::settings::Settings;
use crate::{
    Problem,
    sink::tls::{Identity, pair, read_ca},
};

/// Reads the trusted certificates and the client's identity of a signal.
pub(super) fn read(settings: &Settings<'_>) -> Result<(Option<Vec<u8>>, Option<Identity>), Problem> {
    let ca = settings.key("ca").or_else(|| settings.variable("CERTIFICATE"));
    let ca = ca.map(|found| read_ca(&settings.sources, &found)).transpose()?;
    let own = (settings.key("cert"), settings.key("key"));
    let identity = match own {
        // A pair is never half from the sink and half from the environment: the halves would not fit.
        (None, None) => pair(
            &settings.sources,
            settings.variable("CLIENT_CERTIFICATE"),
            settings.variable("CLIENT_KEY"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        )?,
        (cert, key) => pair(&settings.sources, cert, key, ("cert", "key"))?,
    };
    Ok((ca, identity))
}
