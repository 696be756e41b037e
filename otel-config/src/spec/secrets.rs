//! Where in the text of a `--sink` its secrets are, so that they can be hidden wherever that text shows.

use std::ops::Range;

use super::{Key, split_at_commas, split_reference};

/// The byte ranges of values that are secret and written out; those of a file or a variable are not. What an unescaped
/// comma has cut off a secret counts as one. Never fails: the text may be wrong.
pub(crate) fn find(text: &str, keys: impl Fn(&str) -> Vec<Key>) -> Vec<Range<usize>> {
    let mut parts = split_at_commas(text).into_iter();
    let name = parts.next().unwrap_or_default();
    let keys = keys(name);
    let mut at = name.len() + 1;
    let mut after_secret = false;
    let mut found = Vec::new();
    for part in parts {
        let end = at + part.len();
        let known = part
            .split_once('=')
            .and_then(|(key, value)| Some((keys.iter().find(|known| known.matches(key))?, value)));
        match known {
            Some((key, value)) => {
                after_secret = key.secret;
                if key.secret && !value.is_empty() && !is_elsewhere(value) {
                    found.push(end - value.len()..end);
                }
            }
            None if after_secret && !part.is_empty() => found.push(at..end),
            None => {}
        }
        at = end + 1;
    }
    found
}

/// Whether a value only says where the secret is.
fn is_elsewhere(value: &str) -> bool {
    let is_path = value.starts_with('@') && !value.starts_with("@@");
    let reference = value.strip_prefix('$').and_then(split_reference);
    is_path || reference.is_some_and(|(_, rest)| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::secrets_in;

    /// The text with its secrets as stars.
    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for span in secrets_in(text) {
            bytes[span].fill(b'*');
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Scenario: secrets of each sink, beside settings that are none, in all forms of a value, and cut by a comma.
    /// Guarantees: exactly the secrets are found.
    #[test]
    fn secrets_are_found() {
        let table = [
            ("newrelic,account=1,key=abc,region=EU", "newrelic,account=1,key=***,region=EU"),
            ("newrelic,key=@/run/key", "newrelic,key=@/run/key"),
            ("newrelic,key=@@abc", "newrelic,key=*****"),
            ("newrelic,key=${env:KEY}", "newrelic,key=${env:KEY}"),
            ("newrelic,key=${env:KEY}abc", "newrelic,key=*************"),
            (r"newrelic,key=a\,b,region=US", "newrelic,key=****,region=US"),
            ("newrelic,key=ab,cd,x=y,region=US", "newrelic,key=**,**,***,region=US"),
            ("newrelic,key=", "newrelic,key="),
            ("otlp,key=/etc/key.pem,header.api-key=abc", "otlp,key=/etc/key.pem,header.api-key=***"),
            ("otlp,header.a=bc,endpoint=http://h", "otlp,header.a=**,endpoint=http://h"),
            ("unknown,user=e,password=abc,bearer=d", "unknown,user=e,password=***,bearer=*"),
            (
                "prometheus,sigv4=eu-central-1,aws_access_key=AKID,aws_secret_key=ab/c,timeout=1s",
                "prometheus,sigv4=eu-central-1,aws_access_key=AKID,aws_secret_key=****,timeout=1s",
            ),
            ("prometheus,aws_secret_key=${env:KEY}", "prometheus,aws_secret_key=${env:KEY}"),
            ("promtheus,aws_secret_key=abc", "promtheus,aws_secret_key=***"),
            ("otlp,header.a=bc,retry=false,events=opened,x", "otlp,header.a=**,retry=false,events=opened,x"),
            ("stdout,format=json", "stdout,format=json"),
            ("file,path=/x", "file,path=/x"),
            ("", ""),
            (",,=", ",,="),
        ];
        for (text, want) in table {
            assert_eq!(masked(text), want);
        }
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: the ranges lie in it, at characters, in order.
        #[test]
        fn any_text_is_safe(text in "(newrelic|otlp|x)?(,(key|header\\.a|password|x)?=?(.|@|\\\\,|\\$\\{env:A\\}){0,6}){0,6}") {
            let mut last = 0;
            for span in secrets_in(&text) {
                prop_assert!(span.start >= last && text.get(span.clone()).is_some_and(|secret| !secret.is_empty()));
                last = span.end;
            }
        }
    }
}
