//! What real databases have of it, against what the sockets did.
#![expect(clippy::expect_used, reason = "whatever does not go as planned fails the test, with its message")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use convis_integration::actors::{Scene, Truth, free_port};
use convis_integration::clock::{poll, wait_for};
use convis_integration::convis::{Convis, command};
use convis_integration::database::{Database, Kind, Options, Series, USER};
use convis_integration::event::Event;
use convis_integration::http;
use convis_integration::need::root;
use convis_integration::process::{built, run};
use convis_integration::traffic::Exchange;
use convis_integration::truth::{Report, Side};
use convis_integration::{need, turns};

const PATIENCE: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 10;
/// How long those connections are open at least whose durations are compared.
const HOLD: Duration = Duration::from_millis(50);

/// A copy of the traffic tool under a name of its own, whose series are this test's alone.
fn own_program(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::copy(built("traffic"), &path).expect("the traffic tool can be copied");
    path
}

/// Ten connections, half of them closed first by each end.
fn play(program: PathBuf) -> Truth {
    play_for(program, Duration::ZERO)
}

/// As [`play`], each open for at least this long.
fn play_for(program: PathBuf, hold: Duration) -> Truth {
    let exchange =
        Exchange { send: 12_345, expect: 67_890, first: Side::Server, hold, ..Exchange::default() };
    let one = Scene::one("127.0.0.1:0", exchange);
    Scene { count: CONNECTIONS, program: Some(program), ..one }.play()
}

/// The series of a metric of an executable.
fn selector(metric: &str, executable: &str, more: &str) -> String {
    format!("{metric}{{process_executable_name=\"{executable}\"{more}}}")
}

/// The sum of the last values of a metric at one end.
fn last(series: &[Series]) -> f64 {
    series.iter().filter_map(|series| series.samples.last()).map(|(_, value)| value).sum()
}

/// Figures that every way must agree on: a metric, the labels to select by, and the truth.
fn figures(truth: &Truth) -> Vec<(&'static str, String, f64)> {
    let mut figures = Vec::new();
    for (side, reports) in [(Side::Client, &truth.clients), (Side::Server, &truth.servers)] {
        let role = format!(",convis_connection_role=\"{side}\",server_port=\"{}\"", truth.server.port());
        let bytes = |of: fn(&Report) -> u64| exact(reports.iter().map(of).sum());
        let count = exact(reports.len() as u64);
        let io = "convis_tcp_connection_io_bytes_total";
        figures.extend([
            (io, format!("{role},network_io_direction=\"transmit\""), bytes(|end| end.written)),
            (io, format!("{role},network_io_direction=\"receive\""), bytes(|end| end.read)),
            ("convis_tcp_connection_opened_total", role.clone(), count),
            ("convis_tcp_connection_closed_total", role.clone(), count),
            ("convis_tcp_connection_active", role.clone(), 0.0),
            ("convis_tcp_connection_duration_seconds_count", role.clone(), count),
            ("convis_tcp_connection_duration_seconds_bucket", format!("{role},le=\"+Inf\""), count),
        ]);
    }
    figures
}

fn exact(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("a count of a test"))
}

/// Waits until a database has everything, then panics unless it is exactly the truth, told in order from zero.
fn check_written(database: &Database, truth: &Truth, executable: &str) {
    let name = database.name();
    for (metric, labels, expected) in figures(truth) {
        let selector = selector(metric, executable, &labels);
        let is_there = || {
            Some(database.samples(&selector))
                .filter(|series| last(series).to_bits() == expected.to_bits() && !series.is_empty())
        };
        let series = poll(PATIENCE, is_there).unwrap_or_else(|| {
            panic!("{name}: {selector} is not {expected} but {:#?}", database.samples(&selector))
        });
        for series in series {
            check_order(&name, metric, &series);
            assert_eq!(series.label("job"), executable, "{name}: {series:#?}");
            assert_eq!(series.label("instance").len(), 36, "{name}: {series:#?}");
            assert_eq!(series.label("otel_scope_name"), "convis", "{name}: {series:#?}");
            assert!(!series.label("host_name").is_empty(), "{name}: {series:#?}");
        }
        if expected > 0.0 {
            // Extrapolation makes it more; without a first zero it would be nothing at all.
            let increase = database.now(&format!("sum(increase({selector}[5m]))"));
            assert!(last(&increase) >= expected, "{name}: {selector}: {increase:#?}");
        }
    }
}

/// Counts start with a zero and never fall; times ascend.
fn check_order(name: &str, metric: &str, series: &Series) {
    let ascends = series.samples.windows(2).all(|two| two[0].0 < two[1].0);
    assert!(ascends, "{name}: {series:#?}");
    if metric != "convis_tcp_connection_active" {
        assert_eq!(series.samples.first().map(|(_, value)| value.to_bits()), Some(0), "{name}: {series:#?}");
        assert!(series.samples.windows(2).all(|two| two[0].1 <= two[1].1), "{name}: {series:#?}");
    }
}

/// Waits until no series of an executable has a present value, long before the five minutes for which a sample counts.
fn check_gone(database: &Database, executable: &str) {
    for metric in [
        "{__name__=~\"convis_.*\",process_executable_name=\"EXE\"}",
        "target_info{process_executable_name=\"EXE\"}",
    ] {
        let expression = format!("count({})", metric.replace("EXE", executable));
        wait_for(&format!("{}: the end of {expression}", database.name()), PATIENCE, || {
            database.now(&expression).is_empty().then_some(())
        });
    }
}

/// How often a sink failed or dropped something, by convis's own figures.
fn troubles(convis: &Convis) -> Vec<String> {
    let (_, page) = http::get(convis.admin(), "/metrics").expect("the admin port answers");
    let counts = |line: &&str| {
        let is_one = line.starts_with("convis_sink_failures_total")
            || line.starts_with("convis_sink_retries_total")
            || (line.starts_with("convis_events_dropped_total") && line.contains("prometheus"));
        is_one && !line.ends_with(" 0")
    };
    page.lines().filter(counts).map(str::to_owned).collect()
}

/// Scenario: ten connections of an executable of its own, sent at once to Prometheus 2 by default (2.0, which it does not
/// know), to Prometheus 3 by 1.0 and, with a password, by 2.0, to `VictoriaMetrics`, and fetched by Prometheus 3.
/// Guarantees: every database has exactly what the sockets did, in order, from zero; none complains, nothing is dropped
/// or tried again; once the processes are gone the series are gone too, with their `target_info`.
#[test]
fn databases_have_the_truth() {
    need!(root());
    let _turn = turns::together();
    let page = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let start = |kind, options| Database::start(kind, options);
    let plain = Options::default();
    let written = [
        (need!(start(Kind::Prometheus2, plain)), ""),
        (need!(start(Kind::Prometheus3, plain)), ",version=1"),
        (need!(start(Kind::Prometheus3, Options { password: true, ..plain })), ",version=2"),
        (need!(start(Kind::Victoria, plain)), ""),
    ];
    let fetched = need!(start(Kind::Prometheus3, Options { scrapes: Some(page), ..plain }));

    let mut arguments =
        vec!["--interval".to_owned(), "1s".to_owned(), "--series-ttl".to_owned(), "1s".to_owned()];
    for sink in written
        .iter()
        .map(|(database, more)| database.sink() + more)
        .chain([format!("prometheus,listen={page}")])
    {
        arguments.extend(["--sink".to_owned(), sink]);
    }
    let convis = Convis::start(&arguments);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let executable = "prom-truth";
    let truth = play(own_program(&folder, executable));

    check_fetched(&fetched, &truth, executable);
    for (database, _) in &written {
        check_written(database, &truth, executable);
    }
    for database in written.iter().map(|(database, _)| database).chain([&fetched]) {
        check_gone(database, executable);
        assert_eq!(database.complaints(), Vec::<String>::new(), "{}", database.name());
    }
    assert_eq!(troubles(&convis), Vec::<String>::new(), "{}", convis.stderr());
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("WARN"), "{}", stopped.stderr);
}

/// Scenario: ten connections that last 50 ms and more, sent with native histograms to Prometheus 3, and to Prometheus 2, which
/// knows 1.0 only.
/// Guarantees: in the former, histograms that have exactly as many durations as there were connections, with the sum and the
/// quantiles that the events' durations have, from zero, and no classic series; in the latter classic ones, as exact; nobody
/// complains; once the processes are gone the histograms are gone too.
#[test]
fn native_histograms_have_the_truth() {
    need!(root());
    let _turn = turns::together();
    let start = |kind, options| Database::start(kind, options);
    let native = need!(start(Kind::Prometheus3, Options { native: true, ..Options::default() }));
    let classic = need!(start(Kind::Prometheus2, Options::default()));
    let mut arguments = ["--interval", "1s", "--series-ttl", "1s"].map(str::to_owned).to_vec();
    for database in [&native, &classic] {
        arguments.extend(["--sink".to_owned(), database.sink() + ",native_histograms=true"]);
    }
    let convis = Convis::start(&arguments);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let executable = "prom-native";
    let truth = play_for(own_program(&folder, executable), HOLD);
    let events = convis.wait_for_events(truth.server.port(), 4 * CONNECTIONS);

    check_written(&classic, &truth, executable);
    for side in [Side::Client, Side::Server] {
        check_native(&native, &truth, executable, side, &durations(&events, executable, side));
    }
    let parts = selector("", executable, ",__name__=~\"convis_.*_(bucket|sum|count)\"");
    assert_eq!(
        native.now(&format!("count(last_over_time({parts}[10m]))")).len(),
        0,
        "classic ones beside the native"
    );
    for database in [&native, &classic] {
        check_gone(database, executable);
        assert_eq!(database.complaints(), Vec::<String>::new(), "{}", database.name());
    }
    assert_eq!(troubles(&convis), Vec::<String>::new(), "{}", convis.stderr());
    let stopped = convis.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("WARN"), "{}", stopped.stderr);
}

/// What the closed events of an executable's connections at one end say, in seconds, from the shortest.
fn durations(events: &[Event], executable: &str, side: Side) -> Vec<f64> {
    let is_mine = |event: &&Event| {
        event.resource.get("process.executable.name").is_some_and(|name| name == executable)
            && event.attributes["convis.connection.role"] == side.to_string()
    };
    let duration = |event: &Event| event.attributes.get("convis.connection.duration")?.as_f64();
    let mut durations: Vec<_> = events.iter().filter(is_mine).filter_map(duration).collect();
    durations.sort_by(f64::total_cmp);
    durations
}

/// Panics unless the database has the durations of one end as a native histogram. `expected` ascend.
fn check_native(database: &Database, truth: &Truth, executable: &str, side: Side, expected: &[f64]) {
    let reports = if side == Side::Client { &truth.clients } else { &truth.servers };
    assert_eq!((reports.len(), expected.len()), (CONNECTIONS, CONNECTIONS), "{side}");
    for (report, duration) in in_order(reports).iter().zip(expected) {
        assert!((report - duration).abs() < 0.25, "{side}: the sockets say {report}, convis {duration}");
        assert!(*duration >= HOLD.as_secs_f64(), "{side}: {duration}");
    }
    let more = format!(",convis_connection_role=\"{side}\",server_port=\"{}\"", truth.server.port());
    let series = selector("convis_tcp_connection_duration_seconds", executable, &more);
    let ask = |function: &str| {
        // Also once the series has ended.
        let answer = database.now(&format!("{function}last_over_time({series}[10m]))"));
        last(&answer)
    };
    let is_there =
        || (ask("histogram_count(").to_bits() == exact(CONNECTIONS as u64).to_bits()).then_some(());
    assert!(poll(PATIENCE, is_there).is_some(), "{side}: {}", ask("histogram_count("));
    let sum = expected.iter().sum::<f64>();
    assert!((ask("histogram_sum(") - sum).abs() < 1e-9, "{side}: {} is not {sum}", ask("histogram_sum("));
    // It began with nothing: all of it is an increase.
    let increase = last(&database.now(&format!("histogram_count(increase({series}[5m]))")));
    assert!(increase >= exact(CONNECTIONS as u64), "{side}: {increase}");
    let buckets = database.buckets(&format!("last_over_time({series}[10m])"));
    for [above, up_to, count] in &buckets {
        let fitting = expected.iter().filter(|of| above < *of && *of <= up_to).count();
        assert_eq!(count.to_bits(), exact(fitting as u64).to_bits(), "{side}: {expected:?} {buckets:?}");
    }
    let held: f64 = buckets.iter().map(|[_, _, count]| count).sum();
    assert_eq!(held.to_bits(), exact(CONNECTIONS as u64).to_bits(), "{side}: {buckets:?}");
    // A quantile lies in the bucket of the measurement. Those of an octave are at least 32, as all lie within five.
    for (quantile, of) in [(0.05, expected[0]), (0.55, expected[5]), (0.95, expected[9])] {
        let told = ask(&format!("histogram_quantile({quantile}, "));
        assert!(
            (told / of).log2().abs() < 1.0 / 32.0,
            "{side}: {quantile} is {told}, measured was {of}: {expected:?}"
        );
    }
}

/// How long connections were open by their own processes, in seconds, from the shortest.
fn in_order(reports: &[Report]) -> Vec<f64> {
    let mut open: Vec<_> = reports
        .iter()
        .map(|report| Duration::from_nanos(report.ended - report.opened).as_secs_f64())
        .collect();
    open.sort_by(f64::total_cmp);
    open
}

/// A scrape has no zeros of its own and may come late: only last values are compared.
fn check_fetched(database: &Database, truth: &Truth, executable: &str) {
    for (metric, labels, expected) in figures(truth) {
        let selector = selector(metric, executable, &labels);
        let is_there = || (last(&database.samples(&selector)).to_bits() == expected.to_bits()).then_some(());
        assert!(
            poll(PATIENCE, is_there).is_some(),
            "{}: {selector} is not {expected} but {:#?}",
            database.name(),
            database.samples(&selector)
        );
    }
}

/// Scenario: a wrong password, and none, for a Prometheus that asks for one.
/// Guarantees: one warning that says what to do and holds no password, everything counted as dropped, nothing stored.
#[test]
fn a_wrong_password_is_said_once() {
    need!(root());
    let _turn = turns::together();
    let database =
        need!(Database::start(Kind::Prometheus3, Options { password: true, ..Options::default() }));
    let (user, password) = USER;
    let wrong = database.sink().replace(&format!("password={password}"), "password=hunter2-and-more");
    let (none, _) = wrong.split_once(",username=").expect("the sink has a user");
    for sink in [&wrong, none] {
        let convis = Convis::start(&["--interval", "1s", "--sink", sink]);
        Scene::one("127.0.0.1:0", Exchange::default()).play();
        let dropped =
            || troubles(&convis).iter().any(|line| line.contains("reason=\"rejected\"")).then_some(());
        wait_for("rejected records", PATIENCE, dropped);
        let stderr = convis.stop().stderr;
        let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warnings.len(), 1, "{stderr}");
        assert!(
            warnings[0].contains("401 Unauthorized") && warnings[0].contains("check the credentials"),
            "{stderr}"
        );
        assert!(!stderr.contains("hunter2"), "{user}: {stderr}");
    }
    assert_eq!(database.now("count({__name__=~\"convis_.*\"})").len(), 0);
}

/// Scenario: the port to be fetched from is taken.
/// Guarantees: one line that names it and the remedy, exit code 64.
#[test]
fn a_taken_port_ends_it_at_once() {
    need!(root());
    let _turn = turns::together();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let mut command = command();
    command.args(["--admin", "off", "--sink", &format!("prometheus,listen={address}")]);
    let (status, process) = run("convis", command, PATIENCE);
    assert_eq!(status.code(), Some(64));
    let stderr = process.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains(&format!("sink prometheus: cannot listen on {address}: Address already in use")),
        "{stderr}"
    );
}
