use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ended, metrics};
use crate::batch::Slice;
use crate::outcome::Exporter as _;
use crate::prometheus::scrape::Scrape;
use crate::testing::assert_golden;

async fn ask(address: std::net::SocketAddr, line: &str) -> (String, String) {
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
    let mut scrape = Scrape::bind(([127, 0, 0, 1], 0).into(), &["host.name".to_owned()]).unwrap();
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
    let first = Scrape::bind(([127, 0, 0, 1], 0).into(), &[]).unwrap();
    let address = first.address();
    let error = Scrape::bind(address, &[]).err().unwrap();
    assert_eq!(
        error,
        format!("cannot listen on {address}: Address already in use (os error 98); choose another `listen`")
    );
}
