"""One node's engine over its unix socket: every call has a deadline, every refusal is one exception.

The only importer of aiodocker, used through its low-level query: its high-level objects lack deadlines per call and
cost round trips that would show in every task's start. It knows HTTP, not tasks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import aiohttp

CALL_DEADLINE_S = 30.0
"""An engine that takes longer for a call that only changes its own records is not well."""

_NO_LIMIT = aiohttp.ClientTimeout()


class EngineError(OSError):
    """The engine refused, did not answer in time, or could not be reached; `str(error)` is the engine's own text.

    `status` is the HTTP status; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_not_found(self) -> bool:
        """The container, image or network does not exist."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        """The name is taken, or the object is in the way of the request."""
        return self.status == 409


class EngineClient:
    """Calls to the engine listening on `socket_path`. Make it inside a running event loop; close it at the end."""

    def __init__(self, socket_path: str) -> None:
        # Waits and followed logs hold a connection each for as long as their task lives: aiohttp's default of 100
        # connections would then block every other call.
        self._connector = aiohttp.UnixConnector(socket_path, limit=0)
        # With a connector of one's own the address is only the host part of every request.
        self._docker = aiodocker.Docker(url="unix://localhost", connector=self._connector)
        self._socket_path = socket_path

    async def close(self) -> None:
        """End all connections, calls in flight included."""
        await self._docker.close()
        await self._connector.close()

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        deadline_s: float | None = CALL_DEADLINE_S,
    ) -> Any:
        """The JSON value of the answer, None when it is empty. `deadline_s` None is for calls that wait by design.

        Raises `EngineError`.
        """
        async with self._answer(method, path, params, body, deadline_s) as response:
            async with asyncio.timeout(deadline_s):
                content = await response.read()
            return json.loads(content) if content.strip() else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of an answer that arrives over time; `deadline_s` is for its beginning. Raises `EngineError`."""
        async with self._answer(method, path, params, None, deadline_s, headers) as response:
            yield response.content

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        deadline_s: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            data = None if body is None else json.dumps(body)
            async with asyncio.timeout(deadline_s):
                response = await self._docker._do_query(
                    path, method, params=params, data=data, headers=headers, timeout=_NO_LIMIT
                )
            try:
                yield response
            finally:
                # A body read to its end has given the connection back already; one that still streams is cut off.
                response.close()
        except aiodocker.DockerError as error:
            raise EngineError(error.status if error.status < 900 else 0, error.message) from error
        except TimeoutError as error:
            raise EngineError(0, f"the engine did not answer {method} {path} within {deadline_s:g} s") from error
        except aiohttp.ClientError as error:
            raise EngineError(0, f"the engine on {self._socket_path} broke off {method} {path}: {error}") from error
