"""Packs the sample service's whole image: an interpreter, the few modules the service imports, and its code.

Run with root's rights inside a Debian whose Python shall be taken (`image.py` does so), never imported:

    python3 -I root_file_system.py server.py image.tar

The same Debian and the same server give the same bytes: sorted, without times or owners.
"""

from __future__ import annotations

import io
import os
import py_compile
import re
import subprocess
import sys
import tarfile
from pathlib import Path

LIBRARY = Path(f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}")
INTERPRETER = Path("/usr/bin/python3")
# A shell, because `--health-cmd` runs its command in one; and the `sleep` of the article's own "shell" service.
TOOLS = {"bin/sh": Path("/bin/dash"), "bin/sleep": Path("/bin/sleep")}

# Without the second one as a landmark the interpreter would complain that it cannot find its own installation.
EMPTY_DIRECTORIES = {"tmp": 0o1777, f"{LIBRARY}/lib-dynload".lstrip("/"): 0o755}

# Looked up by name at run time, so importing the server does not show them.
ENCODINGS = "import encodings.ascii, encodings.latin_1\n"

SERVER_MODULE = "blocking_server"
# Isolated, without `site` and without writing bytecode: nothing is looked for that the image does not hold.
LAUNCHER = f"#!{INTERPRETER} -ISB\nfrom {SERVER_MODULE} import main\n\nmain()\n"


def loaded_files(server: Path) -> list[Path]:
    """The files of every module that importing the server loads, found by importing it."""
    program = (
        f"import importlib.util, sys\n{ENCODINGS}"
        f"specification = importlib.util.spec_from_file_location('server', {str(server)!r})\n"
        "module = importlib.util.module_from_spec(specification)\n"
        "specification.loader.exec_module(module)\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    if getattr(module, '__file__', None) and name != 'server':\n"
        "        print(module.__file__)\n"
    )
    # Frozen modules come from inside the interpreter; their files are taken all the same, as landmarks.
    command = [str(INTERPRETER), "-ISB", "-c", program]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return sorted({Path(line) for line in result.stdout.splitlines()})


def shared_libraries(executable: Path) -> list[Path]:
    """What the dynamic linker would load for this file, the linker itself included."""
    command = ["ldd", str(executable)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return [Path(match) for match in re.findall(r"(/\S+) \(0x", result.stdout)]


def collect(server: Path) -> dict[str, tuple[bytes, int]]:
    """Path in the image -> content and mode."""
    contents: dict[str, tuple[bytes, int]] = {"docker-swarm-test": (LAUNCHER.encode(), 0o755)}
    executables = {str(INTERPRETER).lstrip("/"): INTERPRETER, **TOOLS}
    for source in loaded_files(server):
        if source.suffix == ".py":
            # Beside no source a module is found under its plain name: only the bytecode is shipped.
            target = source.with_suffix(".pyc")
            contents[str(target).lstrip("/")] = (compiled(source, str(source)), 0o644)
        else:
            executables[str(source).lstrip("/")] = source
    contents[f"{LIBRARY}/{SERVER_MODULE}.pyc".lstrip("/")] = (compiled(server, server.name), 0o644)
    for name, source in list(executables.items()):
        contents[name] = (source.read_bytes(), 0o755)
        for library in shared_libraries(source):
            contents[str(library).lstrip("/")] = (library.read_bytes(), 0o755)
    return contents


def compiled(source: Path, shown_as: str) -> bytes:
    """The bytecode of one module, without the time of its source."""
    target = Path("/tmp") / f"{source.stem}.pyc"
    py_compile.compile(
        str(source),
        str(target),
        dfile=shown_as,
        doraise=True,
        optimize=2,  # without docstrings
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return target.read_bytes()


def write_archive(target: Path, contents: dict[str, tuple[bytes, int]], empty: dict[str, int]) -> None:
    """One sorted tar archive; `empty` are the directories with nothing in them, and their modes."""
    directories = dict(empty)
    for name in contents:
        directories |= {str(parent): 0o755 for parent in Path(name).parents if str(parent) != "."}
    with tarfile.open(target, mode="w") as archive:
        for name, mode in sorted(directories.items()):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            member.mode = mode
            archive.addfile(member)
        for name, (content, mode) in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = mode
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    os.umask(0o022)
    write_archive(Path(sys.argv[2]), collect(Path(sys.argv[1])), EMPTY_DIRECTORIES)
