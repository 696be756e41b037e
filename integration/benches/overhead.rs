//! What capturing costs the host: a loop of loopback connections with nothing attached and with convis sending every event
//! over OTLP, in turn, and the ratio of their medians. Also start time, memory and kernel memory of convis.
//!
//! Needs root. A figure is worth reading only on a quiet machine.

#![expect(clippy::print_stdout, reason = "figures for people")]
#![expect(clippy::expect_used, reason = "a bench that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "time is what it measures")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use convis_integration::convis::Convis;

const ROUNDS: usize = 7;
const CONNECTIONS: u32 = 20_000;

fn main() {
    let sink = answer_everything();
    let (mut bare, mut captured) = (Vec::new(), Vec::new());
    connections();
    for _ in 0..ROUNDS {
        bare.push(connections());
        let began = Instant::now();
        let convis = Convis::start_with(&[
            "--sink",
            &format!("otlp,endpoint=http://{sink},protocol=http/protobuf"),
            "--events",
            "failed",
        ]);
        let started = began.elapsed();
        captured.push(connections());
        if captured.len() == ROUNDS {
            report_memory(&convis, started);
        }
        drop(convis.stop());
    }
    let (bare, captured) = (median(bare), median(captured));
    println!("per connection, nothing attached: {:.2} us", micros(bare));
    println!("per connection, captured:         {:.2} us", micros(captured));
    println!("ratio:                            {:.3}", captured.as_secs_f64() / bare.as_secs_f64());
}

/// Connects, accepts and closes, one after the other; the server's end closes last, so no port is left waiting.
fn connections() -> Duration {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let to = listener.local_addr().expect("its address");
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(to).expect("a connection");
        let (server, _) = listener.accept().expect("its other end");
        drop(server);
        drop(client);
    }
    began.elapsed()
}

/// An HTTP server that accepts every OTLP request; the empty body is the message that says so.
fn answer_everything() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut held = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        held.extend_from_slice(&chunk[..read]);
        while let Some(length) = request_length(&held).filter(|length| *length <= held.len()) {
            held.drain(..length);
            let answered = stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
            );
            if answered.is_err() {
                return;
            }
        }
    }
}

/// Bytes of the first request, once its head is there.
fn request_length(held: &[u8]) -> Option<usize> {
    let body = held.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&held[..body]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    Some(body + length.trim().parse::<usize>().ok()?)
}

fn report_memory(convis: &Convis, started: Duration) {
    let status = fs::read_to_string(format!("/proc/{}/status", convis.pid())).unwrap_or_default();
    let resident: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    println!("start to capturing, at most:      {:.0} ms", started.as_secs_f64() * 1000.0);
    println!("resident after the loop:          {:.1} MiB", resident as f64 / 1024.0);
    println!("memory of its kernel maps:        {:.1} MiB", memlock(convis.pid()) as f64 / (1024.0 * 1024.0));
}

/// `memlock` of every map that the process holds, bytes.
fn memlock(pid: u32) -> u64 {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return 0;
    };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter(|text| text.contains("map_type:"))
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse::<u64>().ok())
        })
        .sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(CONNECTIONS)
}
