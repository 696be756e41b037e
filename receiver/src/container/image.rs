//! References of images.

/// Longest reference that is read; the registries allow 255 characters for a name and 128 for a tag.
const LONGEST: usize = 1024;
/// What a reference without tag and digest means.
const LATEST: &str = "latest";
/// Hexadecimal digits of a short id, the shortest that runtimes show in place of a name.
const SHORT_ID: usize = 12;

/// A reference such as `docker.io/library/nginx:1.27@sha256:...`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry and repository, as written.
    pub name: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest, with its algorithm.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference; `None` where it names nothing, as an id alone does.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > LONGEST || is_id(text) {
            return None;
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned()).filter(|digest| !digest.is_empty())),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let repository = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[repository..].split_once(':') {
            Some((last, tag)) => (&rest[..repository + last.len()], Some(tag.to_owned())),
            None => (rest, None),
        };
        let names = !name.is_empty() && !name.ends_with('/');
        names.then(|| Self { name: name.to_owned(), tag: tag.filter(|tag| !tag.is_empty()), digest })
    }

    /// The tags it names. Without tag and digest it means `latest`.
    pub fn tags(&self) -> Vec<String> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => vec![tag.clone()],
            (None, None) => vec![LATEST.to_owned()],
            (None, Some(_)) => Vec::new(),
        }
    }

    /// As [`Self::parse`], also `None` where it is the beginning of `id`, the id of the image.
    pub fn parse_beside(text: &str, id: Option<&str>) -> Option<Self> {
        let digits = id.map(|id| id.rsplit(':').next().unwrap_or(id));
        let is_prefix = text.len() >= SHORT_ID && digits.is_some_and(|digits| digits.starts_with(text));
        if is_prefix { None } else { Self::parse(text) }
    }
}

/// Whether this is the id of an image: a digest, with or without its algorithm.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha512:")).unwrap_or(text);
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.is_empty() || hex && (digits.len() != text.len() || digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "72297848456d5d37d1262630108ab308d3e9ec7ed1c3286a32fe09856619a782";

    fn parts(text: &str) -> Option<(String, Vec<String>, Option<String>)> {
        Reference::parse(text).map(|reference| {
            let tags = reference.tags();
            (reference.name, tags, reference.digest)
        })
    }

    /// Scenario: references with registries, ports, tags and digests in every combination.
    /// Guarantees: the name has neither tag nor digest; without both, the tag is what the reference means.
    #[test]
    fn takes_references_apart() {
        let digest = format!("sha256:{HEX}");
        for (text, name, tags, has_digest) in [
            ("nginx", "nginx", &["latest"][..], false),
            ("nginx:1.27", "nginx", &["1.27"], false),
            ("docker.io/library/nginx:1.27-alpine", "docker.io/library/nginx", &["1.27-alpine"], false),
            ("localhost:5000/x", "localhost:5000/x", &["latest"], false),
            ("localhost:5000/x:tag", "localhost:5000/x", &["tag"], false),
            ("localhost:5000/a/b/x:tag", "localhost:5000/a/b/x", &["tag"], false),
            (&format!("gcr.io/a/b@{digest}"), "gcr.io/a/b", &[], true),
            (&format!("localhost:5000/x:tag@{digest}"), "localhost:5000/x", &["tag"], true),
            ("[::1]:5000/x:tag", "[::1]:5000/x", &["tag"], false),
            ("deadbeef", "deadbeef", &["latest"], false),
        ] {
            let (found_name, found_tags, found_digest) = parts(text).unwrap();
            assert_eq!(
                (found_name.as_str(), found_tags.as_slice()),
                (name, &tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
            assert_eq!(found_digest, has_digest.then(|| digest.clone()), "{text}");
        }
    }

    /// Scenario: ids of images in place of names, and no text.
    /// Guarantees: no name is invented.
    #[test]
    fn an_id_is_no_name() {
        for text in [
            "",
            " ",
            HEX,
            &format!("sha256:{HEX}"),
            "sha256:7229",
            ":tag",
            "a/",
            "@sha256:00",
            &"a".repeat(2000),
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
        let id = format!("sha256:{HEX}");
        assert_eq!(Reference::parse_beside(&HEX[..12], Some(&id)), None);
        assert!(Reference::parse_beside(&HEX[..11], Some(&id)).is_some());
        assert!(Reference::parse_beside(&HEX[..12], None).is_some());
    }

    proptest::proptest! {
        /// Scenario: any text.
        /// Guarantees: nothing panics, and a name never has a tag or a digest left in it.
        #[test]
        fn never_panics(text in "[a-f0-9:@/. \u{e9}]{0,80}") {
            if let Some(reference) = Reference::parse(&text) {
                let last = reference.name.rsplit('/').next().unwrap();
                proptest::prop_assert!(!last.contains(':') && !reference.name.contains('@'), "{reference:?}");
            }
        }
    }
}
