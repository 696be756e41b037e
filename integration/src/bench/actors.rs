//! Processes whose connections are observed. They end with their standard input.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::clock::now;

const USAGE: &str = "load hold PAIRS         opens connections to itself and keeps them
load once ADDRESS       makes one connection
load pace ADDRESS RATE  makes so many connections a second
each says `ready` and ends with its standard input";

/// Does what the arguments say until standard input ends.
pub fn main(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wrong = |what: &str| format!("{what} is wrong; one of\n{USAGE}");
    let address = |text: &str| text.parse::<SocketAddr>().map_err(|_| wrong(text));
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong(text));
    match words.as_slice() {
        ["hold", pairs] => {
            let held = hold(number(pairs)?)?;
            wait();
            drop(held);
        }
        ["once", to] => {
            connect(address(to)?)?;
            wait();
        }
        ["pace", to, rate] => pace(address(to)?, number(rate)?.max(1)),
        _ => return Err(wrong(&words.join(" "))),
    }
    Ok(())
}

fn connect(to: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(to).map_err(|error| format!("{to}: {error}"))
}

/// Both ends of each; several addresses, since one has not enough ports.
fn hold(pairs: u32) -> Result<Vec<[TcpStream; 2]>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let pair = |index| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + index % 8);
        let client = connect((address, port).into())?;
        let (server, _) = listener.accept().map_err(failed)?;
        Ok([client, server])
    };
    (0..pairs).map(pair).collect()
}

fn wait() {
    let mut out = std::io::stdout();
    // Whoever does not listen does not wait either.
    drop(writeln!(out, "ready").and_then(|()| out.flush()));
    while let Ok(1..) = std::io::stdin().read(&mut [0; 64]) {}
}

fn pace(to: SocketAddr, rate: u32) {
    thread::spawn(move || {
        let began = now();
        let mut made = 0;
        loop {
            drop(connect(to));
            made += 1;
            let due = began + Duration::from_secs(1) * made / rate;
            thread::sleep(due.saturating_duration_since(now()));
        }
    });
    wait();
}
