"""Keeps the tracking table in step with the balancers: counts what is open to withdrawn endpoints, forgets the rest.

What is open and what is to be forgotten is decided in `flow_rules`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.model.network import Endpoint, NetworkConfiguration
from orchestrator.model.session import Flows
from orchestrator.network.flow_rules import Fate, Flow, covering_mark, fate_of_lingering, fate_of_withdrawn
from orchestrator.network.ingress_rules import MARK, MARK_MASK, endpoint_mark

logger = logging.getLogger(__name__)


class TrackingTable(Protocol):
    """The part of `Conntrack` that is needed. Blocking; every method raises `OSError`."""

    def flows(self, mark: int, mask: int) -> list[Flow]:
        """Entries whose connection mark, under the mask, is that one."""
        ...

    def refresh(self, flows: Sequence[Flow]) -> list[Flow]:
        """Those of the entries that still exist, as they are now."""
        ...

    def forget(self, flows: Sequence[Flow]) -> None:
        """Delete the entries that are still the same."""
        ...


@dataclass(slots=True)
class _Withdrawn:
    """An endpoint that drains."""

    since: float
    flows: list[Flow]
    """All that could still become or stay open; never more than at the withdrawal."""


class FlowTable:
    """The flows of this node to endpoints that get no new connections."""

    def __init__(self, tracking: TrackingTable, monotonic: Callable[[], float]) -> None:
        self._tracking = tracking
        self._monotonic = monotonic
        self._known: frozenset[str] | None = None
        """Addresses that flows may go to; None = not known, after a start."""
        self._lingering: frozenset[str] = frozenset()
        self._withdrawn: dict[str, _Withdrawn] = {}

    async def follow(self, configuration: NetworkConfiguration) -> None:
        """Look for the flows to what this configuration withdrew, and forget those that must not outlive it.

        The balancers must be in force already, and all packets that may have met the old ones settled.
        """
        services = configuration.services
        serving = _addresses(endpoint for service in services for endpoint in service.endpoints)
        draining = _addresses(endpoint for service in services for endpoint in service.draining)
        lingering = _addresses(endpoint for service in services for endpoint in service.lingering)
        current = serving | draining | lingering
        withdrawn = draining - self._withdrawn.keys()
        found = await self._find(withdrawn | (lingering - self._lingering), current)
        now = self._monotonic()
        over = [flow for flow in found if flow.endpoint not in current]
        lost = [flow for flow in found if flow.endpoint in lingering and fate_of_lingering(flow) is Fate.FORGET]
        await self._forget((*over, *lost))
        kept = {address: known for address, known in self._withdrawn.items() if address in draining}
        for address in withdrawn:
            kept[address] = _Withdrawn(now, [flow for flow in found if flow.endpoint == address])
        self._withdrawn, self._lingering, self._known = kept, lingering, current
        await self.open(configuration)

    async def open(self, configuration: NetworkConfiguration) -> Flows:
        """Open flows per draining endpoint by task id, those without any left out; forgets closed ones.

        `configuration` is the one that was followed last.
        """
        draining = [endpoint for service in configuration.services for endpoint in service.draining]
        counts = [
            (endpoint.task_id, sum([await self._count_open(address) for address in endpoint.all_addresses]))
            for endpoint in draining
        ]
        return tuple(sorted((task_id, count) for task_id, count in counts if count))

    async def _find(self, fresh: frozenset[str], current: frozenset[str]) -> list[Flow]:
        """Flows to these addresses, and to those that are in no service any more."""
        if self._known is None:
            found = await asyncio.to_thread(self._tracking.flows, MARK, MARK_MASK)
            return [flow for flow in found if flow.endpoint in fresh or flow.endpoint not in current]
        looked_for = fresh | (self._known - current)
        if not looked_for:
            return []
        mark, mask = covering_mark([endpoint_mark(address) for address in sorted(looked_for)])
        found = await asyncio.to_thread(self._tracking.flows, mark, mask)
        return [flow for flow in found if flow.endpoint in looked_for]

    async def _count_open(self, address: str) -> int:
        withdrawn = self._withdrawn.get(address)
        if withdrawn is None or not withdrawn.flows:
            return 0
        waited = self._monotonic() - withdrawn.since
        present = await asyncio.to_thread(self._tracking.refresh, withdrawn.flows)
        fates = [(flow, fate_of_withdrawn(flow, waited)) for flow in present]
        await self._forget(flow for flow, fate in fates if fate is Fate.FORGET)
        withdrawn.flows = [flow for flow, fate in fates if fate in (Fate.OPEN, Fate.WATCH)]
        return sum(fate is Fate.OPEN for _, fate in fates)

    async def _forget(self, flows: Iterable[Flow]) -> None:
        doomed = list(flows)
        if doomed:
            logger.debug("forgetting flows", extra={"count": len(doomed)})
            await asyncio.to_thread(self._tracking.forget, doomed)


def _addresses(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    return frozenset(address for endpoint in endpoints for address in endpoint.all_addresses)
