//! The endpoint of one signal, and the protocol that goes with it.
//!
//! An explicit protocol always wins. Without one, an endpoint without a scheme (`host:port`) or with port 4317 speaks
//! gRPC, every other one `http/protobuf`. For HTTP a generic endpoint is a base to which the signal's path is added; an
//! endpoint given for one signal is taken as it is.

use url::Url;

use super::{
    options::{self, Protocol},
    settings::Settings,
};
use crate::{Problem, spec::Found};

const GRPC_PORT: u16 = 4317;
const FORMS: &str = "valid: http://HOST[:PORT][/PATH], https://HOST[:PORT][/PATH], or HOST:PORT for gRPC";

/// Reads the endpoint and the protocol of a signal.
pub(super) fn read(settings: &Settings<'_>) -> Result<(Url, Protocol), Problem> {
    let protocol = options::protocol(settings)?;
    let (found, is_base) = find(settings).unwrap_or_else(|| {
        let value = match protocol {
            Some(Protocol::Grpc) => "http://localhost:4317",
            Some(Protocol::HttpProtobuf | Protocol::HttpJson) | None => "http://localhost:4318",
        };
        (Found { setting: "endpoint".to_owned(), value: value.to_owned() }, true)
    });
    let refuse = |why: String| Problem::setting(&found.setting, why);

    let text = found.value.trim();
    let has_scheme = text.contains("://");
    // Read even where a scheme overrides it, so that a wrong word never passes.
    let scheme = if options::insecure(settings)? { "http" } else { "https" };
    let parsed = if has_scheme { parse(text) } else { parse(&format!("{scheme}://{text}")) };
    let mut url = parsed.map_err(refuse)?;

    let is_grpc = !has_scheme || url.port() == Some(GRPC_PORT);
    let protocol = protocol.unwrap_or(if is_grpc { Protocol::Grpc } else { Protocol::HttpProtobuf });
    if protocol != Protocol::Grpc {
        if !has_scheme {
            return Err(refuse(
                "HTTP needs http:// or https:// before the host; or set protocol=grpc".to_owned(),
            ));
        }
        if is_base {
            append_path(&mut url, &found.setting, settings);
        }
    }
    Ok((url, protocol))
}

/// The endpoint as written, and whether it is a base for both signals.
fn find(settings: &Settings<'_>) -> Option<(Found, bool)> {
    if let Some(found) = settings.key(&format!("{}_endpoint", settings.signal)) {
        return Some((found, false));
    }
    if let Some(found) = settings.key("endpoint") {
        return Some((found, true));
    }
    let [own, _] = settings.variables("ENDPOINT");
    settings.variable("ENDPOINT").map(|found| {
        let is_base = found.setting != own;
        (found, is_base)
    })
}

/// Errors never repeat the text: a URL that does not parse may hold a password anywhere.
fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; {FORMS}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unknown scheme; {FORMS}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password do not belong in a URL; use header.authorization".to_owned());
    }
    Ok(url)
}

/// Makes a signal's URL of a base: the specification adds `v1/<signal>` after a slash and changes nothing else.
fn append_path(url: &mut Url, setting: &str, settings: &Settings<'_>) {
    let base = url.path().trim_end_matches('/');
    if ["/v1/logs", "/v1/metrics", "/v1/traces"].iter().any(|path| base.ends_with(path)) {
        (settings.sources.warn)(format!(
            "{setting} is a base to which v1/{} is added, yet it already ends in a signal's path",
            settings.signal
        ));
    }
    let slash = if url.path().ends_with('/') { "" } else { "/" };
    let path = format!("{}{slash}v1/{}", url.path(), settings.signal);
    url.set_path(&path);
}
