"""Whatever becomes of a test, its faults are healed before the next one."""

from __future__ import annotations

import pytest

CONFTEST = """
    import pytest

    class Cluster:
        services = ()
        log = []

        def isolate(self, node):
            self.log.append(f"{node} isolated")

        def heal(self, *, wait=True):
            self.log.append("healed")

        def reset(self, keep):
            self.heal()

    @pytest.fixture(scope="session")
    def swarm():
        yield Cluster()
        print("at the end:", *Cluster.log, sep=" / ")
"""
TESTS = """
    def test_that_fails(swarm):
        swarm.isolate("n1")
        raise AssertionError("nothing was healed by the test")

    def test_that_begins_whole(swarm):
        assert swarm.log == ["n1 isolated", "healed"]

    def test_that_is_the_last(swarm):
        swarm.isolate("n2")
"""


def test_faults_are_healed_after_each_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)

    result = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider")

    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["*at the end: / n1 isolated / healed / healed / n2 isolated / healed"])
