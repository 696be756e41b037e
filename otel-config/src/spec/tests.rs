use std::{fmt::Write, fs};

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::testing::Outside;

fn parse(text: &str, outside: &Outside) -> Result<Spec, ConfigError> {
    outside.read(|sources| Spec::parse(text, &["otlp", "stdout"], sources))
}

/// Writes a spec such that reading it gives the same again.
fn format(spec: &Spec) -> String {
    let mut text = spec.name.clone();
    for item in &spec.items {
        let value = item.value.expose();
        let at = if value.starts_with('@') { "@" } else { "" };
        let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$");
        write!(text, ",{}={at}{escaped}", item.key).unwrap();
    }
    text
}

#[test]
fn values_mean_what_the_table_says() {
    let outside = Outside::env(&[("TOKEN", "s3,${env:X}@\\"), ("DIR", "/run"), ("EMPTY", "")])
        .file("/run/token", "abc\n")
        .file("/run/crlf", "abc\r\n")
        .file("/run/two", "a,b\\\n\n")
        .file("/run/none", "${env:TOKEN}");
    let table = [
        ("", ""),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("a\\,b", "a,b"),
        ("a\\\\", "a\\"),
        ("\\${env:TOKEN}", "${env:TOKEN}"),
        ("$5 and $", "$5 and $"),
        ("@@home", "@home"),
        ("@@", "@"),
        ("a@b", "a@b"),
        ("${env:TOKEN}", "s3,${env:X}@\\"),
        ("Bearer ${env:DIR}/${env:DIR}!", "Bearer /run//run!"),
        ("@/run/token", "abc"),
        ("@${env:DIR}/token", "abc"),
        ("@/run/crlf", "abc"),
        ("@/run/two", "a,b\\\n"),
        ("@/run/none", "${env:TOKEN}"),
    ];
    for (written, meant) in table {
        let spec = parse(&format!("otlp,first=1,key={written}"), &outside).unwrap();
        assert_eq!(spec.get("key"), Some(meant), "{written}");
        assert_eq!(spec.get("first"), Some("1"), "{written}");
    }
}

#[test]
fn a_real_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "from disk\n").unwrap();
    let sources = Sources { env: &|_| None, read_file: &|path| fs::read(path), warn: &|_| () };

    let spec = Spec::parse(&format!("otlp,key=@{}", path.display()), &[], &sources).unwrap();

    assert_eq!(spec.get("key"), Some("from disk"));
}

#[test]
fn broken_items_are_named_by_position() {
    let outside = Outside::env(&[("EMPTY", "")]).file("/binary", b"\xff\xfe".to_vec());
    let table = [
        ("otlp,", 1, ItemFault::NoEquals),
        ("otlp,a=1,b", 2, ItemFault::NoEquals),
        ("otlp,a\\,b", 1, ItemFault::NoEquals),
        ("otlp,=1", 1, ItemFault::BadKey),
        ("otlp, a=1", 1, ItemFault::BadKey),
        ("otlp,a\\=1", 1, ItemFault::BadKey),
        ("otlp,\u{e9}=1", 1, ItemFault::BadKey),
        ("otlp,a=1,b=2,a=1", 3, ItemFault::Repeated(1)),
        ("otlp,a=\\n", 1, ItemFault::BadEscape),
        ("otlp,a=x\\", 1, ItemFault::BadEscape),
        ("otlp,a=${", 1, ItemFault::BadReference),
        ("otlp,a=${HOME}", 1, ItemFault::BadReference),
        ("otlp,a=${env:}", 1, ItemFault::BadReference),
        ("otlp,a=${env:1A}", 1, ItemFault::BadReference),
        ("otlp,a=${env:A-B}", 1, ItemFault::BadReference),
        ("otlp,a=${env:A", 1, ItemFault::BadReference),
        ("otlp,a=${env:NOWHERE}", 1, ItemFault::Unset("NOWHERE".to_owned())),
        ("otlp,a=${env:EMPTY}", 1, ItemFault::Unset("EMPTY".to_owned())),
        ("otlp,a=@/binary", 1, ItemFault::NotText),
    ];
    for (text, item, fault) in table {
        let problem = Problem::Item { item, fault };
        assert_eq!(
            parse(text, &outside),
            Err(ConfigError { place: "--sink otlp".into(), problem }),
            "{text}"
        );
    }
}

#[test]
fn a_text_without_a_name_is_not_repeated() {
    for text in ["", ",a=1", "header.api-key=hunter2", "ot lp", "\u{e9}", "otlp\\,a=1"] {
        let line = parse(text, &Outside::default()).unwrap_err().to_string();
        assert_eq!(
            line,
            "--sink: no sink name at the start; write name[,key=value]...; valid sinks: otlp, stdout"
        );
    }
}

#[test]
fn each_fault_reads_as_one_line() {
    let table = [
        ("otlp,b", "--sink otlp: item 1: no `=`; write key=value, and a comma inside a value as `\\,`"),
        ("otlp,a=1,a=2", "--sink otlp: item 2: it repeats the key of item 1; give each key once"),
        ("otlp,a=\\n", "--sink otlp: item 1: unknown escape; a backslash stands only in `\\,` `\\\\` `\\$`"),
        (
            "otlp,a=${x}",
            "--sink otlp: item 1: broken reference; write ${env:NAME}, and a literal `${` as `\\${`",
        ),
        ("otlp,a=${env:GONE}", "--sink otlp: item 1: environment variable GONE is not set or empty"),
        (
            "otlp,a=@/gone",
            "--sink otlp: item 1: cannot read the file after `@`: entity not found; a literal `@` is written `@@`",
        ),
    ];
    for (text, line) in table {
        assert_eq!(parse(text, &Outside::default()).unwrap_err().to_string(), line);
    }
}

#[test]
fn unknown_keys_name_the_valid_ones_but_never_the_tail_of_a_secret() {
    const KEYS: &[Key] = &[Key::plain("endpoint"), Key::secret("header.NAME")];
    let check = |text: &str| {
        let checked = parse(text, &Outside::default()).unwrap().check_keys(&[KEYS]);
        checked.map_err(|problem| problem.to_string())
    };
    let unknown = |key: &str| Err(format!("unknown key `{key}`; valid keys: endpoint, header.NAME"));

    assert_eq!(check("otlp,endpoint=1,header.a=2,header.b=3"), Ok(()));
    assert_eq!(check("otlp,endpoin=1"), unknown("endpoin"));
    assert_eq!(check("otlp,header.=1"), unknown("header."));
    assert_eq!(check("otlp,header.a=2,endpoint=1,x=1"), unknown("x"));
    assert_eq!(
        check("otlp,header.a=hunt,er2=1"),
        Err(
            "item 2: unknown key; a comma inside a value is written `\\,`; valid keys: endpoint, header.NAME"
                .to_owned()
        )
    );
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        name in "[a-z][a-z0-9_-]{0,8}",
        items in btree_map("[!-+\\--<>-\\[\\]-~]{1,8}", "(@|\\\\|,|\\$|\\{|.|\n){0,12}", 0..5),
    ) {
        let items = items.into_iter().map(|(key, value)| Item { key, value: Secret::new(value) }).collect();
        let spec = Spec { name, items };
        prop_assert_eq!(parse(&format(&spec), &Outside::default()), Ok(spec));
    }

    #[test]
    fn any_text_is_safe_and_errors_are_one_line(text in "(otlp)?(,|=|\\\\|@|\\$|\\{env:|\\}|[a-zA]|.|\n){0,30}") {
        if let Err(error) = parse(&text, &Outside::env(&[("A", "a")])) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
