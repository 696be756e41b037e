use crate::ConfigFile;
use crate::policy::{Policy, Settings};
use crate::testing::Outside;
use crate::yaml::Errors;

fn read(text: &str) -> Result<Settings, Vec<String>> {
    let mut outside = Outside::default();
    outside.set("WHERE", "s3cret");
    outside.read(|sources| {
        let errors = Errors::new("c.yaml");
        let file = ConfigFile::read(text.as_bytes(), sources, &errors);
        if errors.is_empty() { Ok(file.policy) } else { Err(errors.into_lines()) }
    })
}

/// Scenario: each section in a file, and the same by flags.
/// Guarantees: they come to the same.
#[test]
fn a_file_says_what_flags_say() {
    let file = read(
        "networks:\n  office: [10.8.0.0/16, 2001:db8:7::/48]\n  lab: 10.9.0.0/16\n\
         filters:\n  include:\n    - {executable: [nginx, /opt/*], port: [443, 8000-8999]}\n    - role: server\n  exclude: {cidrs: 10.8.3.0/24, local_cidr: '::1'}\n\
         expect: {executable: nginx, role: client, networks: [office]}\n\
         sampling:\n  - match: {container: web, namespace: shop}\n    keep: 1 in 100\n  - keep: 1/10\n    per: []\n    also: [failed]\n",
    )
    .unwrap();
    let mut flags = Settings::default();
    flags.add_network("office=10.8.0.0/16,2001:db8:7::/48").unwrap();
    flags.add_network("lab=10.9.0.0/16").unwrap();
    flags.add_include("executable=nginx,executable=/opt/*,port=443,port=8000-8999").unwrap();
    flags.add_include("role=server").unwrap();
    flags.add_exclude("cidr=10.8.3.0/24,local_cidr=::1").unwrap();
    flags.add_expectation("executable=nginx,role=client,network=office").unwrap();
    flags.add_sampling("keep=1/100,container=web,namespace=shop").unwrap();
    flags.add_sampling("keep=1/10,per=,also=failed").unwrap();
    assert_eq!(file, flags);
    assert!(Policy::new(&file).is_ok());
}

/// Scenario: what only a file says: loopback, and a list of expectations of which one allows nothing.
/// Guarantees: as written.
#[test]
fn loopback_and_nothing_expected() {
    let file = read(
        "filters: {loopback: false}\nexpect:\n- {executable: a, ports: []}\n- {executable: b, port: 1}\n",
    )
    .unwrap();
    assert!(!file.filters.loopback && file.filters.include.is_empty());
    let ports: Vec<_> =
        file.expectations.0.iter().map(|rule| rule.target.ports.clone().unwrap().len()).collect();
    assert_eq!(ports, [0, 1]);
    assert_eq!(read("interval: 5s\n"), Ok(Settings::default()));
}

/// Scenario: mistakes in each section, several in one file, and one whose value came from the environment.
/// Guarantees: each at its line with what is valid; nothing of the latter's value.
#[test]
fn mistakes_have_lines() {
    for (text, words) in [
        ("networks: {office: 10.8.1.0/16}\n", &["c.yaml:1: networks.office: ", "write 10.8.0.0/16"][..]),
        ("networks:\n  off ice: 10.8.0.0/16\n", &["c.yaml:2", "no name of a network"]),
        ("filters:\n  include:\n    - prot: 443\n", &["c.yaml:3", "unknown key `prot`"]),
        (
            "filters:\n  exclude:\n    - port: http\n",
            &["c.yaml:3: filters.exclude[0].port: `http` is no port"],
        ),
        ("filters:\n  exclude:\n    - {}\n", &["c.yaml:3: filters.exclude[0]: ", "no condition"]),
        ("filters:\n  exclude: {ports: []}\n", &["c.yaml:2", "nothing would ever meet it"]),
        ("filters: {include: {port: 1, ports: 2}}\n", &["given twice"]),
        ("expect: {executable: nginx}\n", &["c.yaml:1: expect: ", "does not say what is expected"]),
        ("expect: {executable: [], port: 1}\n", &["`executable` has no value"]),
        ("sampling: {match: {port: 1}}\n", &["`keep` is missing"]),
        ("sampling: {keep: 50%}\n", &["c.yaml:1: sampling.keep: ", "1 in 100"]),
        ("sampling: {keep: 1/2, per: pod}\n", &["sampling.per: ", "namespace"]),
    ] {
        let lines = read(text).unwrap_err();
        assert!(words.iter().all(|word| lines[0].contains(word)), "{text}: {lines:#?}");
    }
    let lines = read("filters: {include: {port: x}, exclude: {port: y, role: z}}\nexpect: {role: both}\n")
        .unwrap_err();
    assert!(lines.len() >= 2, "{lines:#?}");
    let lines = read("networks: {office: '${env:WHERE}'}\nfilters: {include: [{cidr: ['${env:WHERE}']}]}\n")
        .unwrap_err();
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("reference") && !line.contains("s3cret")),
        "{lines:#?}"
    );
}
