"""What is read from a resolv.conf, and what is written into one."""

import pytest

from orchestrator.model.resolver_settings import ResolverSettings, read_resolver_file, resolver_file

NODE = ResolverSettings(("192.0.2.1",), ("corp.example",), ("timeout:2",))


def test_a_file_is_read_as_a_resolver_reads_it() -> None:
    text = (
        "# made by hand\ndomain x\nsearch a.example b.example\nnameserver 127.0.0.11\nnameserver nonsense\n\n"
        "nameserver\nnameserver fd00::1\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions rotate\noptions ndots:1\n"
    )
    assert read_resolver_file(text) == ResolverSettings(
        ("127.0.0.11", "fd00::1", "1.1.1.1"), ("a.example", "b.example"), ("rotate", "ndots:1")
    )
    assert read_resolver_file("") == ResolverSettings()


@pytest.mark.parametrize(
    ("own", "lines"),
    [
        (ResolverSettings(), ["search corp.example", "options timeout:2 ndots:0"]),
        (ResolverSettings(search=("a.org", "b.org")), ["search a.org b.org", "options timeout:2 ndots:0"]),
        (ResolverSettings(search=(".",), options=("ndots:2", "rotate")), ["options ndots:2 rotate"]),
        (
            ResolverSettings(("10.0.1.2", "10.0.2.2", "10.0.3.2", "10.0.4.2"), (".",)),
            ["nameserver 10.0.1.2", "nameserver 10.0.2.2", "nameserver 10.0.3.2", "options timeout:2 ndots:0"],
        ),
    ],
)
def test_what_a_container_does_not_say_is_the_nodes(own: ResolverSettings, lines: list[str]) -> None:
    assert resolver_file(own, NODE).splitlines() == lines


def test_without_any_settings_only_the_dots_are_set() -> None:
    assert resolver_file(ResolverSettings(), ResolverSettings()) == "options ndots:0\n"
