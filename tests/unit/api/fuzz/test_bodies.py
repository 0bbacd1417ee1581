"""Bodies that are no JSON, not what their headers say, too deep, or too large."""

import gzip
import io
from typing import Any

import msgspec
import pytest

from orchestrator.api.requests import DEPTH_MAX
from tests.unit.api.client import Api, run

JSON = {"Content-Type": "application/json"}


UNCHECKED = (b'{"TaskTemplate":{"ContainerSpec":{"Image":"a","Mounts":[{"ClusterOptions":', b"}]}}}")
"""Around an object that the API lets be of any shape."""


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def asked(path: str, data: bytes, **headers: str) -> tuple[int, str]:
    """(status, message) of a POST, after which the cluster can still be read."""
    found: list[tuple[int, str]] = []

    async def scenario(api: Api) -> None:
        answer = await api.response(
            "POST", path, data=io.BytesIO(data), headers={**JSON, "Connection": "close", **headers}
        )
        text = await answer.text()
        found.append((answer.status, msgspec.json.decode(text).get("message", "") if text[:1] == "{" else text))
        assert (await api.response("GET", "/services")).status == 200

    run(scenario)
    return found[0]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_encoded_as_it_says(encoding: str) -> None:
    status, _ = asked("/services/create", b"{}{}{}", **{"Content-Encoding": encoding})
    assert status == 400


@pytest.mark.parametrize("data", [b" " * 5_000_000, gzip.compress(b" " * 50_000_000)], ids=["plain", "packed"])
def test_a_body_that_is_too_large(data: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if len(data) < 5_000_000 else {}
    assert asked("/services/create", data, **headers) == (413, "request body too large")


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"1", b'"x"', b"\xff", b'{"Name":"\xff"}', b'{"Name":"\\ud800"}', b"nul"]
)
@pytest.mark.parametrize(
    "path", ["/services/create", "/networks/create", "/containers/create", "/networks/mesh/connect", "/swarm/init"]
)
def test_what_is_no_object_is_refused(path: str, data: bytes) -> None:
    status, message = asked(path, data)
    assert status in (400, 503), message
    assert message.startswith(("invalid JSON: ", "This node is already part"))


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1, 500, 970, 976, 990, 1000, 1100])
@pytest.mark.parametrize("around", [(b"", b""), UNCHECKED], ids=["bare", "in"])
@pytest.mark.parametrize("path", ["/services/create", "/containers/create"])
def test_depth_is_survived(path: str, around: tuple[bytes, bytes], depth: int) -> None:
    inner = depth - around[0].count(b"{") - around[0].count(b"[")
    status, message = asked(path, around[0] + nested(inner) + around[1])
    assert status in (201, 400, 404), message
    assert (status == 400 and message.startswith("invalid JSON: ")) is (depth > DEPTH_MAX), message


@pytest.mark.parametrize("body", [{"EndpointConfig": 1}, {"EndpointConfig": {"IPAMConfig": []}}, {"Container": {}}])
def test_the_engine_s_own_objects_may_be_of_any_shape(body: dict[str, Any]) -> None:
    async def scenario(api: Api) -> None:
        status, answer = await api.call("POST", "/networks/none/connect", body)
        assert (status, answer["message"]) == (404, "network none not found")

    run(scenario)


@pytest.mark.parametrize(
    "path",
    [f"/services/web/update?version={'9' * 5000}", f"/v{'9' * 5000}.1/services", f"/v1.{'9' * 5000}/services"],
    ids=["object", "major", "minor"],
)
def test_numbers_of_thousands_of_digits(path: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.response("POST", path, json={})
        assert answer.status in (400, 404)

    run(scenario)
