"""Shared by the tests that run a pytest of their own."""

import pytest

# Loaded by every pytest in this environment, asked for by none of the inner ones: two thirds of what such a run takes.
NOT_NEEDED = ("schemathesis", "hypothesispytest", "anyio")


@pytest.fixture(autouse=True)
def lean_inner_pytest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # clears the variable when it is made, so it has to be there first
        monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{plugin}" for plugin in NOT_NEEDED))
