"""TLS of both ends: a certificate of their own, and one asked of every client."""

import pathlib
import ssl

import grpc


class Certificates:
    """The PEM files of a folder."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self._ca, self._cert, self._key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))

    def of_http(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self._ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._cert, self._key)
        return context

    def of_grpc(self):
        own = [(self._key.read_bytes(), self._cert.read_bytes())]
        return grpc.ssl_server_credentials(own, self._ca.read_bytes(), require_client_auth=True)
