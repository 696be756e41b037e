//! What goes with `--replay`.

use clap::CommandFactory as _;

use super::underlay::is_given;
use super::{Cli, Run};
use crate::fatal::Fatal;

/// Flags about what a recording has settled.
const CAPTURE_ONLY: [&str; 10] = [
    "probes",
    "ring-bytes",
    "max-connections",
    "include-self",
    "interval",
    "update-interval",
    "container-runtime",
    "docker-host",
    "cri-endpoint",
    "container-labels",
];

/// How fast a recording goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the sinks take it.
    Max,
    /// So many times as fast as it was recorded.
    Times(f64),
}

impl Speed {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.strip_suffix('x').and_then(|number| number.parse().ok());
        times
            .filter(|times: &f64| times.is_normal() && *times > 0.0)
            .map(Self::Times)
            .ok_or_else(|| "expected max, or how many times as fast, such as 1x or 0.5x".to_owned())
    }
}

impl Run {
    /// Refuses flags that would change nothing in a replay. In a file they are for capturing, and do no harm.
    ///
    /// # Errors
    /// One of them is on the command line.
    pub fn refuse_capture_options(&self) -> Result<(), Fatal> {
        let command = Cli::command();
        let Ok(matches) = command.clone().try_get_matches_from(&self.arguments) else {
            return Ok(());
        };
        let matches = matches.subcommand().map_or(&matches, |(_, own)| own);
        match CAPTURE_ONLY.iter().find(|flag| is_given(&command, matches, flag)) {
            Some(flag) => Err(Fatal::Usage(format!(
                "--{flag} says how to capture and changes nothing in a recording: leave it out with --replay; \
                 see convis --help"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, parse};
    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, Fatal> {
        let all = std::iter::once("convis").chain(arguments.iter().copied()).map(Into::into);
        match parse(all)? {
            Asked::Run(run) => Ok(*run),
            other => panic!("{other:?}"),
        }
    }

    /// Scenario: each flag of capturing beside `--replay`, with the word `run` and without; flags that say what is told.
    /// Guarantees: the former are refused by name, the latter are not; all names are flags.
    #[test]
    fn what_is_recorded_cannot_be_chosen() {
        let value = |flag: &str| match flag {
            "probes" => "=kprobe",
            "ring-bytes" => "=4096",
            "max-connections" => "=1",
            "interval" | "update-interval" => "=5s",
            "container-runtime" => "=none",
            "docker-host" | "cri-endpoint" => "=unix:///a",
            "container-labels" => "=a",
            _ => "",
        };
        for word in [&[][..], &["run"][..]] {
            for flag in CAPTURE_ONLY {
                let given = format!("--{flag}{}", value(flag));
                let error =
                    run(&[word, &["--replay", "f", &given]].concat()).unwrap().refuse_capture_options();
                assert!(error.unwrap_err().to_string().starts_with(&format!("--{flag} ")), "{flag}");
            }
            let fine =
                ["--replay", "f", "--exclude", "port=1", "--metric-resource", "host", "--duration", "1s"];
            run(&[word, &fine].concat()).unwrap().refuse_capture_options().unwrap();
        }
    }

    /// Scenario: a recording of a replay, a speed without one, speeds that are none.
    /// Guarantees: refused; speeds are understood.
    #[test]
    fn speeds() {
        for wrong in [
            &["--replay", "a", "--record", "b"][..],
            &["--replay-speed", "1x"][..],
            &["--replay", "a", "--replay-speed", "0x"][..],
            &["--replay", "a", "--replay-speed", "-1x"][..],
            &["--replay", "a", "--replay-speed", "fast"][..],
            &["--replay", "a", "--replay-speed", "2"][..],
        ] {
            assert!(run(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(run(&[]).unwrap().replay_speed, Speed::Max);
        let slow = run(&["--replay", "a", "--replay-speed", "0.5x"]).unwrap();
        assert_eq!(slow.replay_speed, Speed::Times(0.5));
    }
}
