use super::*;
use crate::{PrometheusWay, SinkKind, testing::Outside};

const URL: &str = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write";
const BOTH: &[(&str, &str)] =
    &[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hunter2/of+environment")];

fn of(outside: &Outside, keys: &str) -> Option<Credentials> {
    match outside.sink(&format!("prometheus,endpoint={URL}{keys}")).map(|sink| sink.kind) {
        Ok(SinkKind::Prometheus(config)) => match config.way {
            PrometheusWay::Write(write) => write.credentials,
            PrometheusWay::Listen(address) => panic!("{keys}: {address}"),
        },
        other => panic!("{keys}: {other:?}"),
    }
}

fn signed(access_key: &str, secret_key: &str, session_token: Option<&str>) -> Credentials {
    Credentials::SigV4(SigV4 {
        region: "eu-central-1".to_owned(),
        access_key: access_key.to_owned(),
        secret_key: Secret::new(secret_key.to_owned()),
        session_token: session_token.map(|token| Secret::new(token.to_owned())),
    })
}

/// Scenario: a region alone with an access key in the environment, permanent or temporary; and an access key in the settings
/// beside one in the environment.
/// Guarantees: the settings win as a whole, so that no token goes with a key that is not its own; no secret shows.
#[test]
fn an_access_key_comes_from_the_settings_or_the_environment() {
    let permanent = Outside::env(BOTH);
    assert_eq!(
        of(&permanent, ",sigv4=eu-central-1"),
        Some(signed("AKIDEXAMPLE", "hunter2/of+environment", None))
    );
    let mut temporary = Outside::env(BOTH).file("/secret", "hunter2/of+file\n");
    temporary.set("AWS_SESSION_TOKEN", "hunter2//token==");
    let all = of(&temporary, ",sigv4=eu-central-1");
    assert_eq!(all, Some(signed("AKIDEXAMPLE", "hunter2/of+environment", Some("hunter2//token=="))));
    assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    let own = of(&temporary, ",sigv4=eu-central-1,aws_access_key=AKIDOTHER,aws_secret_key=@/secret");
    assert_eq!(own, Some(signed("AKIDOTHER", "hunter2/of+file", None)));
    assert_eq!(of(&temporary, ""), None, "nothing is signed unless it is asked for");
}

/// Scenario: every mistake that these keys and variables allow.
/// Guarantees: one line that says what to set, without a value.
#[test]
fn mistakes_say_what_to_set() {
    let nothing = "sigv4: no credentials: AWS_ACCESS_KEY_ID is not set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                   `aws_access_key` and `aws_secret_key`";
    let table = [
        ("sigv4=eu-west-1", nothing),
        ("sigv4=", "sigv4: no region; valid: that of the workspace, such as eu-central-1"),
        ("sigv4=EU West", "sigv4: no region; valid: that of the workspace, such as eu-central-1"),
        ("aws_access_key=AKID", "aws_access_key: nothing is signed with it; set `sigv4` to the region too"),
        (
            "aws_secret_key=hunter2",
            "aws_secret_key: nothing is signed with it; set `sigv4` to the region too",
        ),
        (
            "sigv4=eu-west-1,aws_access_key=AKID",
            "aws_access_key: an access key and its secret need each other; set `aws_secret_key` too",
        ),
        (
            "sigv4=eu-west-1,aws_secret_key=hunter2",
            "aws_secret_key: an access key and its secret need each other; set `aws_access_key` too",
        ),
        (
            "sigv4=eu-west-1,aws_access_key=,aws_secret_key=hunter2",
            "aws_access_key: invalid; valid: printable ASCII characters without blanks",
        ),
        (
            "sigv4=eu-west-1,aws_access_key=AKID,aws_secret_key=hunter2 x",
            "aws_secret_key: invalid; valid: printable ASCII characters without blanks",
        ),
        ("sigv4=eu-west-1,bearer=hunter2", "sigv4: there is `bearer` too; set one way only"),
        ("username=u,password=hunter2,sigv4=eu-west-1", "sigv4: there is `username` too; set one way only"),
        ("aws_secret_key=hunter2,bearer=b", "aws_secret_key: there is `bearer` too; set one way only"),
    ];
    for (keys, line) in table {
        let refusal = Outside::default().refusal(&format!("prometheus,endpoint={URL},{keys}"));
        assert_eq!(refusal, format!("--sink prometheus: {line}"));
    }
    let listens = Outside::env(BOTH).refusal("prometheus,listen=127.0.0.1:1,sigv4=eu-west-1");
    assert!(listens.ends_with("listen: `sigv4` belongs to an `endpoint`; it has no use with `listen`"));
    for (header, why) in [
        ("Authorization", "there are credentials in other keys too; set one way only"),
        ("X-Amz-Date", "headers `x-amz-` belong to the signature and cannot be given with `sigv4`"),
    ] {
        let keys = format!("prometheus,endpoint={URL},sigv4=eu-west-1,header.{header}=hunter2");
        assert_eq!(Outside::env(BOTH).refusal(&keys), format!("--sink prometheus: header.{header}: {why}"));
    }
}

/// Scenario: an environment that lacks a part, and one whose parts cannot be sent.
/// Guarantees: the variable is named, its value is not.
#[test]
fn variables_that_are_wrong_are_named() {
    let secret = ("AWS_SECRET_ACCESS_KEY", "hunter2");
    let table = [
        (&BOTH[..1], "no credentials: AWS_SECRET_ACCESS_KEY is not set; "),
        (&[secret, ("AWS_ACCESS_KEY_ID", "")], "no credentials: AWS_ACCESS_KEY_ID is not set; "),
        (
            &[secret, ("AWS_ACCESS_KEY_ID", "hunter2\n")],
            "AWS_ACCESS_KEY_ID is invalid; valid: printable ASCII",
        ),
        (
            &[secret, ("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SESSION_TOKEN", "hunter2\nx")],
            "AWS_SESSION_TOKEN is invalid; valid: printable ASCII",
        ),
    ];
    for (variables, start) in table {
        let line = Outside::env(variables).refusal(&format!("prometheus,endpoint={URL},sigv4=eu-west-1"));
        let expected = format!("--sink prometheus: sigv4: {start}");
        assert!(line.starts_with(&expected) && !line.contains("hunter2"), "{line}");
    }
}
