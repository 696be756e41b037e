"""A TCP relay to a local port that counts the bytes coming in."""

import socket
import threading


class Counter:
    """Where the relay listens, and how many bytes all its clients have sent."""

    def __init__(self, port):
        self.port = port
        self._lock = threading.Lock()
        self._total = 0

    def add(self, count):
        with self._lock:
            self._total += count

    @property
    def total(self):
        with self._lock:
            return self._total


def start(port, to_port):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    counter = Counter(listener.getsockname()[1])
    _spawn(_accept, listener, to_port, counter)
    return counter


def _accept(listener, to_port, counter):
    while True:
        outer, _ = listener.accept()
        inner = socket.create_connection(("127.0.0.1", to_port))
        _spawn(_pump, outer, inner, counter.add)
        _spawn(_pump, inner, outer, lambda count: None)


def _pump(source, sink, count):
    try:
        while data := source.recv(65536):
            count(len(data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: so is the connection.
        source.close()
        sink.close()


def _spawn(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()
