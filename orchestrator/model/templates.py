"""Swarm mode's placeholders, `{{.Task.Slot}}` and the like, in a task's settings and in its secrets and configs. Pure.

The grammar is Go's, of which this knows what is looked up and nothing that is computed: no conditions, loops or pipes.
Names follow swarmkit's `template/context.go`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from orchestrator.model.container import ContainerSpec, FileReference, Mount
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.files import FilePayload
from orchestrator.model.node import NodeDescription
from orchestrator.model.task import Task

_Lookup = Callable[[str], str]

_LABEL_BY_INDEX = re.compile(r"""index\s+\.Service\.Labels\s+(["`])([^"`]*)\1""")
_LABEL_BY_FIELD = re.compile(r"\.Service\.Labels\.(\w+)")
_CALL = re.compile(r"""(env|secret|config)\s+(["`])([^"`]*)\2""")
_SPACE = " \t\r\n"
"""What Go's `text/template` trims."""
_SHOWN_CHARACTERS = 40
"""Of an unclosed placeholder, in its refusal."""


def expand_template(text: str, task: Task, node: NodeDescription, lookups: Mapping[str, _Lookup] | None = None) -> str:
    """`text` with swarm mode's placeholders filled in, such as `{{.Task.Slot}}` or `{{index .Service.Labels "x"}}`.

    `lookups` are the functions it may call, each with one word: `{{env "HOME"}}`.
    Raises `InvalidArgument` for a placeholder that swarm mode's template context does not have.
    """
    if "{{" not in text:
        return text
    values = _template_values(task, node)
    labels = dict(task.labels)

    def value_of(expression: str) -> str:
        if label := _LABEL_BY_INDEX.fullmatch(expression):
            return labels.get(label[2], "")
        if label := _LABEL_BY_FIELD.fullmatch(expression):
            return labels.get(label[1], "")
        call = _CALL.fullmatch(expression)
        if call is not None and call[1] in (lookups or {}):
            return (lookups or {})[call[1]](call[3])
        if expression not in values:
            raise InvalidArgument(f'template: unknown placeholder "{{{{{expression}}}}}"')
        return values[expression]

    return "".join(literal + (value_of(expression) if expression else "") for literal, expression in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(what stands before it, the expression of a placeholder); the last has none. Raises `InvalidArgument`.

    A placeholder in `{{- ` and ` -}}` trims what stands beside it. One pass, however many braces and spaces there are.
    """
    position, trims_right = 0, False
    while (opening := text.find("{{", position)) >= 0:
        closing = text.find("}}", opening + 2)
        if closing < 0:
            raise InvalidArgument(f'template: unclosed placeholder in "{text[opening : opening + _SHOWN_CHARACTERS]}"')
        literal, inside = text[position:opening], text[opening + 2 : closing]
        literal = literal.lstrip(_SPACE) if trims_right else literal
        if inside[:1] == "-" and inside[1:2] in _SPACE:
            literal, inside = literal.rstrip(_SPACE), inside[1:]
        trims_right = inside[-1:] == "-" and inside[-2:-1] in _SPACE
        expression = (inside[:-1] if trims_right else inside).strip(_SPACE)
        if not expression:
            raise InvalidArgument("template: missing value for command")
        yield literal, expression
        position = closing + 2
    yield text[position:].lstrip(_SPACE) if trims_right else text[position:], ""


def expand_container(task: Task, node: NodeDescription) -> ContainerSpec:
    """The task's container with the placeholders filled in where swarm mode does: in hostname, variables and mounts.

    Raises `InvalidArgument`, with where the trouble is in swarmkit's words (`template/expand.go`).
    """
    container = task.spec.container
    with _expanding("mounts"):
        mounts = tuple(_expand_mount(mount, task, node) for mount in container.mounts)
    with _expanding("env"):
        env = tuple(expand_template(variable, task, node) for variable in container.env)
    with _expanding("hostname"):
        hostname = expand_template(container.hostname, task, node)
    return replace(container, mounts=mounts, env=env, hostname=hostname)


@contextmanager
def _expanding(what: str) -> Iterator[None]:
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"expanding {what} failed: {error}") from error


def _expand_mount(mount: Mount, task: Task, node: NodeDescription) -> Mount:
    options = mount.options
    if mount.type == "volume" and "{{" in options:
        volume: dict[str, Any] = json.loads(options)
        for values in (volume.get("Labels") or {}, (volume.get("DriverConfig") or {}).get("Options") or {}):
            values.update({name: expand_template(value, task, node) for name, value in values.items()})
        options = json.dumps(volume)
    return replace(
        mount,
        source=expand_template(mount.source, task, node),
        target=expand_template(mount.target, task, node),
        options=options,
    )


def expand_payload(
    payload: FilePayload, task: Task, node: NodeDescription, payloads: Mapping[str, FilePayload]
) -> bytes:
    """The content as the task is to see it: as it is, or, of a template, filled in.

    A template may name the task's variables (`{{env "A"}}`, empty when there is none) and, by their targets, its other
    secrets and configs, which are put in as they are. Raises `InvalidArgument`.
    """
    if not payload.templating:
        return payload.data
    container = task.spec.container
    variables = dict(variable.partition("=")[::2] for variable in reversed(container.env))
    lookups: dict[str, _Lookup] = {
        "env": lambda name: variables.get(name, ""),
        "secret": lambda target: _content("secret", container.secrets, target, payloads),
        "config": lambda target: _content("config", container.configs, target, payloads),
    }
    # Whatever bytes stand between the placeholders come out as they went in.
    text = payload.data.decode(errors="surrogateescape")
    return expand_template(text, task, node, lookups).encode(errors="surrogateescape")


def _content(kind: str, files: tuple[FileReference, ...], target: str, payloads: Mapping[str, FilePayload]) -> str:
    for file in files:
        if file.target == target and file.object_id in payloads:
            return payloads[file.object_id].data.decode(errors="surrogateescape")
    raise InvalidArgument(f"template: {kind} target {target} not found")


def _template_values(task: Task, node: NodeDescription) -> Mapping[str, str]:
    return {
        ".Service.ID": task.service_id,
        ".Service.Name": task.service_name,
        ".Node.ID": task.node_id,
        ".Node.Hostname": node.hostname,
        ".Node.Platform.Architecture": node.architecture,
        ".Node.Platform.OS": node.os,
        ".Task.ID": task.id,
        ".Task.Name": task.container_name,
        ".Task.Slot": str(task.slot or task.node_id),
    }
