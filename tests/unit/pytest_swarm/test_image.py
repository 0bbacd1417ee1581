"""The recipe of the node image is the same from a checkout and from an installed wheel."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

from pytest_swarm import image

NODE_EXTRA = ["aiohttp>=3.11", "pysyncobj<0.4,>=0.3.17"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module `image` is taken to lie; beside its package there is no pyproject.toml."""
    path = tmp_path / "pytest_swarm" / "image.py"
    monkeypatch.setattr(image, "__file__", str(path))
    return path


def test_a_checkout_is_read_from_its_project_file(module: Path) -> None:
    module.parent.with_name("pyproject.toml").write_text(
        '[project.optional-dependencies]\nnode = ["pysyncobj>=0.3.17,<0.4", "aiohttp>=3.11"]\n[project]\n'
    )

    assert image._node_requirements() == NODE_EXTRA


def test_an_installed_wheel_is_read_from_its_metadata(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = [
        "docker>=7.1",
        'aiohttp>=3.11; extra == "node"',
        'pysyncobj<0.4,>=0.3.17; extra == "node"',
        'ruff>=0.8; extra == "dev"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", {image.DISTRIBUTION: recorded}.get)

    assert image._node_requirements() == NODE_EXTRA


def test_the_node_gets_every_source_file_and_an_entrypoint_it_can_run() -> None:
    files = image._source_files()

    assert f"{image.SITE_PACKAGES}/orchestrator/__main__.py" in files
    assert os.access(files[image.ENTRYPOINT], os.X_OK)
