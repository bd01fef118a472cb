# Needs Python (3.11 or later), pip and make; everything else is set up in .venv by the first target that wants it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := benchmarks/.venv
BENCH_READY := $(BENCH)/.ready
OLDEST := $(VENV)/oldest-sdks/.ready
CORE := $(VENV)/core/.ready
DOCS := $(VENV)/docs/.ready
SPHINX := $(VENV)/docs/bin/sphinx-build -W --keep-going -n docs
DEPENDENCIES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"])
DOCS_GROUP := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["docs"])
# Tests start many processes; each would compile the package anew
export PYTHONDONTWRITEBYTECODE =

# Many tests wait for a lease, a process or a server: three workers for two cores.
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')
PYTEST = pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: test slow demo lint types types-elsewhere completeness layers tests release-check fuzz fleet bench bench-check \
  bench-tiny docs docs-links clean

# What people run before each commit, two minutes. README and the pages of the site are executed
# by tests/docs, the examples by tests/test_examples.py.
test: lint types layers tests

# With what the package itself needs, and no tool
demo: $(CORE)
	@PYTHONPATH=. $(VENV)/core/bin/python -m atlassian_auth_adapter.testing.demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# As on the other systems
types-elsewhere: $(READY)
	for platform in linux darwin win32; do \
	  $(BIN)/mypy --platform $$platform --cache-dir .mypy_cache/$$platform || exit; done

# How much of what the package exports has a type that every type checker sees alike
completeness: $(READY)
	$(BIN)/python -m tests.completeness

layers: $(READY)
	$(BIN)/lint-imports

tests: $(READY)
	$(BIN)/python -m $(PYTEST)

# The tests of `make test` under coverage with its floor; and without coverage those that are marked
# slow (the fleet, each cell of docs/crash-matrix.md in real processes, the oldest SDKs, streams, every
# order of the steps of a refresh), and those that do more with --slow.
slow: $(READY) $(OLDEST) types-elsewhere completeness
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report
	$(BIN)/python -m $(PYTEST) --slow -m "slow or longer or hypothesis"
	$(BIN)/python release_check.py --quick

# What would be published: built twice, checked, and tested from the wheel on every Python, with the
# newest and the lowest versions of what it needs: six times, 20 minutes on two cores. See release_check.py.
release-check: $(READY)
	$(BIN)/python release_check.py

# What fuzz tests do, at full length, about an hour: 100,000 URLs and redirects for each HTTP library,
# 20,000 malformed token answers, 100,000 hostile contents of stores
fuzz: $(READY)
	$(BIN)/python -m $(PYTEST) --fuzz tests/adapters/test_wire.py tests/properties/test_token_answers.py \
	  tests/properties/test_store_contents.py

# The fleet at full length, some minutes; see docs/fleet.md
fleet: $(READY)
	$(BIN)/python tests/fleet/fleet.py --store redis
	$(BIN)/python tests/fleet/fleet.py --store postgres

$(CORE): pyproject.toml
	$(PYTHON) -m venv --without-pip $(@D)
	$(PYTHON) -c '$(DEPENDENCIES)' | tr ' ' '\n' > $(@D)/requirements.txt
	$(PYTHON) -m pip --python $(@D)/bin/python install --quiet --disable-pip-version-check -r $(@D)/requirements.txt
	touch $@

# How fast the library is beside its peers, half an hour on two quiet cores, in an environment of its own:
# writes docs/performance.md and its picture. NOTE="a sentence about the machine" stands there as well.
# After an interruption it goes on where it was.
NOTE ?=
bench: $(BENCH_READY)
	$(BENCH)/bin/python -m benchmarks --note "$(NOTE)"

# About ten minutes: fails when a ratio that issue 15 demands is missed in the median of three rounds
bench-check: $(BENCH_READY)
	$(BENCH)/bin/python -m benchmarks --check

# Each cell in its smallest form, some minutes: shows that the benchmarks work, with every peer
bench-tiny: $(BENCH_READY)
	$(BENCH)/bin/python -m benchmarks --tiny

$(BENCH_READY): pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv --without-pip $(BENCH)
	$(PYTHON) -m pip --python $(BENCH)/bin/python install --quiet --disable-pip-version-check \
	  -r benchmarks/requirements.txt -e '.[cli,crypto,httpx2,redis,sql]'
	touch $@

# The documentation site, in docs/_build/html; a warning is an error. Its code blocks and local links are
# checked by tests/docs, the links to other hosts by `make docs-links`, which needs the Internet.
docs: $(DOCS)
	$(SPHINX) docs/_build/html

docs-links: $(DOCS)
	$(SPHINX) -b linkcheck docs/_build/links

$(DOCS): pyproject.toml
	$(PYTHON) -m venv --without-pip $(@D)
	$(PYTHON) -c '$(DOCS_GROUP)' | tr ' ' '\n' > $(@D)/requirements.txt
	$(PYTHON) -m pip --python $(@D)/bin/python install --quiet --disable-pip-version-check \
	  -r $(@D)/requirements.txt -e '.[aiohttp,cli,crypto,httpx2,jira,keyring,redis,sql]'
	touch $@

$(READY): pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group dev
	touch $(READY)

# The oldest SDKs that tests/sdk tries, beside the newest; all they need is installed already
$(OLDEST): tests/sdk/oldest.txt | $(READY)
	rm -rf $(@D)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --target $(@D) -r $<
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) benchmarks/.results.json docs/_build .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
