//! The traffic tool: plain client and server processes that tell exactly what their own sockets did.
//!
//! ```text
//! traffic serve   --listen 127.0.0.1:0 --count 1 [--workers 1] EXCHANGE
//! traffic connect --to 127.0.0.1:80    --count 1 [--parallel 1] [--from ADDR:PORT]... [--every-ms N] EXCHANGE
//!
//! --proc DIR     both report their process ids as the procfs there has them, such as the host's
//! --every-ms N   pause after each connection
//!
//! EXCHANGE, the same on both ends but for --send and --expect, which change places:
//!   --send BYTES --expect BYTES     both directions move at the same time
//!   --close-first client|server     the client, if not given
//!   --half-close                    who closes first ends its direction once all is written, and reads on
//!   --linger0                       who closes first resets instead
//!   --hold-ms N                     pause before the close of who closes first
//!   --pieces N --pause-ms N         what is sent goes in so many pieces, with a pause after each
//! ```
//!
//! The first line of a server is `{"listening": "ADDR:PORT"}`; then, from both, one [`Report`] per connection as
//! a JSON line. Exit code 0 when all reports were written, also those of failed connections.
//!
//! [`Report`]: crate::truth::Report

mod client;
mod exchange;
mod options;
mod server;
mod witness;

pub use exchange::Exchange;

/// What the executable does with its arguments; an error is for its stderr.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let (command, rest) = arguments.split_first().ok_or("serve or connect?")?;
    match command.as_str() {
        "serve" => server::run(&options::parse_serve(rest)?),
        "connect" => client::run(&options::parse_connect(rest)?),
        other => Err(format!("{other:?} is neither serve nor connect")),
    }
}
