"""What is done inside a node to break it, other than to its container as a whole."""

from __future__ import annotations

import dataclasses

from pytest_swarm.faults_rules import rule_set
from pytest_swarm.node import Node

# Where the node's entrypoint mounts the disk of the swarm state, and what fills it: see node_image/entrypoint.sh.
_FILLER = "filler"
# How far the daemon's clock is ahead, in the words of libfaketime; the entrypoint preloads that if the file is there.
_CLOCK_FILE = "/var/lib/swarm-clock"
_CLOCK_LIBRARY = "libfaketime"


@dataclasses.dataclass(frozen=True)
class Process:
    """One of the processes that a node's entrypoint starts, and starts again; `pattern` is pgrep's."""

    name: str
    pattern: tuple[str, ...]


# A module that the interpreter runs is known by its arguments.
SWARMD = Process("swarmd", ("-f", "^python3 -m orchestrator$"))
DOCKERD = Process("engine", ("-x", "dockerd"))


def forget_faults(node: Node, directory: str) -> None:
    """Undo whatever a session that was killed may have left broken inside a node that runs.

    `directory` is that of its swarm state.
    """
    node.run_command(["nft", rule_set(node.name, (), {})])
    empty_disk(node, directory)
    if node.container.exec_run(["test", "-e", _CLOCK_FILE])[0] == 0:
        set_clock(node, 0.0)


def process_id(node: Node, process: Process) -> str:
    """Return the id of a process inside the node, or an empty string while it does not run."""
    _, output = node.container.exec_run(["pgrep", "--parent", "1", *process.pattern])
    return str(output.decode().strip())


def fill_disk(node: Node, directory: str) -> None:
    """Leave nothing free on the disk mounted at a directory. Raises RuntimeError when none is mounted there."""
    status, _ = node.container.exec_run(["mountpoint", "--quiet", directory])
    if status != 0:
        raise RuntimeError(f"{directory} of {node.name} has no disk of its own: the machine has no loop devices")
    # First what is free in one piece and at once, then the rest as far as it goes.
    filling = 'fallocate -l "$(df --output=avail -B1 "$1" | tail -n 1)" "$1/$2"; cat /dev/zero >>"$1/$2"; true'
    node.run_command(["bash", "-c", f"({filling}) 2>/dev/null", "bash", directory, _FILLER])


def empty_disk(node: Node, directory: str) -> None:
    """Take away what `fill_disk` filled the disk with."""
    node.run_command(["rm", "-f", f"{directory}/{_FILLER}"])


def clock_is_prepared(node: Node) -> bool:
    """Whether the running daemon reads a clock that `set_clock` moves."""
    status, _ = node.container.exec_run(["grep", "-q", _CLOCK_LIBRARY, f"/proc/{process_id(node, SWARMD)}/environ"])
    return bool(status == 0)


def set_clock(node: Node, seconds: float) -> None:
    """Put the clock of the node's daemon so many seconds ahead of the machine's."""
    # Renamed into place: the daemon looks at every reading of its clock.
    script = 'echo "$2" >"$1.new" && mv "$1.new" "$1"'
    node.run_command(["bash", "-c", script, "bash", _CLOCK_FILE, f"{seconds:+f}s"])
