//! Who convis is at a receiver of remote write: basic, bearer, or AWS's signatures.

use crate::{Problem, Secret, Sources, Spec};

/// Who convis is at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization: Basic`
    Basic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: Secret,
    },
    /// `Authorization: Bearer`; printable ASCII.
    Bearer(Secret),
    /// Every request is signed, as Amazon Managed Service for Prometheus wants it.
    SigV4(SigV4),
}

/// What AWS Signature Version 4 is made with.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv4.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigV4 {
    /// The region of the workspace: lower-case letters, digits and `-`.
    pub region: String,
    /// The id of the access key, which is no secret: it goes with every request.
    pub access_key: String,
    /// Its secret; printable ASCII.
    pub secret_key: Secret,
    /// What temporary credentials have besides; printable ASCII.
    pub session_token: Option<Secret>,
}

/// The ways, by the keys of each.
const WAYS: [(&str, &[&str]); 3] = [
    ("sigv4", &["sigv4", "aws_access_key", "aws_secret_key"]),
    ("bearer", &["bearer"]),
    ("username", &["username", "password"]),
];

pub(super) fn read(spec: &Spec, sources: &Sources<'_>) -> Result<Option<Credentials>, Problem> {
    let given = |keys: &[&'static str]| keys.iter().copied().find(|key| spec.get(key).is_some());
    let ways: Vec<_> = WAYS.iter().filter_map(|(way, keys)| Some((*way, given(keys)?))).collect();
    match ways[..] {
        [] => Ok(None),
        [("sigv4", _)] => sigv4(spec, sources).map(Credentials::SigV4).map(Some),
        [("bearer", _)] => bearer(spec).map(Some),
        [_] => basic(spec).map(Some),
        [("bearer", key), ..] => {
            Err(Problem::setting(key, "there are `username` or `password` too; set one way only"))
        }
        [(_, key), (_, other), ..] => {
            Err(Problem::setting(key, format!("there is `{other}` too; set one way only")))
        }
    }
}

fn bearer(spec: &Spec) -> Result<Credentials, Problem> {
    let token = spec.get("bearer").unwrap_or_default();
    if !is_token(token) {
        return Err(Problem::setting("bearer", format!("invalid token; {TOKEN}")));
    }
    Ok(Credentials::Bearer(Secret::new(token.to_owned())))
}

fn basic(spec: &Spec) -> Result<Credentials, Problem> {
    let lonely = |key, other: &str| {
        Err(Problem::setting(key, format!("user and password need each other; set `{other}` too")))
    };
    match (spec.get("username"), spec.get("password")) {
        (None, _) => lonely("password", "username"),
        (_, None) => lonely("username", "password"),
        (Some(username), Some(_)) if username.contains(':') || username.is_empty() => {
            Err(Problem::setting("username", "valid: a name without a colon"))
        }
        (Some(username), Some(password)) => Ok(Credentials::Basic {
            username: username.to_owned(),
            password: Secret::new(password.to_owned()),
        }),
    }
}

/// The access key is that of the settings, else that of the environment, as every program of AWS has it there.
fn sigv4(spec: &Spec, sources: &Sources<'_>) -> Result<SigV4, Problem> {
    let Some(region) = spec.get("sigv4") else {
        let key = if spec.get("aws_access_key").is_some() { "aws_access_key" } else { "aws_secret_key" };
        return Err(Problem::setting(key, "nothing is signed with it; set `sigv4` to the region too"));
    };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(fits) {
        let why = "no region; valid: that of the workspace, such as eu-central-1";
        return Err(Problem::setting("sigv4", why));
    }
    let signed = |access_key, secret_key, session_token: Option<String>| SigV4 {
        region: region.to_owned(),
        access_key,
        secret_key: Secret::new(secret_key),
        session_token: session_token.map(Secret::new),
    };
    let lonely = |key, other: &str| {
        Err(Problem::setting(key, format!("an access key and its secret need each other; set `{other}` too")))
    };
    match (spec.get("aws_access_key"), spec.get("aws_secret_key")) {
        (Some(_), None) => lonely("aws_access_key", "aws_secret_key"),
        (None, Some(_)) => lonely("aws_secret_key", "aws_access_key"),
        (Some(access), Some(secret)) => Ok(signed(
            checked("aws_access_key", access.to_owned())?,
            checked("aws_secret_key", secret.to_owned())?,
            None,
        )),
        (None, None) => Ok(signed(
            from_environment(sources, "AWS_ACCESS_KEY_ID")?,
            from_environment(sources, "AWS_SECRET_ACCESS_KEY")?,
            sources.var(SESSION_TOKEN).map(|token| checked(SESSION_TOKEN, token)).transpose()?,
        )),
    }
}

const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

fn from_environment(sources: &Sources<'_>, variable: &str) -> Result<String, Problem> {
    let value = sources.var(variable).ok_or_else(|| {
        let why = format!(
            "no credentials: {variable} is not set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             `aws_access_key` and `aws_secret_key`"
        );
        Problem::setting("sigv4", why)
    })?;
    checked(variable, value)
}

/// A part of an access key. Errors repeat nothing of it: the two are easily taken for each other.
fn checked(setting: &str, value: String) -> Result<String, Problem> {
    if is_token(&value) {
        return Ok(value);
    }
    // A variable is no key of the sink, where errors of a file could stand.
    let (setting, named) = if setting.starts_with("AWS_") {
        ("sigv4", format!("{setting} is "))
    } else {
        (setting, String::new())
    };
    Err(Problem::setting(setting, format!("{named}invalid; {TOKEN}")))
}

const TOKEN: &str = "valid: printable ASCII characters without blanks";

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
