"""Options are settled in one place: command line over environment over ini over default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_swarm.budget import Budget
from pytest_swarm.options import Options, resolve

LOST = "swarm_loss_budget"


def settle(
    command_line: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    ini: Mapping[str, str] | None = None,
) -> Options:
    return resolve((command_line or {}).get, environment or {}, (ini or {}).get)


def test_defaults() -> None:
    assert settle() == Options(
        nodes=4, managers=3, engines=("orchestrator",), keep="never", repeat=1, report_dir=None, nodes_given=False
    )


def test_precedence() -> None:
    key = "swarm_nodes"
    assert settle({key: "7"}, {"SWARM_NODES": "6"}, {key: "5"}).nodes == 7
    assert settle({}, {"SWARM_NODES": "6"}, {key: "5"}).nodes == 6
    assert settle({}, {}, {key: "5"}).nodes == 5
    assert settle({}, {"SWARM_NODES": ""}, {key: "5"}).nodes == 5


@pytest.mark.parametrize(("nodes", "managers"), [("1", 1), ("2", 1), ("3", 3), ("9", 3)])
def test_fewer_nodes_have_fewer_managers(nodes: str, managers: int) -> None:
    assert settle({"swarm_nodes": nodes}).managers == managers


def test_a_given_number_of_nodes_is_remembered() -> None:
    assert settle({"swarm_nodes": "4"}).nodes_given


def test_a_folder_is_a_path() -> None:
    assert settle({"swarm_report_dir": "out"}).report_dir == Path("out")


def test_a_loss_budget_is_settled_as_a_whole() -> None:
    assert settle().loss_budget == Budget()
    assert settle({LOST: "lost=1"}, {"SWARM_LOSS_BUDGET": "p99=2s"}).loss_budget == Budget({"lost": 1})
    assert settle({}, {"SWARM_LOSS_BUDGET": "p99=2s"}, {LOST: "lost=0"}).loss_budget == Budget({"p99": 2.0})
    assert settle({}, {}, {LOST: "lost=0"}).loss_budget == Budget({"lost": 0})


@pytest.mark.parametrize(
    ("command_line", "environment", "message"),
    [
        ({"swarm_nodes": "0"}, {}, "--swarm-nodes is '0': expected a whole number of at least 1"),
        ({"swarm_nodes": "many"}, {}, "--swarm-nodes is 'many': expected a whole number of at least 1"),
        (
            {},
            {"SWARM_ENGINE": "k8s"},
            "SWARM_ENGINE (environment) is 'k8s': "
            "expected one of orchestrator, docker, or several of them with commas between",
        ),
        ({"swarm_keep": "maybe"}, {}, "--swarm-keep is 'maybe': expected one of never, on-failure, always"),
        (
            {LOST: "lost=few"},
            {},
            "--swarm-loss-budget is 'lost=few': lost is 'few': expected a whole number such as 0",
        ),
        (
            {"swarm_reuse": "dev", "swarm_keep": "never"},
            {},
            "--swarm-keep is 'never', but --swarm-reuse keeps the cluster for the next session: leave one of them out",
        ),
        (
            {"swarm_managers": "5"},
            {},
            "--swarm-managers is 5, but there are only 4 nodes: raise --swarm-nodes or lower --swarm-managers",
        ),
    ],
)
def test_bad_input_names_the_option_and_the_remedy(
    command_line: dict[str, str], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(pytest.UsageError) as error:
        settle(command_line, environment)
    assert str(error.value) == message
