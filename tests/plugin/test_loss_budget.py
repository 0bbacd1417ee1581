"""The marker loss_budget in a pytest of its own, with loads that are nothing but books."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

# A load that ends as the test says, on a cluster that is nothing but a name.
FAKE_LOAD = """
    from types import SimpleNamespace

    import pytest
    from pytest_swarm import load as load_module
    from pytest_swarm.guards import Control
    from pytest_swarm.ledger import balance
    from pytest_swarm.phases import split_into_phases
    from pytest_swarm.service_spec import update_policy


    class Run:
        def __init__(self, cluster, service, settings, name, scenario, results, *, through, budget, location):
            self.budget = budget
            self.name = name
            self.scenario = scenario
            self.location = location
            self.verdicts = self.broken = self.violations = ()
            self.ledger = balance([], [], split_into_phases(0.0, 0.0, []), 0)
            self.has_ended = False
            self.cluster = cluster
            self.service = SimpleNamespace(deployment=SimpleNamespace(image="shop:1", replicas=1))
            self.policy = update_policy({})
            self.settings = settings
            self.operations = self.unproven = []
            self.update_seconds = 0.0
            self.control = Control.of([])

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            self.has_ended = True
            if self.budget.limits.get("duplicates") == 0:
                self.broken = self.verdicts = self.budget.judge(self.ledger)
                raise AssertionError("the loss budget is broken")

        def explain(self):
            return "the story"


    @pytest.fixture(scope="session")
    def swarm(tmp_path_factory):
        nothing = lambda **options: None
        directory = tmp_path_factory.mktemp("cluster")
        engine = SimpleNamespace(name="orchestrator")
        return SimpleNamespace(directory=directory, services=[], reset=nothing, heal=nothing, engine=engine)


    @pytest.fixture(autouse=True)
    def fake_runs(monkeypatch):
        monkeypatch.setattr(load_module, "LoadRun", Run)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(variable, raising=False)
    pytester.makeconftest(FAKE_LOAD)
    return pytester


def run(project: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(source)
    return project.runpytest_subprocess("--strict-markers", *arguments)


def test_the_marker_is_documented(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.loss_budget(lost=0, *): *"])


def test_a_marker_wins_for_the_keys_it_names(project: pytest.Pytester) -> None:
    source = """
        import pytest

        pytestmark = pytest.mark.loss_budget(reset=7, refused=7)

        @pytest.mark.loss_budget(lost=3, refused=0)
        def test_it(load):
            with load(None) as run:
                pass
            print(f"allowed: {run.budget}")
    """
    result = run(project, source, "-s", "--swarm-loss-budget=lost=0,p99=2s")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*allowed: lost=3, p99=2 s, reset=7, refused=0*"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("lots=0", "the marker loss_budget of test_it: nothing is called 'lots': expected one of lost, *"),
        ("p99='soon'", 'the marker loss_budget of test_it: p99 is \'soon\': expected "500ms", "2s" or 2'),
        ("'lost=0'", "the marker loss_budget of test_it: expected limits by name, such as lost=0, p99='2s'"),
        ("", "the marker loss_budget of test_it: expected limits by name, such as lost=0, p99='2s'"),
    ],
)
def test_a_bad_word_in_a_marker_is_an_error_of_the_test(project: pytest.Pytester, words: str, message: str) -> None:
    source = f"""
        import pytest

        @pytest.mark.loss_budget({words})
        def test_it(load):
            pass

        def test_another():
            pass
    """
    result = run(project, source)

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([message.replace("[", "[[]")])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("fixture", ["", "load"])
def test_a_budget_that_no_load_was_held_against_is_not_green(project: pytest.Pytester, fixture: str) -> None:
    source = f"""
        import pytest

        @pytest.mark.loss_budget(lost=0)
        def test_it({fixture}):
            pass
    """
    result = run(project, source)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the marker loss_budget of test_it has judged nothing: no load *"])


def test_a_bad_option_is_one_line(project: pytest.Pytester) -> None:
    result = run(project, "", "--swarm-loss-budget=lost=0,p99=soon")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --swarm-loss-budget is 'lost=0,p99=soon': p99 is 'soon': expected *"])


def test_github_is_told_which_test_broke_its_budget(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import pytest


        @pytest.mark.loss_budget(duplicates=0)
        def test_it(load):
            with load(None):
                pass
    """
    run(project, source).stdout.no_fnmatch_line("::error*")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))

    result = run(project, source)

    result.assert_outcomes(failed=1)
    file = f"{project.path.name}/test_github_is_told_which_test_broke_its_budget.py"
    result.stdout.fnmatch_lines([f"::error file={file},line=4,title=loss budget broken::*"])


def test_a_junit_file_has_the_figures_of_each_load(project: pytest.Pytester) -> None:
    source = """
        def test_it(load):
            with load(None):
                pass
            with load(None):
                pass
    """
    run(project, source, "--junit-xml=junit.xml").assert_outcomes(passed=1)

    case = ElementTree.parse(project.path / "junit.xml").find(".//testcase")
    assert case is not None
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties["swarm.load1.lost"] == "0"
    assert properties["swarm.load2.valid"] == "yes"
    assert properties["swarm.load2.verdict"] == "nothing was sent, so nothing is proved"
