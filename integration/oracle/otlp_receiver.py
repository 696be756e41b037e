"""An OTLP receiver that writes down every request: the independent end the tests compare with.

It runs on the official Python packages, speaks gRPC and HTTP on loopback, and prints one JSON line with its
ports when it is ready. Every received request becomes one JSON line of the file given by --out, written before
the answer leaves, so whoever saw the answer finds the line.

Faults are chosen by --fault and changed while it runs by `POST /control?fault=SPEC` on the control port:

    none             every request is taken
    unavailable[:S]  gRPC UNAVAILABLE, HTTP 503; with S also "come back in S seconds"
    throttled[:S]    gRPC RESOURCE_EXHAUSTED, HTTP 429; with S also "come back in S seconds"
    too-large:BYTES  what is larger: gRPC RESOURCE_EXHAUSTED with the words of gRPC itself, HTTP 413
    slow:S           the answer comes after S seconds
    nonsense         the answer is bytes that are no OTLP message
    garbage          the answer is bytes that are neither HTTP/1 nor HTTP/2
    reject           gRPC INVALID_ARGUMENT, HTTP 400
    partial:N        success, but N records or points are called rejected
    hang             the request is read and never answered
    cut-before       the connection ends before the request is read whole
    cut-after        the connection ends once the request is read, without an answer
    first-N:FAULT    only the first N requests of each signal over each transport meet FAULT
    fail-first:N     the first N of all requests are `unavailable`, the rest is taken

With --tls FOLDER both ends speak TLS with the folder's cert.pem and key.pem, and want a client certificate that
ca.pem has signed.
"""

import argparse
import json
import signal
import sys
import threading
import time

import control
import faults
import grpc_end
import http_end
import tls


class Journal:
    """The file of received requests: one JSON line each, in order of arrival."""

    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")
        self._lock = threading.Lock()
        self._count = 0

    def write(self, record):
        with self._lock:
            self._count += 1
            record = {"n": self._count, "receivedUnixNano": time.time_ns(), **record}
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    @property
    def count(self):
        with self._lock:
            return self._count


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="file the received requests are appended to")
    parser.add_argument("--grpc-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--http-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--fault", default="none")
    parser.add_argument("--tls", type=tls.Certificates, help="folder with ca.pem, cert.pem and key.pem")
    return parser.parse_args()


def main():
    args = arguments()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())

    journal = Journal(args.out)
    switch = faults.Switch(args.fault, stop)
    ports = {
        "grpc": grpc_end.start(args.grpc_port, journal, switch, args.tls),
        "http": http_end.start(args.http_port, journal, switch, args.tls),
        "control": control.start(journal, switch),
    }
    print(json.dumps(ports), flush=True)
    stop.wait()


if __name__ == "__main__":
    sys.exit(main())
