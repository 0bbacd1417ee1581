"""The layers of orchestrator/ARCHITECTURE.md as a test: it reads every import, inner and TYPE_CHECKING ones too."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("orchestrator", "pytest_swarm", "workloads")

PURE_STDLIB = (
    "base64",
    "binascii",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "typing",
    "urllib.parse",
)
"""What pure code may use of the standard library: data, no clock, no chance, no outside world."""

PURE_LAYERS = ("orchestrator.model", "orchestrator.state", "orchestrator.control")
"""Each may import itself and those before it."""

SHELLS = ("raft", "manager", "agent", "executor", "network", "api")

ONLY_IMPORTERS = {"pysyncobj": "orchestrator.raft", "aiodocker": "orchestrator.executor"}

Rule = Callable[[str, str], bool]
"""(importing module, imported module) -> whether that may be."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, imported module) of every import; `from x import y` gives x and x.y, for y may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names if is_module(base, alias.name))


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def is_module(package: str, name: str) -> bool:
    folder = ROOT.joinpath(*package.split("."))
    return (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def is_pure(path: Path) -> bool:
    return within(module_name(path), *PURE_LAYERS) or path.stem.endswith("_rules")


def violations(paths: list[Path], is_allowed: Rule) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in paths
        for line, imported in imports(path)
        if not is_allowed(module_name(path), imported)
    ]


def test_pure_code_imports_only_data_modules_and_lower_layers() -> None:
    def is_allowed(module: str, imported: str) -> bool:
        if imported.split(".")[0] in sys.stdlib_module_names:
            return within(imported, *PURE_STDLIB)
        if imported == "msgspec":
            return module in ("orchestrator.state.codec", "orchestrator.state.digest")
        for height, layer in enumerate(PURE_LAYERS):
            if within(module, layer):
                return within(imported, *PURE_LAYERS[: height + 1])
        # A rules file of a shell: all of the pure layers, and rules beside it.
        shell = ".".join(module.split(".")[:2])
        return within(imported, *PURE_LAYERS) or (within(imported, shell) and imported.endswith("_rules"))

    paths = [path for path in sources() if is_pure(path) and within(module_name(path), "orchestrator")]
    # `from package import x` also names the package itself, which is neither above nor below.
    found = [v for v in violations(paths, is_allowed) if not re.search(r"imports orchestrator(\.\w+)?$", v)]
    assert found == []


def test_interfaces_know_only_the_pure_layers() -> None:
    def is_allowed(module: str, imported: str) -> bool:
        return not within(imported, "orchestrator") or within(imported, *PURE_LAYERS)

    assert violations([ROOT / "orchestrator/interfaces.py"], is_allowed) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_never_import_one_another_nor_what_composes_them(shell: str) -> None:
    package = f"orchestrator.{shell}"
    common = (
        package,
        *PURE_LAYERS,
        "orchestrator.interfaces",
        "orchestrator.clock",
        "orchestrator.identity",
        "orchestrator.config",
        "orchestrator.duties",
        "orchestrator.backoff",
    )

    def is_allowed(module: str, imported: str) -> bool:
        return not within(imported, "orchestrator") or imported == "orchestrator" or within(imported, *common)

    assert violations([path for path in sources() if within(module_name(path), package)], is_allowed) == []


def test_libraries_of_one_shell_stay_there() -> None:
    def is_allowed(module: str, imported: str) -> bool:
        home = ONLY_IMPORTERS.get(imported.split(".")[0])
        return home is None or within(module, home, "orchestrator.testing")

    assert violations(sources(), is_allowed) == []


def test_only_the_clock_and_identity_read_time_and_chance() -> None:
    forbidden = {"random", "secrets", "uuid"}

    def is_allowed(module: str, imported: str) -> bool:
        return imported not in forbidden or within(module, "orchestrator.identity", "orchestrator.testing")

    paths = [path for path in sources() if within(module_name(path), "orchestrator")]
    assert violations(paths, is_allowed) == []


def test_product_and_plugin_do_not_know_each_other() -> None:
    def is_allowed(module: str, imported: str) -> bool:
        if within(module, "orchestrator"):
            return not within(imported, "pytest_swarm", "pytest", "_pytest", "workloads", "locust", "gevent")
        if within(module, "workloads"):
            return not within(imported, "orchestrator", "pytest_swarm", "pytest", "_pytest")
        # Locust patches the interpreter: it runs as its own process and never enters pytest.
        return not within(imported, "locust", "gevent")

    assert violations(sources(), is_allowed) == []


def test_nothing_in_the_product_imports_its_fakes() -> None:
    def is_allowed(module: str, imported: str) -> bool:
        return not within(imported, "orchestrator.testing") or within(module, "orchestrator.testing")

    assert violations(sources(), is_allowed) == []


def is_set(expression: ast.expr) -> bool:
    """Whether the expression says itself that it is one."""
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
        return expression.func.id in ("set", "frozenset")
    return isinstance(expression, ast.Set | ast.SetComp)


def test_pure_code_never_iterates_a_set() -> None:
    """Their order differs from process to process: `for x in {...}` or over set(...) is caught, a name is not."""
    found = []
    for path in filter(is_pure, sources()):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.For | ast.comprehension) and is_set(node.iter):
                found.append(f"{path.relative_to(ROOT)}:{node.iter.lineno}")
    assert found == []


def test_no_drawer_modules() -> None:
    drawers = {"utils", "util", "helpers", "misc"}
    assert [str(path) for path in sources() if path.stem in drawers] == []


def test_paths_named_in_the_code_map_exist() -> None:
    code_map = ROOT / "orchestrator/ARCHITECTURE.md"
    if not code_map.exists():
        pytest.skip("there is no code map yet")
    named = re.findall(r"`((?:orchestrator|pytest_swarm|workloads|tests)/[\w./-]+)`", code_map.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
