"""Runs the system's network commands: no shell, a deadline, and the command's own words when it fails."""

import asyncio
import errno

_DEADLINE_S = 10.0


class CommandFailed(OSError):
    """A command ended with a status other than zero."""

    def __init__(self, command: tuple[str, ...], status: int, output: str) -> None:
        lines = output.strip().splitlines()
        super().__init__(errno.EIO, f"{' '.join(command)}: {lines[0] if lines else f'exit status {status}'}")
        self.status = status


async def run(*command: str, stdin: str = "") -> str:
    """Standard output of the command. Raises `CommandFailed`, `TimeoutError`, or `OSError` when it is not there."""
    # A command that reads nothing may have ended before an empty input is written to it.
    source = asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, stdin=source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            output, errors = await process.communicate(stdin.encode() or None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CommandFailed(command, process.returncode, errors.decode(errors="replace"))
    return output.decode(errors="replace")
