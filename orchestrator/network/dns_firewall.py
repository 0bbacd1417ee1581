"""Loads the rules that `dns_firewall_rules` writes: who may ask this node's name server."""

from orchestrator.model.network import NetworkConfiguration
from orchestrator.network.commands import run
from orchestrator.network.dns_firewall_rules import REMOVE_SCRIPT, firewall_script


class NameFirewall:
    """The table `ip swarm_names` of this network namespace."""

    def __init__(self) -> None:
        self._loaded: str | None = None
        """The script in force; None after a start, since another version of us may have left its own."""

    async def apply(self, configuration: NetworkConfiguration) -> None:
        """Guard the gateways of the configuration's networks. Raises `OSError`; the rules in force then stay."""
        script = firewall_script(configuration)
        if script != self._loaded:
            await run("nft", "--file", "-", stdin=script)
            self._loaded = script

    async def remove(self) -> None:
        """Take the rules out. Idempotent. Raises `OSError`."""
        self._loaded = None
        await run("nft", "--file", "-", stdin=REMOVE_SCRIPT)
