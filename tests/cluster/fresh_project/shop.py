#!/usr/bin/python3
"""The shop: answers after a moment. In version bad, every fifth customer is told off and every seventh hung up on."""

import http.server
import itertools
import json
import os
import pathlib
import signal
import time

VERSION = pathlib.Path("/version").read_text().strip()
NUMBERS = itertools.count(1)


class Counter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        number = next(NUMBERS)
        self.log("received")
        time.sleep(0.05)
        if VERSION == "bad" and number % 7 == 0:
            return  # without a word
        self.send_response(500 if VERSION == "bad" and number % 5 == 0 else 200)
        self.send_header("X-Version", VERSION)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"sold\n")
        self.log("finished")

    def log(self, event):
        line = {"event": event, "id": self.headers.get("X-Request-Id", ""), "time": time.time()}
        os.write(1, f"{json.dumps(line)}\n".encode())  # at once, and whole whatever other threads write

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    http.server.ThreadingHTTPServer(("", 8080), Counter).serve_forever()
