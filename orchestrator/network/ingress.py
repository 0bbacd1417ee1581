"""The routing mesh of this node: loads the rules that `ingress_rules` writes and lets its traffic pass the firewall."""

import logging

from orchestrator.model.network import NetworkConfiguration
from orchestrator.network.commands import CommandFailed, run
from orchestrator.network.ingress_rules import MARK, MARK_MASK, REMOVE_SCRIPT, ingress_script
from orchestrator.network.kernel_barrier import wait_for_packets_under_way

logger = logging.getLogger(__name__)

_USER_CHAIN = "DOCKER-USER"
"""The engine drops forwarded traffic that is not its own, but asks this chain first and never touches what is in it."""
_ACCEPT_OURS = ("-m", "connmark", "--mark", f"{MARK:#x}/{MARK_MASK:#x}", "-j", "ACCEPT")
_IPTABLES = ("iptables", "--wait", "5")


class Ingress:
    """The table `ip swarm` of this network namespace, and one rule in the engine's `DOCKER-USER` chain."""

    def __init__(self) -> None:
        self._loaded: str | None = None
        """The script in force; None after a start, since another version of us may have left its own."""

    async def apply(self, configuration: NetworkConfiguration) -> None:
        """Balance as the configuration says, for every connection begun after the return. Raises `OSError`.

        One transaction: no connection meets a state between the old rules and the new. When it fails the old stay.
        """
        script = ingress_script(configuration)
        if script == self._loaded:
            return
        if self._loaded is None:
            await _accept_forwarding()
        await run("nft", "--file", "-", stdin=script)
        await wait_for_packets_under_way()
        self._loaded = script
        logger.info("balancers changed", extra={"revision": configuration.revision})

    async def remove(self) -> None:
        """Take the rules out. Idempotent. Raises `OSError`."""
        self._loaded = None
        await run("nft", "--file", "-", stdin=REMOVE_SCRIPT)
        while await _succeeds(*_IPTABLES, "--check", _USER_CHAIN, *_ACCEPT_OURS):
            await run(*_IPTABLES, "--delete", _USER_CHAIN, *_ACCEPT_OURS)


async def _accept_forwarding() -> None:
    if await _succeeds(*_IPTABLES, "--check", _USER_CHAIN, *_ACCEPT_OURS):
        return
    # The engine may not have started yet: it keeps a chain that it finds.
    if not await _succeeds(*_IPTABLES, "--list-rules", _USER_CHAIN):
        await run(*_IPTABLES, "--new-chain", _USER_CHAIN)
    await run(*_IPTABLES, "--insert", _USER_CHAIN, *_ACCEPT_OURS)


async def _succeeds(*command: str) -> bool:
    try:
        await run(*command)
    except CommandFailed:
        return False
    return True
