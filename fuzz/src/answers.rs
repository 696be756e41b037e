//! What receivers answer.

use std::time::Duration;

use convis_exporters::doors::{self, ENDPOINT, Receiver};
use convis_exporters::{Backoff, Outcome, RetryPolicy};

use super::{assert_one_line, text};

/// An answer over HTTP: a letter for who answers, its status in three digits, headers a line each, an empty line, the body.
///
/// A line that says what to do; success never sent again, nothing sent again but what each specification allows, and
/// nobody put off for longer than retrying lasts.
pub fn http_answer(bytes: &[u8]) {
    let [who, status @ ..] = bytes else { return };
    let (status, rest) = status.split_at(status.len().min(3));
    let Ok(status) = text(status).parse::<u16>() else { return };
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let (head, body) = match rest.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&rest[..at], &rest[at + 2..]),
        None => (rest, &[][..]),
    };
    let headers: Vec<_> = head.split(|byte| *byte == b'\n').filter_map(header).collect();
    let receiver = match who {
        b'p' => Receiver::OtlpProtobuf,
        b'j' => Receiver::OtlpJson,
        b'w' => Receiver::RemoteWrite,
        _ => Receiver::NewRelic,
    };
    for outcome in doors::http(receiver, status, &headers, body).unwrap_or_default() {
        let may_retry = match receiver {
            Receiver::OtlpProtobuf | Receiver::OtlpJson => matches!(status, 429 | 502..=504),
            Receiver::RemoteWrite => matches!(status, 429 | 500..=599),
            Receiver::NewRelic => matches!(status, 408 | 429 | 500..=599),
        };
        assert_eq!(matches!(outcome, Outcome::Retry { .. }), may_retry, "{status}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::TooLarge(_)), status == 413, "{outcome:?}");
        assert!(!matches!(outcome, Outcome::Sent { .. }) || (200..300).contains(&status), "{outcome:?}");
        check(&outcome, (200..300).contains(&status));
    }
}

/// An answer over gRPC: a code, the length of the message, the message, and the bytes of the details or of the answer.
pub fn grpc_answer(bytes: &[u8]) {
    let [code, length, rest @ ..] = bytes else { return };
    let (message, details) = rest.split_at(rest.len().min(usize::from(*length)));
    let code = i32::from(code % 17);
    if code == 0 {
        for outcome in doors::grpc(details) {
            check(&outcome, true);
        }
        return;
    }
    let outcome = doors::grpc_status(code, text(message), details);
    // By the table of the OTLP specification, with and without a wish of the receiver's.
    let may_retry = match code {
        1 | 4 | 10 | 11 | 14 | 15 => true,
        8 => matches!(outcome, Outcome::Retry { after: Some(_), .. }),
        _ => false,
    };
    assert!(may_retry || !matches!(outcome, Outcome::Retry { .. }), "{code}: {outcome:?}");
    assert!(matches!(code, 8 | 11) || !matches!(outcome, Outcome::TooLarge(_)), "{code}: {outcome:?}");
    assert!(!matches!(outcome, Outcome::Sent { .. }));
    check(&outcome, false);
}

fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..at], line[at + 1..].trim_ascii()))
}

fn check(outcome: &Outcome, is_success: bool) {
    match outcome {
        Outcome::Sent { message, .. } => {
            assert!(message.is_empty() || message.chars().count() <= 403);
            if !message.is_empty() {
                assert_one_line(message);
            }
        }
        Outcome::Retry { error, .. } | Outcome::TooLarge(error) | Outcome::Drop(error) => {
            assert_one_line(&error.text);
            assert!(error.text.chars().count() <= 400, "{error}");
            let (said, advice) = error.text.rsplit_once("; ").expect("advice");
            assert!(is_success || said.starts_with(ENDPOINT), "{error}");
            assert!(advice.is_ascii(), "{error}");
        }
        Outcome::Fatal(error) => panic!("{error:?}"),
    }
    if let Outcome::Retry { after, .. } = outcome {
        let mut random = fastrand::Rng::with_seed(7);
        for policy in [RetryPolicy::default(), RetryPolicy { max_elapsed: None, ..RetryPolicy::default() }] {
            let wait = Backoff::new(policy).next(&mut random, *after);
            assert!(wait <= Duration::from_mins(5), "{wait:?}");
        }
    }
}
