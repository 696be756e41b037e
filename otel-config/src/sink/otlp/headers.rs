//! The headers of a signal: the sink's own and those of `OTEL_EXPORTER_OTLP_HEADERS`.

use super::{Protocol, settings::Settings};
use crate::{
    Problem,
    sink::headers::{Header, from_keys, parse_headers, put},
};

/// Those of the signal's variable, each of them replaced where the sink has one of that name.
/// A broken variable is an error, since going on without a credential fails later and less clearly.
pub(super) fn read(settings: &Settings<'_>, protocol: Protocol) -> Result<Vec<Header>, Problem> {
    let mut headers = Vec::new();
    if let Some(found) = settings.variable("HEADERS") {
        let refuse = |why: String| Problem::setting(&found.setting, why);
        headers = parse_headers(&found.value).map_err(refuse)?;
        headers.iter().try_for_each(|header| check_for(protocol, header)).map_err(refuse)?;
    }
    for header in from_keys(settings.spec, |header| check_for(protocol, header))? {
        put(&mut headers, header);
    }
    Ok(headers)
}

/// gRPC takes names that end in `-bin` as binary metadata, which no setting here can write.
fn check_for(protocol: Protocol, header: &Header) -> Result<(), String> {
    if protocol == Protocol::Grpc && header.name.ends_with("-bin") {
        return Err("a header name that ends in `-bin` is binary in gRPC; valid: any other name".to_owned());
    }
    Ok(())
}
