//! As much of an HTTP client as a test needs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const PATIENCE: Duration = Duration::from_secs(5);

/// Status code and body.
pub type Answer = (u16, String);

/// `GET path`; an error when nobody answers.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    get_as(address, path, None)
}

/// `GET path` as a user with a password.
pub fn get_as(address: SocketAddr, path: &str, user: Option<(&str, &str)>) -> io::Result<Answer> {
    let authorization = user.map(|(user, password)| {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        format!("Authorization: Basic {pair}\r\n")
    });
    request(address, "GET", path, &authorization.unwrap_or_default())
}

/// `POST path` without a body.
pub fn post(address: SocketAddr, path: &str) -> io::Result<Answer> {
    request(address, "POST", path, "")
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n{headers}\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::Error::other("no HTTP answer"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some((code, body.to_owned()))
}
