"""Orders of a deposed leader are refused, by a restarted daemon too."""

from unittest.mock import Mock

from orchestrator.agent.agent import Agent


def test_an_earlier_term_is_refused_and_a_later_one_remembered() -> None:
    remembered: list[int] = []
    agent = Agent(
        "n1",
        "10.0.0.1",
        Mock(),
        managers=(),
        remember_managers=Mock(),
        term=4,
        remember_term=remembered.append,
        tls=Mock(),
        certificates=Mock(),
    )
    assert not agent.obeys(3)
    assert agent.obeys(4)
    assert remembered == []
    assert agent.obeys(6)
    assert remembered == [6]
    assert not agent.obeys(5)
    assert agent.obeys(6)
