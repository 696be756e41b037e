//! The scenario suite on a kernel, in every way convis can see connections there.

use std::fmt;
use std::time::Duration;

use super::arch::Arch;
use super::boot::{self, Outcome};
use super::kernels::Kernel;

const LIMIT: Duration = Duration::from_mins(15);
const HEADING: &str = "== ";

/// How much of the suite is played.
struct Extent {
    /// The values of `--probes`.
    plans: &'static [&'static str],
    /// Of the mix: enough for all kinds of ends, few enough for an interpreted machine.
    connections: usize,
}

impl Extent {
    /// On aarch64, `auto` stands for trampolines where there are any, and tracepoints alone do not see which attempts
    /// fail without a segment.
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self { plans: &["auto", "fentry", "kprobe", "tracepoint"], connections: 200 },
            Arch::Aarch64 => Self { plans: &["auto", "kprobe"], connections: 100 },
        }
    }
}

/// What became of the suite on one kernel.
#[derive(Debug)]
pub struct Report {
    /// Suite and release.
    pub build: String,
    /// What it runs on.
    pub arch: Arch,
    /// One after the other; fewer when the machine ended early.
    pub plans: Vec<Plan>,
    /// The machine's own end and output.
    pub outcome: Outcome,
}

/// What became of the suite with one plan.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The value of `--probes`.
    pub name: String,
    /// How many scenarios passed.
    pub passed: usize,
    /// The lines of those that failed.
    pub failed: Vec<String>,
    /// Those that were skipped, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Whether the suite got to its last line.
    pub complete: bool,
}

/// Runs it; an error says what the host lacks.
pub fn run(kernel: &Kernel) -> Result<Report, String> {
    let kept = kernel.get()?;
    let outcome = boot::run(&kept, &script(&Extent::of(kernel.arch)), LIMIT)?;
    Ok(Report { build: kept.build, arch: kernel.arch, plans: read(&outcome.output), outcome })
}

impl Report {
    /// Whether everything ran and nothing failed.
    pub fn is_good(&self) -> bool {
        let names = self.plans.iter().map(|plan| plan.name.as_str());
        self.outcome.status == Some(0)
            && names.eq(Extent::of(self.arch).plans.iter().copied())
            && self.plans.iter().all(|plan| plan.complete && plan.failed.is_empty() && plan.passed > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<6} {:<40}", self.arch.debian(), self.build)?;
        for plan in &self.plans {
            write!(out, " {} {}/{}/{}", plan.name, plan.passed, plan.failed.len(), plan.skipped.len())?;
        }
        let end = if self.is_good() { "ok" } else { "FAILED" };
        write!(out, "  {end} in {:.0} s", self.outcome.took.as_secs_f64())?;
        // First, because whoever keeps the whole output may keep only its beginning and its end.
        for plan in &self.plans {
            for failed in &plan.failed {
                write!(out, "\nFAILED with {}: {failed}", plan.name)?;
            }
            if !plan.complete {
                write!(out, "\n{} did not end", plan.name)?;
            }
        }
        Ok(())
    }
}

/// Each plan runs even when another one failed.
fn script(extent: &Extent) -> String {
    let connections = extent.connections;
    let suites = extent.plans.iter().map(|plan| {
        format!(
            "echo '{HEADING}{plan}'\n\
             scenario --convis /bin/convis --probes {plan} --connections {connections} --seed 1 || status=1\n"
        )
    });
    let checks = "status=0\nconvis --version || status=1\nconvis check || status=1\n";
    format!("{checks}{}exit $status\n", suites.collect::<String>())
}

fn read(output: &str) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.strip_prefix(HEADING) {
            plans.push(Plan { name: name.to_owned(), ..Plan::default() });
        } else if let Some(plan) = plans.last_mut() {
            plan.read(line);
        }
    }
    plans
}

impl Plan {
    fn read(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ok" => self.passed += 1,
            "FAILED" => self.failed.push(rest.to_owned()),
            "skipped" => {
                let (name, reason) = rest.split_once(": ").unwrap_or((rest, ""));
                self.skipped.push((name.to_owned(), reason.to_owned()));
            }
            "scenario:" => self.complete = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the output of a machine whose second plan failed once and whose third one died.
    /// Guarantees: everything is attributed to its plan, and the missing last line is noticed.
    #[test]
    fn the_output_is_read_plan_by_plan() {
        let plans = read(
            "convis 0.1.0\n== auto\nok handshake\nskipped mptcp: not in this kernel\nscenario: 1 passed, 0 failed, 1 skipped\n\
             == fentry\nFAILED reset: two: three\nok bytes\nscenario: 1 passed, 1 failed, 0 skipped\n== kprobe\nok handshake\n",
        );
        let names: Vec<_> =
            plans.iter().map(|plan| (plan.name.as_str(), plan.passed, plan.complete)).collect();
        assert_eq!(names, [("auto", 1, true), ("fentry", 1, true), ("kprobe", 1, false)]);
        assert_eq!(plans[0].skipped, [("mptcp".to_owned(), "not in this kernel".to_owned())]);
        assert_eq!(plans[1].failed, ["reset: two: three"]);
    }

    /// Scenario: the report on the same machine.
    /// Guarantees: what failed stands in its first lines.
    #[test]
    fn a_report_begins_with_what_failed() {
        let output = "== auto\nFAILED reset: two: three\nok bytes\nscenario: 1 passed, 1 failed, 0 skipped\n== fentry\nok reset\n";
        let outcome = Outcome {
            status: None,
            output: output.to_owned(),
            console: String::new(),
            took: Duration::from_secs(9),
        };
        let report = Report {
            build: "suite_1.2".to_owned(),
            arch: Arch::X86_64,
            plans: read(&outcome.output),
            outcome,
        };
        let report = report.to_string();
        let lines: Vec<_> = report.lines().collect();
        assert!(lines[0].ends_with("auto 1/1/0 fentry 1/0/0  FAILED in 9 s"), "{report}");
        assert_eq!(lines[1..], ["FAILED with auto: reset: two: three", "fentry did not end"]);
    }
}
