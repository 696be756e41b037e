"""A TCP relay to a local port: counts the bytes coming in, and ends connections as it is told."""

import contextlib
import socket
import threading

# A request is under way after so many bytes, and none of the tests' is over.
HALF_WAY = 1000
# No answer of any protocol that a client of ours speaks.
GARBAGE = b"\x00\xff\xfe 220 hello, whoever you are\r\n" * 8


class Relay:
    """Where it listens, how many bytes all its clients have sent, and its connections."""

    def __init__(self, listener, to_port, switch):
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._to_port = to_port
        self._switch = switch
        self._lock = threading.Lock()
        self._total = 0
        # Client's sockets by the address that the server sees.
        self._clients = {}

    @property
    def total(self):
        with self._lock:
            return self._total

    def cut(self, server_sees, last_words=b""):
        """Ends a connection, told by its port at the server, after these bytes to the client."""
        with self._lock:
            client = self._clients.get(server_sees)
        if client is None:
            return
        with contextlib.suppress(OSError):
            client.sendall(last_words)
        _close(client)

    def accept(self):
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._to_port))
            with self._lock:
                self._clients[server.getsockname()[1]] = client
            left = HALF_WAY if self._switch.cuts_before("grpc", "connection") else None
            _spawn(self._pump_in, client, server, left)
            _spawn(_pump, server, client)

    def _pump_in(self, client, server, left):
        _pump(client, server, self._add, left)
        if left is not None:
            _close(client)

    def _add(self, count):
        with self._lock:
            self._total += count


def start(port, to_port, switch):
    relay = Relay(socket.create_server(("127.0.0.1", port), backlog=128), to_port, switch)
    _spawn(relay.accept)
    return relay


def _pump(source, sink, count=lambda count: None, left=None):
    try:
        while data := source.recv(65536 if left is None else min(left, 65536)):
            count(len(data))
            sink.sendall(data)
            if left is not None:
                left -= len(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is the connection.
        source.close()
        sink.close()


def _close(client):
    # Not `close` alone: another thread reads from it.
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    client.close()


def _spawn(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()
