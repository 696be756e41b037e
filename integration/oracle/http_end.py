"""The HTTP end: POST /v1/logs, /v1/metrics, /v1/traces; protobuf or JSON, gzip or not."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format

import messages
import relay

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def start(port, journal, switch, tls):
    handler = type("Handler", (_Handler,), {"journal": journal, "switch": switch})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if tls:
        # The handshake comes with the first byte that is read, in a thread of the connection's own.
        server.socket = tls.of_http().wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body of an answer leave as two writes; without this the second waits for an ACK.
    disable_nagle_algorithm = True
    journal = None
    switch = None

    def do_POST(self):
        # A base path may come before the signal's, as with Loki's `/otlp`.
        signal = messages.BY_HTTP_PATH.get("/" + "/".join(self.path.split("/")[-2:]))
        if signal and self.switch.cuts_before("http", signal.name):
            # What was sent is not read: the client gets a reset.
            self.close_connection = True
            return None
        sent = self._body()
        content_type = self.headers.get("Content-Type", "")
        if signal is None:
            return self._answer(404, "text/plain", b"no such path")
        if content_type not in (PROTOBUF, JSON):
            return self._answer(415, "text/plain", b"neither protobuf nor JSON")

        encoding = self.headers.get("Content-Encoding")
        body = gzip.decompress(sent) if encoding == "gzip" else sent
        message = _parse(signal, content_type, body)
        fault = self.switch.decide("http", signal.name, len(body))
        self.journal.write(
            {
                "signal": signal.name,
                "transport": "http",
                "path": self.path,
                "headers": {key.lower(): value for key, value in self.headers.items()},
                "encoding": encoding,
                "size": len(body),
                "wire": len(sent),
                "fault": fault.kind,
                "message": messages.plain(message),
            }
        )
        return self._obey(fault, signal, content_type)

    def _obey(self, fault, signal, content_type):
        self.switch.pause(fault)
        if fault.kind == "hang":
            return None
        if fault.kind in ("cut-after", "garbage"):
            self.wfile.write(relay.GARBAGE if fault.kind == "garbage" else b"")
            self.close_connection = True
            return None
        if fault.kind in ("unavailable", "throttled"):
            code = 503 if fault.kind == "unavailable" else 429
            retry = {"Retry-After": str(int(fault.number))} if fault.number else {}
            return self._answer(code, "text/plain", f"{fault.kind} on purpose".encode(), retry)
        if fault.kind == "too-large":
            return self._answer(413, "text/plain", b"too large on purpose")
        if fault.kind == "reject":
            return self._answer(400, "text/plain", b"rejected on purpose")
        if fault.kind == "nonsense":
            return self._answer(200, content_type, messages.NONSENSE)
        return self._answer(200, content_type, _render(signal.answer(fault), content_type))

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, code, content_type, body, headers=None):
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The journal is the log."""


def _parse(signal, content_type, body):
    if content_type == JSON:
        return json_format.Parse(body, signal.request(), ignore_unknown_fields=True)
    return signal.request.FromString(body)


def _render(response, content_type):
    if content_type == JSON:
        return json_format.MessageToJson(response).encode()
    return response.SerializeToString()
