"""Commands: what they say, and how they fail."""

import asyncio

import pytest

from orchestrator.network.commands import CommandFailed, run


def test_a_command_is_fed_and_its_output_returned() -> None:
    assert asyncio.run(run("cat", stdin="rules\n")) == "rules\n"


def test_a_failure_is_one_line_in_the_commands_own_words() -> None:
    with pytest.raises(CommandFailed, match=r"sh -c .*: no such table$") as failure:
        asyncio.run(run("sh", "-c", "echo no such table >&2; echo more >&2; exit 3"))
    assert failure.value.status == 3


def test_a_silent_failure_says_its_status() -> None:
    with pytest.raises(CommandFailed, match="false: exit status 1"):
        asyncio.run(run("false"))


def test_a_command_that_is_not_installed_says_so() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        asyncio.run(run("no-such-command"))
