"""What all benchmarks share: the sample service, and the book their rows go to."""

from __future__ import annotations

import pytest

from tests.benchmarks.book import Book, book_of
from tests.cluster.conftest import deploy, swarm_images

__all__ = ["deploy", "swarm_images"]


@pytest.fixture(scope="session")
def book(request: pytest.FixtureRequest) -> Book:
    """Where the rows go."""
    return book_of(request.config)
