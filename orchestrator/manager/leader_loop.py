"""Runs the deciders while this manager leads: state and clock in, committed actions out.

Nobody acts on "I am leader": what the deciders want takes effect only when a majority has committed it, and a plan
made from an outdated view is refused by `apply` as a whole.
"""

import asyncio
import logging
from collections.abc import Callable

from orchestrator import identity
from orchestrator.backoff import Backoff
from orchestrator.control.plan import Plan, Situation
from orchestrator.interfaces import Store
from orchestrator.manager.observations import Observations
from orchestrator.model.errors import ClusterError, Unavailable
from orchestrator.state.actions import Action, Batch
from orchestrator.state.codec import encode_batch

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""After a refused plan or a failure. Mostly the state has changed meanwhile, and the next attempt goes well."""

PORTION_SIZE = 2**20
"""Bytes of encoded actions proposed at once: well below what the log takes, and applied in a moment."""


class LeaderLoop:
    """Turns what the deciders want into committed actions."""

    def __init__(self, store: Store, observations: Observations, reconcile: Callable[[Situation], Plan]) -> None:
        self._store = store
        self._observations = observations
        self._reconcile = reconcile
        self._wake = asyncio.Event()
        self._pauses = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._problems: tuple[str, ...] = ()
        """Of the last plan, so that what stays is told once."""
        self._leading_since: float | None = None

    def wake(self) -> None:
        """Something the deciders look at has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Decide whenever this manager leads, until cancelled."""
        unsubscribe = self._store.subscribe(self.wake)
        try:
            while True:
                self._wake.clear()
                try:
                    wake_at = await self._decide_once()
                except Exception:
                    # A fault in a decider must not take the node down with it: another change may get past it.
                    logger.exception("deciding failed")
                    await asyncio.sleep(self._pauses.next())
                    continue
                await self._sleep_until(wake_at)
        finally:
            unsubscribe()

    async def _decide_once(self) -> float | None:
        """Propose what the deciders want now; returns when to look again (None: when woken)."""
        if not self._store.is_leader or self._store.state.cluster is None:
            self._leading_since = None
            return None
        now = self._store.now()
        since = self._hearing_since(now)
        plan = self._reconcile(Situation(self._store.state, now, identity.new_id, self._observations.by_node, since))
        if plan.problems != self._problems:
            self._problems = plan.problems
            for problem in plan.problems:
                logger.warning("a decider was passed over: %s", problem)
        if not plan.actions:
            self._pauses.reset()
            return plan.wake_at
        return await self._propose(plan, now)

    def _hearing_since(self, now: float) -> float:
        """Since when silence counts: when this manager began to lead."""
        if self._leading_since is None:
            logger.info("leading")
            self._leading_since = now
            self._observations.forget()
        return self._leading_since

    async def _propose(self, plan: Plan, decided_at: float) -> float:
        try:
            # For the time they were decided at: what one action writes then, a later one of the plan may refer to.
            await self._store.propose(_portion(plan.actions), at=decided_at)
        except Unavailable as error:
            logger.info("no longer leading: %s", error)
        except ClusterError as refusal:
            logger.info("a plan was overtaken: %s", refusal)
        else:
            self._pauses.reset()
            return self._store.now()
        return self._store.now() + self._pauses.next()

    async def _sleep_until(self, wake_at: float | None) -> None:
        delay = None if wake_at is None else wake_at - self._store.now()
        if delay is not None and delay <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return


def _portion(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """As many of the first actions as are proposed at once; the rest is decided anew after them.

    Each action was tried out on the state that the ones before it make, so any first part of a plan is one as well.
    """
    while len(actions) > 1 and len(encode_batch(Batch(0.0, actions))) > PORTION_SIZE:
        actions = actions[: len(actions) // 2]
    return actions
