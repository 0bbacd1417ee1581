"""What swarm mode has and this orchestrator does not is refused in one line, never ignored."""

from typing import Any

import pytest

from tests.unit.api.client import Api, run

IMAGE = {"Image": "nginx:1"}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"ContainerSpec": {**IMAGE, "Isolation": "hyperv"}}, "isolation 'hyperv' is not supported"),
        (
            {"ContainerSpec": {**IMAGE, "Privileges": {"CredentialSpec": {"File": "x"}}}},
            "credential specs are not supported",
        ),
        (
            {"ContainerSpec": {**IMAGE, "Configs": [{"Runtime": {}, "ConfigID": "i", "ConfigName": "n"}]}},
            "credential specs are not supported",
        ),
        (
            {"ContainerSpec": {**IMAGE, "Mounts": [{"Type": "cluster", "Source": "v", "Target": "/v"}]}},
            "mounts of type 'cluster' are not supported",
        ),
        (
            {"ContainerSpec": {**IMAGE, "Mounts": [{"Type": "npipe", "Source": "v", "Target": "/v"}]}},
            "mounts of type 'npipe' are not supported",
        ),
        (
            {"ContainerSpec": IMAGE, "Networks": [{"Target": "webnet", "DriverOpts": {"k": "v"}}]},
            "driver options of a network attachment are not supported",
        ),
        ({"Runtime": "plugin", "PluginSpec": {"Name": "p"}}, "services that install plugins are not supported"),
        (
            {"ContainerSpec": IMAGE, "NetworkAttachmentSpec": {"ContainerID": "x"}},
            "tasks that only attach a network are not supported",
        ),
    ],
)
def test_at_creation_and_update(template: dict[str, Any], reason: str) -> None:
    async def scenario(api: Api) -> None:
        body = {"Name": "x", "TaskTemplate": template}
        await api.call("POST", "/networks/create", {"Name": "webnet", "Driver": "overlay"})
        service_id = await api.create(Name="y")
        for path in ("/services/create", f"/services/{service_id}/update?version=9"):
            status, answer = await api.call("POST", path, body)
            assert status == 501, answer
            assert answer["message"].startswith(f"rpc error: code = Unimplemented desc = {reason}")

    run(scenario)


@pytest.mark.parametrize("privileges", [None, {}, {"CredentialSpec": None}, {"NoNewPrivileges": True}])
def test_what_says_nothing_is_not_refused(privileges: dict[str, Any] | None) -> None:
    async def scenario(api: Api) -> None:
        container = {**IMAGE, "Isolation": "default", "Privileges": privileges}
        await api.create(TaskTemplate={"ContainerSpec": container})

    run(scenario)
