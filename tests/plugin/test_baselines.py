"""--swarm-save and --swarm-compare in a pytest of its own, with runs that are nothing but books."""

from __future__ import annotations

import json

import pytest

FAKE_RUNS = """
    import dataclasses
    from types import SimpleNamespace

    import pytest
    from pytest_swarm.ledger import ClientRecord, balance
    from pytest_swarm.phases import split_into_phases
    from pytest_swarm.report.junit import properties_of
    from workloads.locustfiles.http_client import Outcome


    @pytest.fixture
    def ran(record_property):
        def add(fate, seconds=1.0, violations=()):
            outcome = Outcome("load1-000001", "n1:80", 0.0, 0.0, request_class=fate, finished=seconds)
            outcome.finished_monotonic = seconds
            record = ClientRecord.from_json(dataclasses.asdict(outcome))
            ledger = balance([record], [], split_into_phases(0.0, seconds, []), 1)
            run = SimpleNamespace(
                name="load1", has_ended=True, violations=violations, verdicts=(), broken=(), ledger=ledger
            )
            for name, value in properties_of([run]):
                record_property(name, value)

        return add
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(variable, raising=False)
    pytester.makeconftest(FAKE_RUNS)
    return pytester


def run(project: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(f"def test_it(ran):\n    {body}\n")
    return project.runpytest_subprocess(*arguments)


def test_a_session_that_lost_more_than_the_baseline_fails(project: pytest.Pytester) -> None:
    saved = run(project, "ran('answered')", "--swarm-save=main")
    assert saved.ret == 0
    saved.stdout.fnmatch_lines(["saved: .swarm/main.json with 1 runs; compare with --swarm-compare=main"])

    same = run(project, "ran('answered')", "--swarm-compare=main", "--swarm-compare-fail=lost:0,slowest:10%")
    assert same.ret == 0
    same.stdout.fnmatch_lines(["compared with baseline main:", "*::test_it load1*slowest*1 s*1 s*10 %*"])

    worse = run(project, "ran('reset')", "--swarm-compare=main", "--swarm-compare-fail=lost:0")
    assert worse.ret == pytest.ExitCode.TESTS_FAILED
    worse.assert_outcomes(passed=1)
    worse.stdout.fnmatch_lines(["*lost*0*1*+1*REGRESSION*", "REGRESSION: *::test_it load1: lost was 0, is 1"])

    shown = run(project, "ran('reset')", "--swarm-compare=main")
    assert shown.ret == 0


def test_a_gate_that_compares_nothing_fails(project: pytest.Pytester) -> None:
    run(project, "ran('answered')", "--swarm-save=main")

    nothing = run(project, "pass", "--swarm-compare=main", "--swarm-compare-fail=lost:0")

    assert nothing.ret == pytest.ExitCode.TESTS_FAILED
    nothing.stdout.fnmatch_lines(["REGRESSION: no run of this session has a counterpart in the baseline: *"])
    collected = run(project, "pass", "--collect-only", "--swarm-compare=main", "--swarm-compare-fail=lost:0")
    assert collected.ret == 0


def test_an_invalid_run_is_no_baseline(project: pytest.Pytester) -> None:
    result = run(project, "ran('answered', violations=['too thin'])", "--swarm-save=main")

    result.stdout.fnmatch_lines(["not saved: this session has no valid run to keep as baseline main"])
    assert not (project.path / ".swarm").exists()


def test_the_storage_can_be_elsewhere(project: pytest.Pytester) -> None:
    run(project, "ran('answered')", "--swarm-save=main", "--swarm-storage=else/where")

    ((run_name, figures),) = json.loads((project.path / "else/where/main.json").read_text())["runs"].items()
    assert run_name.endswith("::test_it load1")
    assert figures["lost"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--swarm-compare=gone"],
            "ERROR: --swarm-compare is 'gone': there is no .swarm/gone.json; *",
        ),
        (["--swarm-compare-fail=lost:0"], "ERROR: --swarm-compare-fail needs a baseline: add --swarm-compare=NAME"),
        (["--swarm-compare=a", "--swarm-compare-fail=lost"], "ERROR: --swarm-compare-fail is 'lost': expected *"),
        (["--swarm-save=../main"], "ERROR: --swarm-save is '../main': expected a name of letters, *"),
    ],
)
def test_bad_input_is_one_line(project: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = run(project, "pass", *arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_github_gets_a_summary(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project, "ran('answered')", "--swarm-save=main")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))

    run(project, "pass", "--swarm-compare=main", "--swarm-compare-fail=lost:0")

    assert "- **no run of this session has a counterpart" in (project.path / "summary.md").read_text()
