//! The scenario suite on other kernels, in virtual machines.

use convis_integration::need;
use convis_integration::vm::kernels::Kernel;
use convis_integration::vm::matrix;

/// Plans that cannot see what the scenario asks for; any other skip is a failure. `auto` is among them because the
/// suite does not know what it stands for.
const LACKING: [(&str, &str); 2] =
    [("auto", "owners.uring_accept_peer_closes"), ("tracepoint", "owners.uring_accept_peer_closes")];

/// What kernels lack: xfrm's policies in Debian's cloud kernels, Landlock for TCP before 6.7, MPTCP in 5.10's.
const NOT_IN_EVERY_KERNEL: [&str; 5] =
    ["failures.blocked_by_policy", "failures.denied_by_module", "mptcp.both", "mptcp.client", "mptcp.server"];

fn all_scenarios_pass_on(name: &str) {
    let report = need!(Kernel::named(name).and_then(|kernel| matrix::run(&kernel)));
    let outcome = &report.outcome;
    assert!(report.is_good(), "{report}\n{}\nconsole:\n{}", outcome.output, outcome.console);
    for plan in &report.plans {
        for (scenario, reason) in &plan.skipped {
            let expected = LACKING.contains(&(plan.name.as_str(), scenario.as_str()))
                || NOT_IN_EVERY_KERNEL.contains(&scenario.as_str());
            assert!(expected, "{}: {} skipped {scenario}: {reason}", report.build, plan.name);
        }
    }
}

/// Scenario: Debian 11's kernel, the oldest supported.
/// Guarantees: every scenario passes, with each way to see connections.
#[test]
fn linux_5_10() {
    all_scenarios_pass_on("5.10");
}

/// Scenario: Debian 12's kernel.
/// Guarantees: the same.
#[test]
fn linux_6_1() {
    all_scenarios_pass_on("6.1");
}

/// Scenario: Debian 13's kernel.
/// Guarantees: the same.
#[test]
fn linux_6_12() {
    all_scenarios_pass_on("6.12");
}

/// Scenario: a long-term kernel from the backports.
/// Guarantees: the same.
#[test]
fn linux_6_18() {
    all_scenarios_pass_on("6.18");
}

/// Scenario: the newest kernel that Debian has.
/// Guarantees: the same.
#[test]
fn linux_newest() {
    all_scenarios_pass_on("newest");
}

/// Scenario: Debian 13's kernel on the other supported processor.
/// Guarantees: every scenario passes, with convis's own choice and with kprobes.
#[test]
fn aarch64_6_12() {
    all_scenarios_pass_on("arm64-6.12");
}
