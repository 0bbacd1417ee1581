"""What a real load leaves in the report folder."""

from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import pytest

from pytest_swarm.load import Load
from pytest_swarm.report.summary import SCHEMA_FILE, summarize_run
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster

REQUESTS = 60


def test_figures_and_files_of_a_load(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=1)

    with load(web, users=5, requests=REQUESTS) as run:
        web.scale(2)

    figures = json.loads(json.dumps(summarize_run(run)))
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.validate(figures, {"$ref": "#/$defs/run", "$defs": schema["$defs"]})
    assert (figures["sent"], figures["classes"]["answered"]) == (REQUESTS, REQUESTS)
    assert len((run.results / "requests.jsonl").read_text().splitlines()) == REQUESTS
    assert "<html" in (run.results / "locust.html").read_text()
