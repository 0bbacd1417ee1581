"""The shapes of what the swarm's endpoints answer: which fields are always there, and of which type.

Written from the API's contract in our own words; what Docker leaves out when it is empty is not listed.
"""

from typing import Any

import pytest

from orchestrator.testing.cluster_backend import add_node, cluster_of_one
from tests.unit.api.client import Api, manager, run
from tests.unit.api.served import run_tasks

Shape = dict[str, Any]
"""Field -> its type, the shape of the object in it, or [the shape of a list's items]."""

OBJECT: Shape = {"ID": str, "Version": {"Index": int}, "CreatedAt": str, "UpdatedAt": str}
PORT: Shape = {"Protocol": str, "TargetPort": int, "PublishedPort": int, "PublishMode": str}
NODE: Shape = {
    **OBJECT,
    "Spec": {"Labels": dict, "Role": str, "Availability": str},
    "Description": {
        "Hostname": str,
        "Platform": {"Architecture": str, "OS": str},
        "Resources": {"NanoCPUs": int, "MemoryBytes": int},
        "Engine": {"EngineVersion": str, "Plugins": [{"Type": str, "Name": str}]},
        "TLSInfo": dict,
    },
    "Status": {"State": str, "Addr": str},
}
MANAGER: Shape = {**NODE, "ManagerStatus": {"Leader": bool, "Reachability": str, "Addr": str}}
SWARM: Shape = {
    **OBJECT,
    "Spec": {
        "Name": str,
        "Labels": dict,
        "Orchestration": {"TaskHistoryRetentionLimit": int},
        "Raft": {
            "SnapshotInterval": int,
            "KeepOldSnapshots": int,
            "LogEntriesForSlowFollowers": int,
            "ElectionTick": int,
            "HeartbeatTick": int,
        },
        "Dispatcher": {"HeartbeatPeriod": int},
        "CAConfig": {"NodeCertExpiry": int},
        "TaskDefaults": dict,
        "EncryptionConfig": {"AutoLockManagers": bool},
    },
    "TLSInfo": dict,
    "RootRotationInProgress": bool,
    "DataPathPort": int,
    # Docker's own answer when none were asked for.
    "DefaultAddrPool": type(None),
    "SubnetSize": int,
    "JoinTokens": {"Worker": str, "Manager": str},
}
SERVICE: Shape = {
    **OBJECT,
    "Spec": {
        "Name": str,
        "Labels": dict,
        "TaskTemplate": {"ContainerSpec": {"Image": str}, "ForceUpdate": int, "Runtime": str},
        "Mode": {"Replicated": {"Replicas": int}},
        "EndpointSpec": {"Mode": str, "Ports": [PORT]},
    },
    "Endpoint": {"Spec": {"Mode": str, "Ports": [PORT]}},
}
TASK: Shape = {
    **OBJECT,
    "Labels": dict,
    "Spec": {"ContainerSpec": {"Image": str}, "ForceUpdate": int},
    "ServiceID": str,
    "Slot": int,
    "NodeID": str,
    "Status": {
        "Timestamp": str,
        "State": str,
        "Message": str,
        "ContainerStatus": {"ContainerID": str, "PID": int, "ExitCode": int},
        "PortStatus": dict,
    },
    "DesiredState": str,
    "NetworksAttachments": [{"Network": {"ID": str, "Spec": {"Name": str}}, "Addresses": [str]}],
}

ANSWERS = {
    "/swarm": SWARM,
    "/nodes": [NODE],
    "/nodes/n1": MANAGER,
    "/nodes/n2": NODE,
    "/services?status=true": [
        {**SERVICE, "ServiceStatus": {"RunningTasks": int, "DesiredTasks": int, "CompletedTasks": int}}
    ],
    "/services/web": SERVICE,
    "/tasks": [TASK],
}


def misfits(value: Any, shape: Any, place: str = "") -> list[str]:
    """Where the value is not of the shape."""
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f"{place}: not a list with something in it"]
        return [misfit for item in value for misfit in misfits(item, shape[0], f"{place}[]")]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{place}: not an object"]
        absent = [f"{place}.{name}: absent" for name in shape if name not in value]
        found = [misfits(value[name], inner, f"{place}.{name}") for name, inner in shape.items() if name in value]
        return absent + [misfit for each in found for misfit in each]
    # In Python a boolean is an integer, in JSON it is not.
    fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if fits else [f"{place}: {value!r} is not {shape.__name__}"]


@pytest.mark.parametrize("path", ANSWERS)
def test_answers_have_the_contract_s_shape(path: str) -> None:
    backend = cluster_of_one()
    add_node(backend, "n2")

    async def scenario(api: Api) -> None:
        ports = [{"TargetPort": 80, "PublishedPort": 8080}]
        await api.create(Mode={"Replicated": {"Replicas": 2}}, EndpointSpec={"Ports": ports})
        run_tasks(backend)
        status, answer = await api.call("GET", path)
        assert status == 200
        assert misfits(answer, ANSWERS[path]) == []

    run(scenario, lifecycle=manager(backend))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nodes/none", None, 404),
        ("DELETE", "/nodes/none", None, 404),
        ("DELETE", "/nodes/n1", None, 400),
        ("DELETE", "/nodes/n1?force=true", None, 400),
        ("DELETE", "/nodes/n2", None, 400),
        ("DELETE", "/nodes/n2?force=true", None, 200),
        ("POST", "/nodes/none/update?version=1", {"Role": "worker", "Availability": "active"}, 404),
        ("POST", "/nodes/n2/update?version=x", {"Role": "worker", "Availability": "active"}, 400),
        ("POST", "/nodes/n2/update?version=0", {"Role": "worker", "Availability": "active"}, 500),
        ("POST", "/nodes/n2/update?version=1", {"Role": "boss", "Availability": "active"}, 400),
        ("POST", "/nodes/n1/update?version=1", {"Role": "worker", "Availability": "active"}, 400),
        ("GET", "/tasks/none", None, 404),
        ("GET", '/tasks?filters={"node":["none"]}', None, 404),
        ("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"}, 503),
        ("POST", "/swarm/join", {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": ["127.0.0.9:2377"]}, 503),
        ("POST", "/swarm/leave", None, 503),
        ("POST", "/swarm/leave?force=true", None, 200),
        ("POST", "/swarm/update?version=1", {"Name": "default", "CAConfig": {"SigningCAKey": "x"}}, 400),
        ("POST", "/swarm/unlock", {"UnlockKey": "x"}, 409),
        ("GET", "/swarm/unlockkey", None, 200),
        ("GET", "/events?since=x", None, 400),
        ("PATCH", "/nodes", None, 404),
    ],
)
def test_status_codes(method: str, path: str, body: Any, status: int) -> None:
    backend = cluster_of_one()
    add_node(backend, "n2")

    async def scenario(api: Api) -> None:
        answer = await api.response(method, path, json=body)
        assert answer.status == status, await answer.text()

    run(scenario, lifecycle=manager(backend))
