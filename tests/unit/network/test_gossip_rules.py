"""One gossiping node, and a few together, by the letter of SWIM. Many, with loss and faults: tests/simulation."""

import random
import statistics

from orchestrator.network.gossip_message_rules import Kind, Message, Standing, Update
from orchestrator.network.gossip_rules import WORST_HEALTH, Gossip, Outcome
from orchestrator.testing.simulated_gossip import SimulatedGossip

DEADLINE_S = 20.0


def a_node(*others: str) -> Gossip:
    node = Gossip("me", 7, random.Random(1).random)
    node.follow(0.0, ["me", *others])
    return node


def kinds(outcome: Outcome) -> list[tuple[str, Kind]]:
    return [(to, message.kind) for to, message in outcome.sends]


def answer(message: Message, sender: str, number: int = 1, *updates: Update) -> Message:
    return Message(sender, 99, number, Kind.ACK, 0, message.sequence, updates=updates)


def pinged(node: Gossip) -> tuple[str, Message]:
    """Let the node come to its next ping."""
    for _ in range(100):
        for to, message in node.tick(node.wake_at).sends:
            if message.kind is Kind.PING:
                return to, message
    raise AssertionError("it pings nobody")


def met(node: Gossip, *others: str) -> None:
    """Have the node know the others' sessions."""
    waiting = set(others)
    while waiting:
        to, ping = pinged(node)
        node.receive(node.wake_at, answer(ping, to, 1 if to in waiting else 1000))
        waiting.discard(to)


def test_alone_it_does_nothing() -> None:
    assert a_node().wake_at == float("inf")


def test_a_ping_is_answered_with_its_number() -> None:
    node = a_node("a")
    met(node, "a")
    outcome = node.receive(node.wake_at, Message("a", 99, 2, Kind.PING, 0, 1234))
    assert [(to, message.kind, message.sequence) for to, message in outcome.sends] == [("a", Kind.ACK, 1234)]


def test_without_an_answer_others_are_asked_and_then_it_is_suspected() -> None:
    node = a_node("a", "b", "c")
    met(node, "a", "b", "c")
    silent, ping = pinged(node)
    asked: list[tuple[str, str]] = []
    suspected: list[str] = []
    number = 5000
    while not suspected:
        outcome = node.tick(node.wake_at)
        suspected += [change.member for change in outcome.changes if change.standing is Standing.SUSPECT]
        for to, message in outcome.sends:
            number += 1
            if message.kind is Kind.PING_REQUEST and message.sequence == ping.sequence:
                asked.append((to, message.target))
            elif message.kind is Kind.PING and to != silent:
                node.receive(node.wake_at, answer(message, to, number))
    assert suspected == [silent]
    assert sorted(asked) == [(helper, silent) for helper in sorted({"a", "b", "c"} - {silent})]


def test_a_helper_passes_the_answer_on_or_says_that_there_is_none() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    now = node.wake_at
    outcome = node.receive(now, Message("a", 99, 2000, Kind.PING_REQUEST, 0, 77, "b"))
    ((to, ping),) = outcome.sends
    assert (to, ping.kind) == ("b", Kind.PING)
    passed_on = node.receive(now, answer(ping, "b", 2000)).sends
    assert [(to, message.kind, message.sequence) for to, message in passed_on] == [("a", Kind.ACK, 77)]

    node.receive(now, Message("a", 99, 2001, Kind.PING_REQUEST, 0, 78, "b"))
    said: list[tuple[str, int]] = []
    while not said:
        sends = node.tick(node.wake_at).sends
        said = [(to, message.sequence) for to, message in sends if message.kind is Kind.NACK]
    assert said == [("a", 78)]


def test_who_hears_that_it_is_suspected_refutes_with_a_higher_incarnation() -> None:
    node = a_node("a")
    met(node, "a")
    accusation = Update("me", Standing.SUSPECT, 0, "a")
    outcome = node.receive(node.wake_at, Message("a", 99, 2, Kind.PING, 0, 5, updates=(accusation,)))
    ((_, ack),) = outcome.sends
    assert ack.incarnation == 1
    assert Update("me", Standing.ALIVE, 1) in ack.updates


def test_a_higher_incarnation_clears_and_an_old_accusation_does_nothing() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    node.receive(node.wake_at, Message("b", 99, 2000, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 0, "b"),)))
    assert node.dead == {"a"}
    refuted = Message("b", 99, 2001, Kind.WORD, 0, updates=(Update("a", Standing.ALIVE, 1),))
    assert [(c.member, c.standing) for c in node.receive(node.wake_at, refuted).changes] == [("a", Standing.ALIVE)]
    node.receive(node.wake_at, Message("b", 99, 2002, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 0, "b"),)))
    assert node.dead == frozenset()


def test_who_is_held_dead_hears_so_in_every_message_to_it() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    node.receive(node.wake_at, Message("b", 99, 2000, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 3, "b"),)))
    for number in range(2001, 2020):
        ((_, ack),) = node.receive(node.wake_at, Message("a", 99, number, Kind.PING, 3, 5)).sends
        assert ack.updates[0] == Update("a", Standing.DEAD, 3, "me")


def test_silence_of_one_that_never_answered_means_nothing() -> None:
    world = SimulatedGossip(4, seed=1)
    for name in world.names[1:]:
        world.start(name)
    world.kill("n0")
    world.run(10)
    assert world.verdicts == []


def test_a_recorded_message_is_dropped() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    word = Message("b", 99, 3000, Kind.WORD, 0, updates=(Update("a", Standing.SUSPECT, 0, "b"),))
    assert node.receive(node.wake_at, word).changes
    cleared = Message("b", 99, 3001, Kind.WORD, 0, updates=(Update("a", Standing.ALIVE, 1),))
    node.receive(node.wake_at, cleared)
    again = node.receive(node.wake_at, word)
    assert (again.dropped, again.changes, again.sends) == ("replayed", (), ())


def test_a_session_counts_only_when_it_has_answered_a_ping() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    recorded = Message("b", 55, 9, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 0, "b"),))
    outcome = node.receive(node.wake_at, recorded)
    assert outcome.dropped == "unproven"
    assert outcome.changes == ()
    ((to, greeting),) = outcome.sends
    assert (to, greeting.kind) == ("b", Kind.PING)
    proof = Message("b", 55, 10, Kind.ACK, 0, greeting.sequence)
    assert node.receive(node.wake_at, proof).dropped == ""
    later = Message("b", 55, 11, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 0, "b"),))
    assert node.receive(node.wake_at, later).changes


def test_recordings_do_not_make_a_node_ping_ever_more() -> None:
    node = a_node("a")
    now = node.wake_at
    sent = [node.receive(now, Message("a", 55, number, Kind.WORD, 0)).sends for number in range(100)]
    assert sum(map(len, sent)) == 1


def test_strangers_are_dropped() -> None:
    assert a_node("a").receive(0.0, Message("x", 1, 1, Kind.PING, 0, 5)) == Outcome(dropped="not a member")


def test_one_that_is_no_member_any_more_is_not_dead_either() -> None:
    node = a_node("a", "b")
    met(node, "a", "b")
    node.receive(node.wake_at, Message("b", 99, 2000, Kind.WORD, 0, updates=(Update("a", Standing.DEAD, 0, "b"),)))
    node.follow(node.wake_at, ["b"])
    assert node.dead == frozenset()


def test_a_node_that_comes_late_holds_itself_for_slow_and_gives_others_the_time_it_lost() -> None:
    node = a_node("a")
    met(node, "a")
    while node.health:
        met(node, "a")
    _, ping = pinged(node)
    woken = node.wake_at + 30.0
    outcome = node.tick(woken)
    assert (node.health, outcome.changes) == (1, ())
    assert node.receive(woken, answer(ping, "a", 4000)).changes == ()
    assert node.dead == frozenset()


def test_health_is_bounded() -> None:
    node = a_node("a")
    for _ in range(50):
        node.tick(node.wake_at + 10.0)
    assert node.health == WORST_HEALTH


def test_a_death_is_known_everywhere_in_about_a_second() -> None:
    for size in (2, 3, 4):
        seconds = []
        for seed in range(15):
            world = SimulatedGossip(size, seed)
            world.run(3.0)
            world.kill("n0")
            seconds.append(world.run_until(lambda w=world: len(w.holders("n0")) == len(w.nodes), DEADLINE_S))  # type: ignore[misc]
        assert statistics.median(seconds) < 1.1, (size, seconds)
        assert max(seconds) < 2.0, (size, seconds)


def test_a_restarted_node_is_taken_back_though_it_remembers_nothing() -> None:
    world = SimulatedGossip(4, seed=2)
    world.run(3.0)
    world.kill("n0")
    world.run_until(lambda: len(world.holders("n0")) == 3, DEADLINE_S)
    world.start("n0")
    assert world.run_until(lambda: not world.holders("n0"), DEADLINE_S) < 1.5
    assert world.nodes["n0"].dead == frozenset()


def test_idle_nodes_say_little() -> None:
    world = SimulatedGossip(8, seed=3)
    world.run(3.0)
    before = world.sent
    world.run(10.0)
    assert (world.sent - before) / 10.0 / 8 < 11


def test_the_last_one_left_falls_silent() -> None:
    node = a_node("a")
    met(node, "a")
    node.receive(node.wake_at, Message("a", 99, 2000, Kind.WORD, 0, updates=(Update("me", Standing.SUSPECT, 0, "a"),)))
    node.follow(node.wake_at, ["me"])
    assert node.wake_at == float("inf")
