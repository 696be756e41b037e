//! The end that accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::exchange::play;
use super::options::Serve;
use super::witness::{Opening, Witness};
use crate::clock::unix_nanos;
use crate::truth::Side;

/// As many as the kernel lets wait: a burst of connections must not meet a full queue.
const BACKLOG: i32 = 4096;

pub(super) fn run(options: &Serve) -> Result<(), String> {
    let listener =
        listen(options.listen).map_err(|error| format!("listen on {}: {error}", options.listen))?;
    let witness = Witness::new(Side::Server, options.count, &options.proc_root)?;
    let address = listener.local_addr().map_err(|error| format!("getsockname: {error}"))?;
    witness.print(&json!({ "listening": address.to_string() }))?;
    witness.flush()?;

    let worker = || {
        while witness.takes_one() {
            one_connection(&listener, options, &witness).map_err(|error| format!("accept: {error}"))?;
        }
        Ok(())
    };
    let outcome = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    });
    outcome.and(witness.flush())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // The wildcard address then takes IPv4 too, which arrives as mapped addresses.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn one_connection(listener: &TcpListener, options: &Serve, witness: &Witness) -> Result<(), String> {
    let (stream, peer) = listener.accept().map_err(|error| error.to_string())?;
    let opened = unix_nanos();
    let local = stream.local_addr().map_err(|error| error.to_string())?;
    let done = play(stream, Side::Server, &options.exchange);
    witness.report(&Opening { local, peer, started: opened, opened }, &done)
}
