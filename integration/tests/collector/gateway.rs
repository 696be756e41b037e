use convis_integration::actors::{Truth, free_port};
use convis_integration::clock::wait_for;
use convis_integration::collector::{Running, pipeline};
use convis_integration::convis::Convis;
use convis_integration::need::root;
use convis_integration::oracle::Oracle;
use convis_integration::otlp;
use convis_integration::{need, sums, turns};

use super::{EVENTS, PATIENCE, check_events, events, play};

struct Tiers {
    oracle: Oracle,
    gateway_port: u16,
}

impl Tiers {
    fn gateway(&self) -> Result<Running, String> {
        let url = |base: &str| format!("http://127.0.0.1:{}/{base}", self.oracle.ports().http);
        let variables = [
            ("GATEWAY_ADDRESS", "127.0.0.1".to_owned()),
            ("GATEWAY_PORT", self.gateway_port.to_string()),
            ("LOGS_URL", url("loki")),
            ("METRICS_URL", url("mimir")),
        ];
        Running::start(&pipeline("gateway.yaml"), &variables, &[self.gateway_port])
    }

    fn agent(&self, port: u16) -> Result<Running, String> {
        let variables = [
            ("GATEWAY", format!("127.0.0.1:{}", self.gateway_port)),
            ("GATEWAY_INSECURE", "true".to_owned()),
            ("OTLP_GRPC_PORT", port.to_string()),
        ];
        Running::start(&pipeline("agent.yaml"), &variables, &[port])
    }

    /// Waits until the backends have everything of the traffic, and compares it.
    fn check(&self, truth: &Truth, name: &str) {
        let port = truth.server.port();
        let logs = || -> Vec<_> {
            self.oracle.requests().iter().flat_map(|came| otlp::logs_at(came.message(), port)).collect()
        };
        let points = || -> Vec<_> {
            self.oracle.requests().iter().flat_map(|came| otlp::points_at(came.message(), port)).collect()
        };
        wait_for(&format!("what came {name}"), PATIENCE, || {
            (logs().len() >= EVENTS && sums::complete(&points(), truth)).then_some(())
        });
        check_events(&events(logs(), truth), truth, name);
        sums::check(&points(), truth);
    }
}

/// Scenario: convis sends to the agent's Collector, which sends to the gateway's, which sends logs and metrics to two
/// backends. The gateway is stopped, there is traffic, and it comes again.
/// Guarantees: each backend has what is its own; every event arrives once, and the totals are the truth, before and after.
#[test]
fn two_tiers_lose_nothing_while_the_gateway_is_replaced() {
    need!(root());
    let _turn = turns::together();
    let tiers = Tiers { oracle: need!(Oracle::start("none")), gateway_port: free_port() };
    let gateway = need!(tiers.gateway());
    let agent_port = free_port();
    let agent = need!(tiers.agent(agent_port));
    let sink = format!("otlp,endpoint=http://127.0.0.1:{agent_port},protocol=grpc");
    let convis = Convis::start(&["--interval", "1s", "--sink", &sink]);
    let before = play();
    tiers.check(&before, "before");

    gateway.stop();
    let between = play();
    wait_for("the agent to take the events", PATIENCE, || {
        let account = convis.ledger().events_of("otlp");
        (account.sent >= 2.0 * EVENTS as f64).then_some(())
    });
    let gateway = need!(tiers.gateway());
    tiers.check(&between, "while the gateway was away");
    tiers.check(&before, "before, and not again");

    assert!(convis.stop().status.success());
    agent.stop();
    gateway.stop();
    for request in tiers.oracle.requests() {
        let path = if request.signal() == "logs" { "/loki/v1/logs" } else { "/mimir/v1/metrics" };
        assert_eq!(request.field("path"), path);
    }
}
