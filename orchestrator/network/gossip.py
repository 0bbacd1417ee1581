"""This node's end of the gossip: a UDP socket, a timer, and the keys around `gossip_rules`."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from orchestrator import clock, identity
from orchestrator.model.gossip import GOSSIP_PORT, GossipConfiguration
from orchestrator.network.gossip_message_rules import Standing
from orchestrator.network.gossip_messages import NONCE_BYTES, Refused, Sealer
from orchestrator.network.gossip_rules import Gossip, Outcome

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 1.0
"""Before the socket is opened again that could not be: another process may have the port, for now."""
SESSION_BYTES = 7
"""Of chance: numbers of a session and its pings then stay below 2**62."""


class GossipNode:
    """`interfaces.FailureDetector` over UDP. A node that nobody told of others and keys neither listens nor probes."""

    def __init__(self, *, port: int = GOSSIP_PORT) -> None:
        self._port = port
        self._configuration: GossipConfiguration | None = None
        self._configured = asyncio.Event()
        self._changed = asyncio.Event()
        self._socket: _Socket | None = None
        self._refused: Counter[str] = Counter()

    @property
    def dead(self) -> frozenset[str]:
        """Ids of the nodes held dead now."""
        return self._socket.dead if self._socket else frozenset()

    @property
    def heard(self) -> frozenset[str]:
        """Ids of the nodes that have answered since `run` began: those whose silence means something."""
        return self._socket.heard if self._socket else frozenset()

    @property
    def refused(self) -> Mapping[str, int]:
        """How many datagrams were dropped since the start, by reason."""
        return self._refused

    def follow(self, configuration: GossipConfiguration) -> None:
        """Probe as this says from now on."""
        if configuration == self._configuration:
            return
        self._configuration = configuration
        self._configured.set()
        if self._socket is not None and self._socket.address == configuration.address:
            self._socket.follow(configuration)

    async def wait_changed(self) -> None:
        """Return when `dead` may have changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    async def run(self) -> None:
        """Take part until cancelled."""
        try:
            while True:
                await self._configured.wait()
                self._configured.clear()
                configuration = self._configuration
                if configuration is None or not configuration.keyring.secrets:
                    continue
                if self._socket is None or self._socket.address != configuration.address:
                    self._close()
                    await self._open(configuration)
        finally:
            self._close()
            self._configuration = None
            self._configured.clear()

    async def _open(self, configuration: GossipConfiguration) -> None:
        loop = asyncio.get_running_loop()
        socket = _Socket(configuration.address, self._port, self._changed, self._refused)
        try:
            await loop.create_datagram_endpoint(lambda: socket, local_addr=(configuration.address, self._port))
        except OSError as error:
            # Balancing goes on by the managers' word alone.
            logger.error("no gossip at %s: %s", configuration.address, error)
            loop.call_later(RETRY_INTERVAL_S, self._configured.set)
            return
        except asyncio.CancelledError:
            socket.close()
            raise
        self._socket = socket
        socket.follow(self._configuration or configuration)

    def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
            self._changed.set()


class _Socket(asyncio.DatagramProtocol):
    """One session: from the opening of the socket to its end."""

    def __init__(self, address: str, port: int, changed: asyncio.Event, refused: Counter[str]) -> None:
        self.address = address
        self._port = port
        self._changed = changed
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._node_id = ""
        self._gossip: Gossip | None = None
        self._configuration: GossipConfiguration | None = None
        self._sealer: Sealer | None = None
        self._addresses: dict[str, str] = {}
        """By node id."""
        self._sources: frozenset[str] = frozenset()

    @property
    def dead(self) -> frozenset[str]:
        """Ids of the members held dead."""
        return self._gossip.dead if self._gossip else frozenset()

    @property
    def heard(self) -> frozenset[str]:
        """Ids of the members that have answered."""
        return self._gossip.heard if self._gossip else frozenset()

    def follow(self, configuration: GossipConfiguration) -> None:
        """Have these members and keys."""
        before, self._configuration = self._configuration, configuration
        if before is None or before.keyring != configuration.keyring:
            self._sealer = Sealer(configuration.keyring) if configuration.keyring.secrets else None
        if self._gossip is None or self._node_id != configuration.node_id:
            session = int.from_bytes(identity.random_bytes(SESSION_BYTES))
            self._gossip = Gossip(configuration.node_id, session, identity.random_fraction)
            self._node_id = configuration.node_id
        self._addresses = {peer.node_id: peer.address for peer in configuration.members}
        self._sources = frozenset(self._addresses.values())
        self._gossip.follow(clock.monotonic(), tuple(self._addresses))
        # One that is no member any more is dead no more either.
        self._changed.set()
        self._set_timer()

    def close(self) -> None:
        """Leave: no word more."""
        if self._timer is not None:
            self._timer.cancel()
        self._gossip = None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """The socket is open."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a datagram; all that is not from a member to this node is counted and forgotten."""
        if self._gossip is None or self._sealer is None:
            return
        if addr[0] not in self._sources:
            # Before any work is done for it.
            self._refused["stranger"] += 1
            return
        try:
            message = self._sealer.open(data, self._node_id)
        except Refused as reason:
            self._refused[str(reason)] += 1
            return
        self._do(self._gossip.receive(clock.monotonic(), message))

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent: what is missing then is noticed by the probes."""
        logger.debug("gossip: %s", exc)

    def _tick(self) -> None:
        self._timer = None
        if self._gossip is not None:
            self._do(self._gossip.tick(clock.monotonic()))

    def _do(self, outcome: Outcome) -> None:
        if outcome.dropped:
            self._refused[outcome.dropped] += 1
        for change in outcome.changes:
            is_verdict = Standing.DEAD in (change.standing, change.before)
            logger.log(
                logging.INFO if is_verdict else logging.DEBUG,
                "gossip: node=%s is held %s",
                change.member,
                change.standing.name.lower(),
            )
            self._changed.set()
        if self._sealer is not None and self._transport is not None and not self._transport.is_closing():
            for to, message in outcome.sends:
                datagram = self._sealer.seal(message, to, identity.random_bytes(NONCE_BYTES))
                self._transport.sendto(datagram, (self._addresses[to], self._port))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gossip is None or self._gossip.wake_at == float("inf"):
            return
        delay = max(0.0, self._gossip.wake_at - clock.monotonic())
        self._timer = self._loop.call_later(delay, self._tick)
