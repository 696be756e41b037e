//! Options of a file below those of the command line: each is the flag of its name, and clap reads both.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _};
use convis_otel_config::Setting;
use convis_otel_config::yaml::Errors;

use super::{Asked, Cli, Run, parse};

impl Run {
    /// These options, and where the command line says nothing, the file's. `None` when one of those is wrong, which is
    /// noted in `errors`.
    pub fn with(&self, settings: &[Setting], errors: &Errors) -> Option<Self> {
        let command = Cli::command();
        let matches = command.clone().try_get_matches_from(&self.arguments).ok()?;
        let (name, matches) = matches.subcommand().map_or((None, &matches), |(name, own)| (Some(name), own));
        // The program, and `run` if it is there; what is given stays last.
        let (start, given) = self.arguments.split_at_checked(1 + usize::from(name.is_some()))?;
        let mut arguments = start.to_vec();
        let mut fine = true;
        for setting in settings {
            let flags = flags(setting);
            let alone = std::iter::once("convis".into()).chain(flags.iter().cloned());
            match parse(alone) {
                Ok(_) if is_given(&command, matches, &setting.flag) => {}
                Ok(_) => arguments.extend(flags),
                Err(error) => {
                    fine = false;
                    errors.at(&setting.node, reason(&error.to_string(), setting));
                }
            }
        }
        arguments.extend_from_slice(given);
        match parse(arguments) {
            Ok(Asked::Run(run)) if fine => Some(Self { arguments: self.arguments.clone(), ..*run }),
            _ => None,
        }
    }
}

fn flags(setting: &Setting) -> Vec<OsString> {
    let flag = &setting.flag;
    let all = setting.values.iter().map(|value| match value {
        Some(value) => format!("--{flag}={value}"),
        None => format!("--{flag}"),
    });
    all.map(OsString::from).collect()
}

pub(super) fn is_given(command: &Command, matches: &ArgMatches, flag: &str) -> bool {
    let known = command.get_arguments().find(|argument| argument.get_long() == Some(flag));
    known.is_some_and(|argument| {
        matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
    })
}

/// clap's reason without its talk of flags; without the value, when that came from a reference.
fn reason(error: &str, setting: &Setting) -> String {
    let why = error.strip_suffix("; see convis --help").unwrap_or(error);
    let why = why.split_once(&format!("for '--{} ", setting.flag)).map_or(why, |(_, why)| why);
    let why = why.split_once("': ").map_or(why, |(_, why)| why);
    setting.node.refuse(why)
}

#[cfg(test)]
mod tests {
    use convis_otel_config::{ConfigFile, SETTINGS, Sources};

    use super::*;

    /// The options of a command line over a file, or what is wrong with the file.
    fn over(arguments: &[&str], file: &str) -> Result<Run, Vec<String>> {
        let all = std::iter::once("convis").chain(arguments.iter().copied()).map(Into::into);
        let Ok(Asked::Run(given)) = parse(all) else { panic!("{arguments:?}") };
        let sources = Sources { env: &|_| None, read_file: &|path| std::fs::read(path), warn: &|_| () };
        let errors = Errors::new("f");
        let file = ConfigFile::read(file.as_bytes(), &sources, &errors);
        let options = given.with(&file.settings, &errors);
        let lines = errors.into_lines();
        assert_eq!(options.is_some(), lines.is_empty());
        options.ok_or(lines)
    }

    /// Scenario: a file with options, and a command line that has some of them, with the word `run` and without.
    /// Guarantees: the command line wins, flag by flag; what neither has is the default.
    #[test]
    fn the_command_line_wins() {
        use std::time::Duration;

        let file = "interval: 1m30s\nmax_connections: 100\nevents: [opened]\ndocker_host: unix:///a\nk8s_labels: true\n";
        for word in [&[][..], &["run"][..]] {
            let arguments =
                [word, &["--max-connections", "7", "--docker-host=unix:///b", "--sink", "stdout"]].concat();
            let run = over(&arguments, file).unwrap();
            assert_eq!((run.interval, run.max_connections), (Some(Duration::from_secs(90)), Some(7)));
            assert_eq!(run.containers.docker_host.len(), 1);
            assert!(format!("{:?}", run.containers.docker_host).contains("/b"));
            assert!(run.containers.k8s_labels && !run.include_self);
            assert!(run.events.is_some_and(|kinds| kinds.opened && !kinds.closed));
            assert_eq!((run.sinks.len(), run.ring_bytes), (1, super::super::DEFAULT_RING_BYTES));
            let same: Vec<OsString> = std::iter::once("convis").chain(arguments).map(Into::into).collect();
            assert_eq!(run.arguments, same);
        }
    }

    /// Scenario: options that a flag refuses.
    /// Guarantees: all are told, each at its line, in the flag's words, also where the command line has another value.
    #[test]
    fn what_a_flag_refuses_stands_at_its_line() {
        let lines = over(
            &["--interval", "5s"],
            "interval: 0s\nring_bytes: 5000\nadmin: here\nmax_connections: 0\ncri_endpoint: [unix:///a, b]\n",
        );
        let lines = lines.unwrap_err();
        let wants = [
            "f:1: interval: `0s` is not valid; it must be more than 0",
            "f:2: ring_bytes: `5000` is not valid; expected a power of two from 4096 to 1024M, such as 256K or 8M",
            "f:3: admin: `here` is not valid; expected an address such as 127.0.0.1:8469, or off",
            "f:4: max_connections: `0` is not valid; 0 is not in 1..=16777216",
            "f:5: cri_endpoint: ",
        ];
        assert_eq!(lines.len(), wants.len(), "{lines:#?}");
        for (line, want) in lines.iter().zip(wants) {
            assert!(line.starts_with(want), "{line}");
        }
    }

    /// Scenario: all settings of a file beside all flags.
    /// Guarantees: every setting is a flag, and every flag a setting but for those that a file has otherwise or not at all.
    #[test]
    fn settings_are_flags() {
        const OTHERWISE: [&str; 13] = [
            "sink",
            "network",
            "include",
            "exclude",
            "expect",
            "sample",
            "config",
            "duration",
            "record",
            "replay",
            "replay-speed",
            "help",
            "version",
        ];
        let command = Cli::command();
        let flags: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        for field in SETTINGS {
            let flag = field.name.replace('_', "-");
            assert!(flags.contains(&flag.as_str()), "{flag}");
        }
        for flag in flags.iter().filter(|flag| !OTHERWISE.contains(*flag)) {
            let name = flag.replace('-', "_");
            assert!(SETTINGS.iter().any(|field| field.name == name), "{name}");
        }
    }
}
