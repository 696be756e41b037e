//! The list form shared by headers and resource attributes: `key=value,key2=value2`, percent-encoded.

use percent_encoding::percent_decode_str;

use crate::error::shown;

/// Percent-decodes strictly: a `%` without two hex digits, or octets that are not UTF-8, are `None`.
/// A `+` stays a plus: this is W3C Baggage, not a form.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let well_formed = text
        .split('%')
        .skip(1)
        .all(|after| after.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)));
    if !well_formed {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// The members of a list with their position from 1, trimmed; empty members (a trailing comma) are passed over.
/// A member without `=` is an `Err` with its position.
pub(crate) fn members(list: &str) -> impl Iterator<Item = Result<(usize, &str, &str), usize>> {
    list.split(',').zip(1..).filter(|(member, _)| !member.trim().is_empty()).map(|(member, position)| {
        let (key, value) = member.split_once('=').ok_or(position)?;
        Ok((position, key.trim(), value.trim()))
    })
}

/// Picks the entry that `text` names, without regard to case, as the specification wants for enumerations.
/// The error names the valid ones.
pub(crate) fn choose<T: Copy>(text: &str, entries: &[(&str, T)]) -> Result<T, String> {
    let found = entries.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|&(_, value)| value).ok_or_else(|| {
        let valid: Vec<_> = entries.iter().map(|&(name, _)| name).collect();
        format!("`{}` is unknown; valid: {}", shown(text), valid.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percent_decoding_is_strict() {
        let table = [
            ("", Some("")),
            ("plain+value", Some("plain+value")),
            ("a%20b%2Cc%3dd", Some("a b,c=d")),
            ("%c3%a9", Some("\u{e9}")),
            ("100%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%\u{e9}", None),
            ("%ff", None),
        ];
        for (text, want) in table {
            assert_eq!(percent_decode(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn members_are_trimmed_and_counted() {
        let all = |list| members(list).collect::<Vec<_>>();

        assert_eq!(all(" a = b ,, c=d=e,"), [Ok((1, "a", "b")), Ok((3, "c", "d=e"))]);
        assert_eq!(all("a=b,c"), [Ok((1, "a", "b")), Err(2)]);
        assert_eq!(all(" , "), []);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in ".*") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(percent_decode(&encoded.to_string()), Some(text));
        }

        #[test]
        fn any_text_is_safe(text in ".*") {
            let _ = percent_decode(&text);
            let _ = members(&text).count();
        }
    }
}
