//! Connections as fast as the machine makes them, with default settings: what of it arrives.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::agent::{Agent, Events};
use super::figure::Table;
use super::load::connections;
use super::sink::{Look, Sink};
use super::{Size, progress};
use crate::clock::{now, poll};
use crate::ledger::Ledger;
use crate::namespace::Namespace;

const EVENTS: f64 = 4.0;
const RATE: &str = "connections/s";
/// Three of the default interval.
const INTERVALS: Duration = Duration::from_secs(30);

/// Where the loops run.
struct Place {
    name: &'static str,
    clients: Namespace,
    /// The same as the clients' where there is none.
    servers: Option<Namespace>,
    address: Ipv4Addr,
    loops: usize,
}

pub(super) fn measure(size: Size) -> Table {
    let time = size.pick(Duration::from_secs(4), Duration::from_millis(500));
    let mut table = Table::default();
    let places = [one_loop, every_core, steered, between];
    for (number, place) in places.into_iter().enumerate() {
        progress(&format!("loss, {} of {}", number + 1, places.len()));
        match place() {
            Ok(place) => flood(&mut table, &place, time),
            Err(lacking) => table.say(&format!("place {}", number + 1), RATE, format!("not run: {lacking}")),
        }
    }
    table
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn on_loopback(name: &'static str, loops: usize) -> Result<Place, String> {
    Ok(Place { name, clients: Namespace::new()?, servers: None, address: Ipv4Addr::LOCALHOST, loops })
}

fn one_loop() -> Result<Place, String> {
    on_loopback("`lo`, one loop", 1)
}

fn every_core() -> Result<Place, String> {
    on_loopback("`lo`, a loop per core", cores())
}

fn steered() -> Result<Place, String> {
    let place = on_loopback("`lo` with RPS, a loop per core", cores())?;
    steer(&place.clients, "lo")?;
    Ok(place)
}

fn between() -> Result<Place, String> {
    let (clients, servers) = (Namespace::new()?, Namespace::new()?);
    clients.try_run(&format!("ip link add near type veth peer name far netns {}", servers.pid()))?;
    for (namespace, link, address) in [(&clients, "near", "10.77.0.1/24"), (&servers, "far", "10.77.0.2/24")]
    {
        namespace.try_run(&format!("ip address add {address} dev {link}"))?;
        namespace.try_run(&format!("ip link set {link} up"))?;
        steer(namespace, link)?;
    }
    let address = Ipv4Addr::new(10, 77, 0, 2);
    Ok(Place {
        name: "veth pair with RPS, a loop per core",
        clients,
        servers: Some(servers),
        address,
        loops: cores(),
    })
}

/// Lets every processor receive what this link gets. The link's files are in a mount of their own.
fn steer(namespace: &Namespace, link: &str) -> Result<(), String> {
    let mask = format!("{:x}", (1_u64 << cores().min(32)) - 1);
    let script =
        format!("mount -t sysfs sysfs /sys && echo {mask} >/sys/class/net/{link}/queues/rx-0/rps_cpus");
    let within = format!("--net={}", namespace.path().display());
    let command = ["unshare", "--mount", "sh", "-c", &script];
    let output =
        Command::new("nsenter").arg(within).args(command).output().map_err(|error| error.to_string())?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("no RPS: {}", complaint.trim())) }
}

fn flood(table: &mut Table, place: &Place, time: Duration) {
    let sink = Sink::start(Look::Inside);
    let agent = Agent::start(&sink, "", &[]);
    let before = agent.ledger();
    let made: usize = thread::scope(|scope| {
        let loops: Vec<_> = (0..place.loops).map(|_| scope.spawn(|| run(place, time))).collect();
        loops.into_iter().map(|each| each.join().expect("the loop goes as planned")).sum()
    });
    let told = before.kind("closed").delivered + before.kind("closed").dropped;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let _settled = agent.settle(told as usize + 2 * made);
    // An end that the kernel's programs did not see is found out by the walks of the next intervals.
    let expected = EVENTS * made as f64;
    let came = || (sink.received().logs.items as f64 >= expected).then_some(());
    let _late = poll(INTERVALS, came);
    let ledger = agent.ledger();
    let lost = |kind| ledger.kind(kind).dropped;
    table.put(place.name, RATE, vec![made as f64 / time.as_secs_f64()]);
    table.put(place.name, "events expected", vec![expected]);
    table.put(place.name, "events received", vec![sink.received().logs.items as f64]);
    table.put(place.name, "ends found out late", vec![missed(&ledger)]);
    table.put(place.name, "lost in the kernel", vec![["opened", "closed", "failed"].map(lost).iter().sum()]);
    table.put(place.name, "lost on the way to the sink", vec![Events::of(&ledger).dropped]);
    table.put(place.name, "lost anywhere, process records included", vec![ledger.dropped()]);
    agent.stop();
}

fn missed(ledger: &Ledger) -> f64 {
    ledger.sum("convis_connections_missed_total", &[]).unwrap_or_default()
}

fn run(place: &Place, time: Duration) -> usize {
    let servers = place.servers.as_ref().unwrap_or(&place.clients);
    let listener = servers.within(|| TcpListener::bind((place.address, 0)).expect("a listener"));
    let to: SocketAddr = listener.local_addr().expect("its address");
    let mut made = 0;
    let until = now() + time;
    place.clients.within(|| {
        connections(&listener, to, || {
            let more = now() < until;
            made += usize::from(more);
            more
        });
    });
    made
}
