"""What `python -m pytest_swarm` refuses before it touches Docker, and how it says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_swarm import command_line
from pytest_swarm.engine_client import DockerUnavailable


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("cluster", "the following arguments are required: COMMAND"),
        ("cluster create --nodes 0", "argument --nodes: expected a whole number of at least 1, not '0'"),
        ("cluster create --name ../x", "argument --name: '../x' is not a name of letters, digits, '_', '-' and '.'"),
        ("cluster create --engine podman", "argument --engine: invalid choice: 'podman'"),
        ("cluster env", "the following arguments are required: NAME"),
        ("cluster rm", "the following arguments are required: NAME"),
    ],
)
def test_a_wrong_word_is_a_usage_error(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(words.split())

    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_more_managers_than_nodes_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host: Any = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(command_line, "connect_host", lambda: host)

    assert command_line.main(["cluster", "create", "--nodes", "2", "--managers", "3"]) == 1

    assert capsys.readouterr().err == (
        "--managers is 3, but there are only 2 nodes: raise --nodes or lower --managers\n"
    )


def test_a_missing_engine_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise DockerUnavailable("no Docker Engine answers here")

    monkeypatch.setattr(command_line, "connect_host", refuse)

    assert command_line.main(["cluster", "ls"]) == 1

    assert capsys.readouterr().err == "no Docker Engine answers here\n"
