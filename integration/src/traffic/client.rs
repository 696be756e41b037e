//! The end that connects.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::exchange::{Done, play};
use super::options::Connect;
use super::witness::{Opening, Witness};
use crate::clock::unix_nanos;
use crate::truth::Side;

pub(super) fn run(options: &Connect) -> Result<(), String> {
    let witness = Witness::new(Side::Client, options.count, &options.proc_root)?;
    let next_source = AtomicUsize::new(0);
    let worker = || {
        while witness.takes_one() {
            let turn = next_source.fetch_add(1, Ordering::Relaxed);
            let source = options.from.get(turn % options.from.len().max(1)).copied();
            one_connection(options, source, &witness)?;
            thread::sleep(options.every);
        }
        Ok(())
    };
    let outcome = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.parallel).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    });
    outcome.and(witness.flush())
}

fn one_connection(options: &Connect, source: Option<SocketAddr>, witness: &Witness) -> Result<(), String> {
    let socket = prepare(options.to, source).map_err(|error| format!("socket: {error}"))?;
    // Known already if the socket was bound; the kernel forgets it when a connect fails.
    let bound = local_address(&socket, options.to);
    let started = unix_nanos();
    let connected = socket.connect(&options.to.into());
    let opened = unix_nanos();
    let (local, done) = match connected {
        Ok(()) => {
            let local = local_address(&socket, options.to);
            (local, play(TcpStream::from(socket), Side::Client, &options.exchange))
        }
        Err(error) => (bound, failed(error, opened)),
    };
    witness.report(&Opening { local, peer: options.to, started, opened }, &done)
}

fn prepare(to: SocketAddr, source: Option<SocketAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&source.into())?;
    }
    Ok(socket)
}

fn local_address(socket: &Socket, to: SocketAddr) -> SocketAddr {
    let unbound =
        if to.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0_u16; 8], 0)) };
    socket.local_addr().ok().and_then(|address| address.as_socket()).unwrap_or(unbound)
}

fn failed(error: io::Error, at: u64) -> Done {
    Done { written: 0, read: 0, closed_first: None, closing: at, ended: at, result: Err(error) }
}
