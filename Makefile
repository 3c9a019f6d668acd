# obsvc: `make demo` and `make test` set up whatever they need by themselves.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
# pytest's workers; each starts servers of its own.  Functional tests wait for a third of their time, so that three keep
# two cores busy.
WORKERS ?= 3
UNIT_WORKERS ?= 2

.PHONY: demo test test-unit test-functional test-long test-newest chaos fuzz lint docs config changelog constraints venv servers
.PHONY: keystone coverage clean

venv: $(STAMP)

$(STAMP): pyproject.toml setup.py requirements/constraints.txt tools/make-venv
	PYTHON=$(PYTHON) tools/make-venv
	touch $(STAMP)

servers:
	tools/install-servers

# Where it can't be made, the tests that need it fail and say so.
keystone: venv
	-PYTHON=$(PYTHON) tools/make-keystone

demo: venv
	$(BIN)/obsvc demo $(ARGS)

test: venv servers keystone lint
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup -m "not long" tests $(ARGS)

test-unit: venv
	$(BIN)/pytest -q -n $(UNIT_WORKERS) --dist worksteal --hypothesis-profile quick tests/unit $(ARGS)

test-functional: venv servers keystone
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup -m "not long" tests/functional $(ARGS)

test-long: venv servers keystone
	$(BIN)/pytest -q -m "long or scenario" tests $(ARGS)

# Two thousand lives of stacks in virtual time, then twenty seeds of three minutes each: about two hours. Other seeds with
# SEEDS="7 8" MINUTES=1.
SEEDS ?= $(shell seq 1 20)
MINUTES ?= 3
chaos: venv servers
	nice $(BIN)/pytest -q --hypothesis-profile chaos --timeout 7200 tests/unit/engine/stacks/test_convergence.py
	nice $(BIN)/python -m tests.chaos $(addprefix --seed ,$(SEEDS)) --minutes $(MINUTES) $(ARGS)

# A million mutations through decoder and listener; goes on where it was ended with ARGS="--first N".
fuzz: venv
	nice $(BIN)/python -m tests.fuzz --seed 1 --count 1000000 $(ARGS)

# How much of each package the unit tests run; with COVER="tests/unit tests/functional" and the servers, all of them.
COVER ?= tests/unit
coverage: venv
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(WORKERS) --dist loadgroup -m "not long" $(COVER) $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage json -q -o .coverage.json
	$(BIN)/python tools/coverage-table .coverage.json

lint: venv
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tools/check-layout
	$(BIN)/mypy
	$(BIN)/python tools/make-changelog --check

# The site, in docs/_build/html; a warning is an error.
docs: venv
	tools/make-venv docs
	$(BIN)/sphinx-build -q -E -W --keep-going -b html docs docs/_build/html

# CHANGELOG.rst from releasenotes/notes.
changelog: venv
	$(BIN)/python tools/make-changelog

# The newest release of everything in requirements/constraints.txt.
constraints: venv
	tools/renew-constraints

# The tests with the newest releases, whatever the constraints say: what a weekly job runs, before `make constraints`.
test-newest: servers keystone
	VENV=.venv-newest CONSTRAINTS= PYTHON=$(PYTHON) tools/make-venv
	.venv-newest/bin/pytest -q -n $(WORKERS) --dist loadgroup -m "not long" tests $(ARGS)

# One benchmark of benchmarks/: bench-intake, bench-fetch, bench-pipeline, bench-convergence, bench-soak,
# bench-ownership, bench-failover, bench-engine, bench-waiters.
bench-%: venv servers
	$(BIN)/python -m benchmarks.$* $(ARGS)

# Write the sample files anew; a unit test checks that they are current.
config: venv
	$(BIN)/oslo-config-generator --config-file etc/obsvc/config-generator.conf
	$(BIN)/oslopolicy-sample-generator --namespace obsvc --output-file etc/obsvc/policy.yaml.sample

clean:
	rm -rf $(VENV) .venv-keystone .venv-newest docs/_build docs/reference/generated *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
