"""docker-py's connection to a unix socket, without its leak: a socket that cannot connect is closed.

A node under a fault refuses connections all the time, and Python reports each socket that nobody closed.
"""

from __future__ import annotations

import socket
from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool


class ClosingConnection(UnixHTTPConnection):  # type: ignore[misc]  # docker-py has no types
    """A connection whose socket is closed when it cannot connect."""

    def connect(self) -> None:
        own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        own.settimeout(self.timeout)
        try:
            own.connect(self.unix_socket)
        except BaseException:
            own.close()
            raise
        self.sock = own


class ClosingPool(UnixHTTPConnectionPool):  # type: ignore[misc]  # docker-py has no types
    """A pool of such connections."""

    def _new_conn(self) -> ClosingConnection:
        return ClosingConnection(self.base_url, self.socket_path, self.timeout)


class ClosingAdapter(UnixHTTPAdapter):  # type: ignore[misc]  # docker-py has no types
    """What a docker-py client is given to use such pools."""

    def get_connection(self, url: str, proxies: Any = None) -> ClosingPool:
        """Return the pool for a URL, made where there is none yet."""
        with self.pools.lock:
            pool: ClosingPool | None = self.pools.get(url)
            if pool is None:
                pool = ClosingPool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[url] = pool
        return pool
