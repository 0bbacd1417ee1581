"""Limits of secrets and configs."""

import pytest

from orchestrator.control.file_validation import validate_file
from orchestrator.model.errors import InvalidArgument
from orchestrator.model.files import FileKind


@pytest.mark.parametrize(("kind", "limit"), [(FileKind.SECRET, 512_000), (FileKind.CONFIG, 1_024_000)])
def test_sizes_below_docker_s_limits(kind: FileKind, limit: int) -> None:
    validate_file(kind, "name", b"x" * (limit - 1))
    with pytest.raises(InvalidArgument, match=f"{kind} data must be larger than 0 and less than {limit} bytes"):
        validate_file(kind, "name", b"x" * limit)


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "x" * 64])
def test_names(name: str) -> None:
    validate_file(FileKind.SECRET, name, b"x")


@pytest.mark.parametrize("name", ["-a", "a-", "a b", "x" * 65, "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid name"):
        validate_file(FileKind.SECRET, name, b"x")
