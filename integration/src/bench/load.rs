//! Loops whose time is measured, on this thread alone unless they say otherwise.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::now;

/// A listener on loopback, and where it listens.
pub(super) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let to = listener.local_addr().expect("its address");
    (listener, to)
}

/// Connects, accepts and closes, one after the other, as often as `more` says so. The server's end closes first, so that it
/// is not the client's port that is left waiting.
pub(super) fn connections(listener: &TcpListener, to: SocketAddr, mut more: impl FnMut() -> bool) {
    while more() {
        let client = TcpStream::connect(to).expect("a connection");
        let (server, _) = listener.accept().expect("its other end");
        drop(server);
        drop(client);
    }
}

/// So many of them on loopback; the time they took, and their server's port.
pub(super) fn timed_connections(count: usize) -> (Duration, u16) {
    let (listener, to) = listener();
    let mut left = count;
    let began = now();
    connections(&listener, to, || {
        let more = left > 0;
        left -= usize::from(more);
        more
    });
    (began.elapsed(), to.port())
}

/// A byte there and a byte back, again and again on one connection.
pub(super) fn requests(count: usize) -> Duration {
    let (mut client, mut server) = pair();
    let answer = move || {
        let mut byte = [0];
        while let Ok(1..) = server.read(&mut byte) {
            server.write_all(&byte).expect("the client reads");
        }
    };
    let answering = thread::spawn(answer);
    let mut byte = [7];
    let began = now();
    for _ in 0..count {
        client.write_all(&byte).expect("the server reads");
        client.read_exact(&mut byte).expect("the server answers");
    }
    let took = began.elapsed();
    drop(client);
    answering.join().expect("the server ends when its client does");
    took
}

/// This many bytes one way on one connection.
pub(super) fn bulk(bytes: usize) -> Duration {
    let (client, mut server) = pair();
    let send = move || {
        let (mut client, chunk) = (client, vec![0; 1 << 17]);
        for _ in 0..bytes / chunk.len() {
            client.write_all(&chunk).expect("the server reads");
        }
    };
    let began = now();
    let sending = thread::spawn(send);
    let mut chunk = vec![0; 1 << 17];
    while let Ok(1..) = server.read(&mut chunk) {}
    let took = began.elapsed();
    sending.join().expect("the client sends all of it");
    took
}

fn pair() -> (TcpStream, TcpStream) {
    let (listener, to) = listener();
    let client = TcpStream::connect(to).expect("a connection");
    let (server, _) = listener.accept().expect("its other end");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a stream can be told so");
    }
    (client, server)
}

/// Accepts and closes whatever comes, on a thread that lives as long as the process; where, and how many came.
pub(super) fn welcome() -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, to) = listener();
    let came = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&came);
    thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (to, came)
}
