"""An engine with networks of its own beside the node's shares of the cluster's."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from orchestrator.api.errors import EngineRefusal
from orchestrator.testing.cluster_backend import FakeEngineClient
from tests.unit.api.client import Api

LOCAL = {"Name": "mine", "Id": "f" * 64, "Scope": "local", "Driver": "bridge", "Labels": {}, "Containers": {}}


class Engine(FakeEngineClient):
    """An engine with one network of its own and the node's shares of the cluster's."""

    def __init__(self) -> None:
        super().__init__(handle=self._answer)
        self.shares: dict[str, dict[str, Any]] = {}

    def share(self, network_id: str, name: str, containers: Mapping[str, Any] | None = None) -> None:
        self.shares[network_id] = LOCAL | {
            "Name": name,
            "Id": f"{len(self.shares):064d}",
            "Labels": {"com.docker.swarm.network.id": network_id},
            "Containers": dict(containers or {}),
            "IPAM": {"Config": [{"Subnet": "10.0.1.0/24", "IPRange": "10.0.1.248/29"}]},
        }

    def _answer(self, method: str, path: str, params: Mapping[str, str], body: Mapping[str, Any] | None) -> Any:
        networks = [LOCAL, *self.shares.values()]
        if (method, path) == ("GET", "/networks"):
            filters = json.loads(params.get("filters") or "{}")
            label = next(iter(filters.get("label", ())), "")
            return [n for n in networks if not label or f"com.docker.swarm.network.id={_share_of(n)}" == label]
        if path == "/networks/create":
            return {"Id": "e" * 64, "Warning": ""}
        if path == "/networks/prune":
            return {"NetworksDeleted": ["mine"]}
        key = path.split("/")[2]
        found = [network for network in networks if key in (network["Id"], network["Name"])]
        if not found:
            raise EngineRefusal(HTTPStatus.NOT_FOUND, f"network {key} not found")
        return found[0] if method == "GET" else None


def _share_of(network: Mapping[str, Any]) -> str:
    return str(network["Labels"].get("com.docker.swarm.network.id", ""))


async def create(api: Api, name: str, **options: Any) -> str:
    status, answer = await api.call("POST", "/networks/create", {"Name": name, "Driver": "overlay", **options})
    assert status == 201, answer
    network_id: str = answer["Id"]
    return network_id
