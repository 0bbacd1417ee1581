"""Which requests are ours."""

import pytest

from orchestrator.api.routes import ROUTES, is_swarm_path


@pytest.mark.parametrize(
    "path",
    [
        "/_ping",
        "/v1.45/_ping",
        "/version",
        "/v1.24/info",
        "/swarm",
        "/swarm/init",
        "/v1.45/nodes",
        "/nodes/self/update",
        "/services/web/logs",
        "/tasks/x",
        "/services/a/b/c",
        "/secrets",
        "/configs/x",
        "/debug/swarm",
    ],
)
def test_ours(path: str) -> None:
    assert is_swarm_path("GET", path)
    assert is_swarm_path("POST", path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/containers/json",
        "/v1.45/volumes",
        "/system/df",
        "/swarmed",
        "/servicesx",
        "/v1.45/images/services/json",
        "/containers/nodes/json",
        "/infox",
        "/distribution/services/json",
        "/v1/nodes",
        "/debug/vars",
    ],
)
def test_the_engine_s(path: str) -> None:
    assert not is_swarm_path("GET", path)


def test_every_line_of_the_table_has_one_handler_and_is_ours() -> None:
    for route in ROUTES:
        assert (route.any_node is None) != (route.leader is None)
        assert is_swarm_path(route.method, route.path)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
