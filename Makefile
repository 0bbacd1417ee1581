# What a newcomer types. Everything below is cached by content: a second run installs and builds nothing.

SHELL := /bin/bash
NODES ?= 4
REPORT ?= swarm-report
CLUSTER := .venv/bin/pytest --swarm-nodes=$(NODES) --swarm-report-dir=$(REPORT)

BENCH_REPORT ?= bench-report
BENCH ?= short
BOTH := .venv/bin/pytest -m benchmark --swarm-nodes=4 --swarm-engine=orchestrator,docker --swarm-report-dir=$(BENCH_REPORT)

SOAK := soak-parts soak-updates soak-changes soak-faults soak-clusters
TIMES ?= 10
CHANGES := $(addprefix tests/cluster/test_, $(addsuffix .py, planned_changes failing_versions scale_and_drain single_replica slow_requests \
  healthcheck source_ports traffic_shapes edge))
FAULTS ?= 20

# Each test process and each inner pytest would compile every module anew: a fifth of what the checks take.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test checks parts soak $(SOAK) bench lint environment images browser clean

# The virtual environment and the images, and no more.
setup: images

# The main job: the article's experiment, on a real cluster, with nothing lost.
demo: images
	@$(CLUSTER) tests/cluster/test_rolling_update.py::test_the_article_loses_nothing

# The gate: every check, the tests that need no cluster, then those marked `gate` on real clusters.
test: environment
	@# Side by side: making the images is mostly waiting for downloads, and the type checker takes one core.
	@$(MAKE) --no-print-directory -j 3 lint parts images
	$(CLUSTER) -q -m gate --durations=10 tests/cluster tests/seed

# What needs neither Docker nor a network: the linters, and the tests of the parts.
checks: lint parts

parts: environment
	.venv/bin/pytest -q -n 3 tests/test_architecture.py tests/unit tests/simulation tests/plugin

# What the gate has no time for: the long and the repeated, then everything on real clusters. Each part also by itself.
soak:
	@$(MAKE) --no-print-directory --keep-going $(SOAK)

soak-parts: images browser
	SIMULATION_TIMES=20 FUZZ_TIMES=24 .venv/bin/pytest -m "soak or not soak" tests/unit tests/simulation tests/plugin

# The article's update, ten times in each order.
soak-updates: images
	$(CLUSTER) --swarm-repeat=$(TIMES) -m soak tests/cluster/test_rolling_update.py

# Every other planned change, ten times each.
soak-changes: images
	$(CLUSTER) --swarm-repeat=$(TIMES) $(CHANGES)

# Each fault so many times under load, twenty killed leaders, live nodes under twice the load there is room for, and
# twenty minutes of clients that are held to linearizability while managers break.
soak-faults: images
	@rm -f $(REPORT)/rows.jsonl
	FAULT_SECONDS=30 $(CLUSTER) --swarm-repeat=$(FAULTS) -m benchmark tests/benchmarks/test_faults.py
	$(CLUSTER) -m benchmark tests/benchmarks/test_failover.py tests/benchmarks/test_false_alarms.py \
	  tests/benchmarks/test_consistency.py

soak-clusters: images
	CHURN_ROUNDS=50 $(CLUSTER) -m "soak or not soak" tests/cluster tests/seed tests/recorded

# What each engine loses in each scenario, what its tasks are told, and what it costs: three quarters of an hour, or with
# BENCH=full all pairs of values, for hours.
bench: images
	@rm -f $(BENCH_REPORT)/rows.jsonl
	@BENCH=$(BENCH) $(BOTH) tests/benchmarks/test_matrix.py tests/benchmarks/test_costs.py; \
	$(BOTH) --swarm-repeat=3 tests/benchmarks/test_names.py; \
	.venv/bin/python -m tests.benchmarks.results $(BENCH_REPORT) --command "make bench BENCH=$(BENCH)"

lint: environment
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The virtual environment, brought up to date when pyproject.toml has changed.
environment:
	@.ci/set-up

# The node's image and the sample service's.
images: environment
	@.venv/bin/python -m pytest_swarm.preflight

# What the report's tests look at it with.
browser:
	@.ci/set-up-browser

# What crashed runs left behind in Docker. The images stay: they are the cache.
clean: environment
	@.venv/bin/pytest-swarm-cleanup
