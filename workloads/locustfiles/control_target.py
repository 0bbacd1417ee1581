"""A web server that cannot fail by itself: it answers everything with the same two bytes.

It runs beside the load, on the cluster's network but no part of the cluster. When it does not answer either, the
machine or its network was in trouble, and a loss says nothing about the service.
"""

from __future__ import annotations

import http.server

PORT = 8080
_BODY = b"ok"


class Responder(http.server.BaseHTTPRequestHandler):
    """Answers every GET at once."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the load keeps the records."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", PORT), Responder).serve_forever()
