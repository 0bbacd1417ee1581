"""What the documents say is so: every example is run or checked, every option, name, link and file in them exists.

The examples that need a cluster are run by tests/cluster/test_documents.py. Here each is collected by the plugin with
its fixtures and markers, and held against the plugin's types: a method that was renamed is an error of the example.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_swarm import options
from pytest_swarm.budget import Budget
from pytest_swarm.faults import Faults
from pytest_swarm.load_settings import LoadSettings
from tests.documents import CHECKOUT, DOCUMENTS, Example, anchors, commands, examples, first_column, inline, languages

PYTHON = examples("python")
COMMANDS = commands()
TYPES = {
    "swarm": "Cluster",
    "fresh_swarm": "Cluster",
    "load": "Load",
    "shop": "Service",
    "web": "Service",
    "order": "Any",
    "client": "Any",
}
# Said in each file, not on the command line: so mypy still has what it found out about the rest when it linted.
PRELUDE = """\
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, check-untyped-defs, no-strict-optional
# mypy: disable-error-code="empty-body,no-untyped-def"
from pathlib import Path
from typing import Any
import pytest
from pytest_swarm.cluster import Cluster
from pytest_swarm.load import Load
from pytest_swarm.service import Service
"""
CHECKED_LANGUAGES = {"python", "console", "yaml", "ini", ""}
CALLS_OF_LOAD = {field.name for field in dataclasses.fields(LoadSettings)} | {"through"}


def names(values: list[Example]) -> list[str]:
    return [value.name for value in values]


def test_no_example_is_in_a_language_that_nobody_checks() -> None:
    assert languages() <= CHECKED_LANGUAGES


def test_there_are_examples() -> None:
    assert len(PYTHON) > 5
    assert len(COMMANDS) > 5


# Python ------------------------------------------------------------------------------------------------------


def test_the_python_examples_agree_with_the_types_of_the_plugin(tmp_path: Path) -> None:
    """Names of methods, attributes and arguments."""
    files = []
    for example in PYTHON:
        file = tmp_path / f"{example.name.replace('-', '_')}.py"
        file.write_text(PRELUDE + annotated(example))
        files.append(str(file))
    command = [sys.executable, "-m", "mypy", "--config-file", str(CHECKOUT / "pyproject.toml")]
    result = subprocess.run([*command, *files], capture_output=True, text=True, timeout=300, check=False, cwd=CHECKOUT)
    assert result.returncode == 0, result.stdout + result.stderr


def annotated(example: Example) -> str:
    """The example with types for the fixtures it takes; a piece of a test becomes one."""
    tree = ast.parse(example.source)
    if not example.is_module:
        parameters = ", ".join(f"{name}: {annotation}" for name, annotation in TYPES.items())
        body = "\n".join(f"    {line}" for line in example.source.splitlines())
        return f"def test_piece({parameters}) -> None:\n{body}\n"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for argument in node.args.args:
                if argument.arg in TYPES and argument.annotation is None:
                    argument.annotation = ast.Name(TYPES[argument.arg])
    return ast.unparse(tree) + "\n"


@pytest.mark.parametrize("example", PYTHON, ids=names(PYTHON))
def test_the_settings_of_its_loads_are_settings(example: Example) -> None:
    """They are keywords that no type checker knows."""
    for node in ast.walk(ast.parse(example.source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
            assert {keyword.arg for keyword in node.keywords} <= CALLS_OF_LOAD, ast.unparse(node)


def test_the_fixtures_and_markers_of_the_examples_exist(pytester: pytest.Pytester) -> None:
    """With --setup-plan pytest looks for every fixture, and the plugin reads every marker, but nothing is booted."""
    for example in PYTHON:
        if not example.is_module:
            continue
        # Each in a folder of its own: some are a conftest.py.
        folder = pytester.mkdir(example.name)
        if "swarm_images" in example.source:
            (folder / "conftest.py").write_text(f"import pytest\n{example.source}")
            (folder / "test_it.py").write_text("def test_images(swarm_images): pass")
        else:
            (folder / "test_it.py").write_text(f"import pytest\n{example.source}")
    result = pytester.runpytest_subprocess("--setup-plan", "--strict-markers", "--import-mode=importlib")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes().get("error") is None


# Commands, options and settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(("example", "command"), COMMANDS, ids=[f"{each.name}: {text}" for each, text in COMMANDS])
def test_a_command_is_taken(
    example: Example, command: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as far as that needs no Docker: pytest collects, the clean-up reads its arguments."""
    words = shlex.split(command)
    if words[0] == "eval":
        words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    program, arguments = Path(words[0]).name, words[1:]
    in_checkout = any((CHECKOUT / word.partition("::")[0]).exists() for word in arguments)
    if program == "pytest" and not in_checkout:
        pytester.makepyfile("def test_one(): pass")
        # In this process, for there are many of them and most of such a run is imports.
        result = pytester.runpytest_inprocess(*arguments, "--collect-only", "-q", "-p", "no:cacheprovider")
        assert result.ret == pytest.ExitCode.OK, result.outlines + result.errlines
        return
    if program == "pytest":
        call = [sys.executable, "-m", "pytest", *arguments, "--collect-only", "-q", "-p", "no:cacheprovider"]
    elif program == "pytest-swarm-cleanup":
        call = [sys.executable, "-m", "pytest_swarm.cleanup", *arguments, "--help"]
    elif words[:3] == [words[0], "-m", "pytest_swarm"]:
        call = [sys.executable, *words[1:], "--help"]
    elif program == "make":
        # Looked up, for even a dry run runs the lines that call make themselves.
        assert set(arguments) <= set(re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.M))
        return
    elif program in {"docker", "pip", "apt-get", "systemctl", "curl"}:
        return  # somebody else's
    else:
        pytest.fail(f"{example.name} tells to type {program}, and no test knows how to check that")
    ended = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("example", examples("ini"), ids=names(examples("ini")))
def test_an_ini_file_is_taken(example: Example, pytester: pytest.Pytester) -> None:
    pytester.makeini(example.source)
    pytester.makepyfile("def test_one(): pass")
    assert pytester.runpytest_inprocess("--strict-config", "--collect-only").ret == 0


@pytest.mark.parametrize("example", examples("yaml"), ids=names(examples("yaml")))
def test_a_workflow_gives_the_gate_what_it_takes(example: Example) -> None:
    gate = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "gate.yml").read_text())
    inputs = gate[True]["workflow_call"]["inputs"]  # YAML takes the key `on` for a truth
    (job,) = yaml.safe_load(example.source)["jobs"].values()
    assert Path(job["uses"].partition("@")[0]).name == "gate.yml"
    assert set(job["with"]) <= set(inputs)
    Budget.parse(job["with"].get("loss-budget", "lost=0"))


def words_about_options(path: Path) -> set[str]:
    text = path.read_text("utf-8")
    flags = set(re.findall(r"(?<![\w/-])--swarm-[a-z-]+", text))
    variables = set(re.findall(r"\bSWARM_[A-Z_]+", text)) - {"SWARM_NODE_ADDR"}  # which `cluster env` sets
    keys = set(re.findall(r"`(swarm_[a-z_]+)`", text)) - {
        "swarm_images",
        "swarm_engine",
        "swarm_host",
        "swarm_node_image",
    }
    return flags | variables | keys


def test_every_option_is_documented() -> None:
    declared = {word for each in options.DECLARATIONS for word in (each.flag, each.variable)}
    assert declared <= words_about_options(CHECKOUT / "README.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_documented_option_exists(path: Path) -> None:
    declared = {word for each in options.DECLARATIONS for word in (each.flag, each.variable, each.key)}
    assert words_about_options(path) <= declared


# Names, links and files --------------------------------------------------------------------------------------


def test_the_faults_of_the_table_exist() -> None:
    found = [call.partition("(")[0] for path in DOCUMENTS for call in first_column(path, "`swarm.`")]
    assert "kill" in found
    missing = [name for name in found if not hasattr(Faults, name)]
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in inline(path, "link_open"):
        target, _, anchor = str(link.attrGet("href")).partition("#")
        if re.match(r"\w+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_python_name_in_a_sentence_exists(path: Path) -> None:
    """`swarm.x`, `run.x` and the like in inline code."""
    from pytest_swarm.dns_ledger import DnsLedger
    from pytest_swarm.dns_watch import DnsWatch
    from pytest_swarm.fault import Fault
    from pytest_swarm.ledger import Ledger
    from pytest_swarm.load import LoadRun

    owners = {
        "swarm": names_of("cluster", "Cluster"),
        "run": names_of("load", "LoadRun"),
        "ledger": {*dir(Ledger), *dir(DnsLedger), *(field.name for field in dataclasses.fields(DnsLedger))},
        "watch": {*dir(DnsWatch), "samples"},
        "fault": {*dir(Fault), *names_of("fault", "Fault")},
        "shop": names_of("service", "Service"),
    }
    assert "ledger" in dir(LoadRun)
    for code in inline(path, "code_inline"):
        for owner, name in re.findall(r"\b(swarm|run|ledger|watch|fault|shop)\.(\w+)", code.content):
            if f"{owner}.{name}" in LABELS:
                continue
            assert name in owners[owner], code.content


LABELS = {"swarm.readiness", "swarm.withdraw", "swarm.drain"}
"""Of services."""


def names_of(module: str, name: str) -> set[str]:
    """The attributes of a class of the plugin: what it defines and what its methods assign to self."""
    tree = ast.parse((CHECKOUT / "pytest_swarm" / f"{module}.py").read_text())
    (definition,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    methods = {node.name for node in definition.body if isinstance(node, ast.FunctionDef)}
    assigned = {
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    return methods | assigned
