"""The control end: `POST /control?fault=SPEC` changes the fault, `GET /stats` counts the requests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse


def start(journal, switch):
    handler = type("Handler", (_Handler,), {"journal": journal, "switch": switch})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    journal = None
    switch = None

    def do_POST(self):
        url = urlparse(self.path)
        wanted = parse_qs(url.query).get("fault", [""])[0]
        if url.path != "/control":
            return self._answer(404, {"error": "no such path"})
        try:
            self.switch.set(wanted)
        except ValueError as error:
            return self._answer(400, {"error": str(error)})
        return self._answer(200, {"fault": wanted})

    def do_GET(self):
        self._answer(200, {"requests": self.journal.count})

    def _answer(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The journal is the log."""
