use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{ended, metrics};
use crate::batch::Slice;
use crate::outcome::Exporter as _;
use crate::prometheus::scrape::{Scrape, Sites};
use crate::testing::assert_golden;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn ask(address: SocketAddr, line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Scenario: a page is fetched before the first batch, after one, and after all series have ended; other requests.
/// Guarantees: the format's media type, the series of the last batch, none that has ended; an answer to anything.
#[tokio::test]
async fn the_last_batch_is_served() {
    let mut scrape = Sites::default().bind(ANY, &["host.name".to_owned()]).unwrap();
    let address = scrape.address();
    scrape.serve();
    assert!(ask(address, "GET /metrics").await.0.starts_with("http/1.0 200"));
    let mut bodies = Vec::new();
    for batch in [metrics(0), ended(10)] {
        let payload = scrape.encode(&[Slice::whole(batch)]);
        scrape.send(&payload).await;
        let (head, body) = ask(address, "GET /metrics?x=y").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        bodies.push(body);
    }
    let rest = Slice { pruned: true, ..Slice::whole(metrics(20)) };
    assert!(scrape.encode(&[rest]).body.is_empty(), "what remains of a batch is no page");
    assert_golden("prometheus_page.txt", &bodies[0]);
    assert_eq!(bodies[1].lines().filter(|line| !line.starts_with('#')).count(), 0, "{}", bodies[1]);
    assert!(ask(address, "GET /").await.0.starts_with("http/1.0 404"));
    assert!(ask(address, "POST /metrics").await.0.starts_with("http/1.0 405"));
    drop(scrape);
    let gone = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

/// Scenario: the address is taken.
/// Guarantees: one line that says so and what to do.
#[tokio::test]
async fn a_taken_address_is_an_error() {
    let first = Sites::default().bind(ANY, &[]).unwrap();
    let address = first.address();
    let error = Sites::default().bind(address, &[]).err().unwrap();
    assert_eq!(
        error,
        format!("cannot listen on {address}: Address already in use (os error 98); choose another `listen`")
    );
}

/// Scenario: a sink follows another one at its address; the old one writes once more, then goes; a visitor stays connected.
/// Guarantees: a page at every moment, on old connections too: the old one's until the new one has written, then only the
/// new one's; the address is free once both are gone.
#[tokio::test]
async fn an_address_is_handed_over_with_its_page() {
    let mut sites = Sites::default();
    let port = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
    let mut old = sites.bind(port, &["host.name".to_owned()]).unwrap();
    old.serve();
    let page = |scrape: &mut Scrape, at| scrape.encode(&[Slice::whole(metrics(at))]);
    let first = page(&mut old, 0);
    old.send(&first).await;
    let mut stays = TcpStream::connect(port).await.unwrap();
    let mut new = sites.bind(port, &[]).unwrap();
    new.serve();
    assert_eq!(ask(port, "GET /metrics").await.1.as_bytes(), first.body);
    let second = page(&mut new, 10);
    assert_ne!(first.body, second.body);
    new.send(&second).await;
    old.send(&first).await;
    drop(old);
    assert_eq!(ask(port, "GET /metrics").await.1.as_bytes(), second.body);
    stays.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stays.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&second.body));
    drop(new);
    let free = async {
        while sites.bind(port, &[]).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), free).await.unwrap();
}
