# Needs Python (3.11 or later), pip and make; everything else is set up in .venv by the first target that wants it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := $(VENV)/oldest-sdks/.ready
# Tests start many processes; each would compile the package anew
export PYTHONDONTWRITEBYTECODE =

# Many tests wait for a lease, a process or a server: two workers share a core.
WORKERS = $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

.PHONY: test slow demo lint types layers tests fleet clean

test: lint types layers tests

demo: $(READY)
	@$(BIN)/python -m atlassian_auth_adapter.testing.demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

# README and the examples are executed by tests/test_readme.py and tests/test_examples.py
tests: $(READY) $(OLDEST)
	$(BIN)/coverage erase
	PYTEST_XDIST_AUTO_NUM_WORKERS=$(WORKERS) $(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# What takes minutes: every cell of docs/crash-matrix.md, and every order of the steps of a refresh
slow: $(READY)
	PYTEST_XDIST_AUTO_NUM_WORKERS=$(WORKERS) $(BIN)/python -m pytest tests/crashes --whole-crash-matrix --numprocesses auto --dist worksteal
	$(BIN)/python -m pytest tests/refresh/test_every_order.py --all-orders --numprocesses auto --dist worksteal

# The long form of tests/fleet, some minutes; docs/fleet.md tells what it is
fleet: $(READY)
	$(BIN)/python tests/fleet/fleet.py --store redis
	$(BIN)/python tests/fleet/fleet.py --store postgres

$(READY): pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(READY)

# The oldest SDKs that tests/sdk tries, beside the newest; all they need is installed already
$(OLDEST): tests/sdk/oldest.txt | $(READY)
	rm -rf $(@D)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --target $(@D) -r $<
	touch $@

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
