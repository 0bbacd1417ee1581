"""Placeholders in a task's settings, and in its secrets and configs."""

import time
from dataclasses import replace

import pytest

from orchestrator.model.container import ContainerSpec, FileReference
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.files import FilePayload
from orchestrator.model.node import NodeDescription
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task
from orchestrator.model.templates import expand_payload, expand_template

AT_ONCE_S = 1.0
"""A hundred times as long as it takes; a pattern that tries again from every brace takes minutes."""

NODE = NodeDescription("host-1", "aarch64", "linux")
CONTAINER = ContainerSpec(
    "web:1",
    env=("A=first", "B=x=y", "A=second", "BARE"),
    secrets=(FileReference("s1", "key", "password"),),
    configs=(FileReference("c1", "conf", "/etc/conf"),),
)
TASK = Task(
    "task-id",
    "service-id",
    "web",
    2,
    TaskSpec(CONTAINER),
    1,
    node_id="node-id",
    labels=(("tier", "front"),),
)
PAYLOADS = {"s1": FilePayload("s1", b"pa55 {{.Task.ID}}"), "c1": FilePayload("c1", b"color=red")}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("{{.Service.Name}}/{{ .Service.ID }}", "web/service-id"),
        ("{{.Task.Slot}}-{{.Task.ID}}-{{.Task.Name}}", "2-task-id-web.2.task-id"),
        ("{{.Node.ID}}@{{.Node.Hostname}}", "node-id@host-1"),
        ("{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "linux/aarch64"),
        ('{{index .Service.Labels "tier"}}', "front"),
        ("{{.Service.Labels.tier}}", "front"),
        ('<{{index .Service.Labels "none"}}>', "<>"),
        ("{{index .Service.Labels `tier`}}", "front"),
        ("x {{- .Task.Slot -}} y", "x2y"),
        ("x {{- .Task.Slot }} y", "x2 y"),
        ("x {{ .Task.Slot -}}\n\t{{- .Task.Slot -}} ", "x 22"),
    ],
)
def test_templates(text: str, expanded: str) -> None:
    assert expand_template(text, TASK, NODE) == expanded


@pytest.mark.parametrize(
    "text", ["{{.Node.Nothing}}", "{{.Task.ID", "{{env}}", "{{}}", "{{- -}}", "{{-}}", "{{-.Task.ID}}"]
)
def test_bad_templates(text: str) -> None:
    with pytest.raises(InvalidArgument, match="template"):
        expand_template(text, TASK, NODE)


@pytest.mark.parametrize("text", ["{{" * 100_000, "{{" + " " * 200_000, "{{ " * 50_000 + "}}" + " -" * 50_000])
def test_a_bad_template_of_any_length_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidArgument, match="template"):
        expand_template(text, TASK, NODE)
    assert time.perf_counter() - began < AT_ONCE_S


def test_a_global_task_has_its_node_for_a_slot() -> None:
    assert expand_template("{{.Task.Slot}}", replace(TASK, slot=0), NODE) == "node-id"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        (b"{{.Service.Name}} on {{.Node.Hostname}}", b"web on host-1"),
        (b'{{env "A"}}|{{env "B"}}|{{env "BARE"}}|{{env "NONE"}}', b"first|x=y||"),
        # What is put in is put in as it is.
        (b'{{ secret "password" }} {{config "/etc/conf"}}', b"pa55 {{.Task.ID}} color=red"),
        (b"\xff{{.Task.Slot}}\x00", b"\xff2\x00"),
    ],
)
def test_contents(text: bytes, expanded: bytes) -> None:
    assert expand_payload(FilePayload("x", text, "golang"), TASK, NODE, PAYLOADS) == expanded


def test_what_is_no_template_is_left_alone() -> None:
    assert expand_payload(FilePayload("x", b"{{nonsense"), TASK, NODE, {}) == b"{{nonsense"


@pytest.mark.parametrize("text", [b'{{secret "other"}}', b"{{if .Task.ID}}x{{end}}", b"{{.Task.ID"])
def test_bad_contents(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="template"):
        expand_payload(FilePayload("x", text, "golang"), TASK, NODE, PAYLOADS)


def test_settings_know_no_functions() -> None:
    with pytest.raises(InvalidArgument, match="template"):
        expand_template('{{env "A"}}', TASK, NODE)
