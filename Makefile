# The only commands a newcomer needs: make run, make test, make bench. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Tests that compute have a process for each core; those that mostly wait have two.
CORES ?= $(shell nproc)
WAITING ?= $(shell expr 2 \* $(CORES))
INTEGRATION := tests/simulation tests/integration tests/faults tests/e2e
PARTS := installed dependencies check unit integration
SEEDS ?= 10000
KILLS ?= 300
CUTS ?= 100
FUZZ_SECONDS ?= 300
FUZZ_TARGETS ?= esl radius http deck

.PHONY: help run test installed dependencies check unit integration simulate fuzz bench docs clean

help:
	@echo 'make run    install, load the sample into var/, start the daemon with every listener'
	@echo 'make test   install what tests need and run them all'
	@echo 'make bench  measure, and print ratios against peers or bounds in the same run'
	@echo 'make check  lint, types, import rings, documents up to date'
	@echo 'make simulate  the crash tests at length: SEEDS=10000 worlds, KILLS=300 kills on each engine, CUTS=100 power cuts'
	@echo 'make fuzz   what reads octets from outside against mutated ones: FUZZ_SECONDS=300 of each of FUZZ_TARGETS'
	@echo 'make docs   write the generated pages of docs/ anew'

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

run: $(VENV)/.installed
	@mkdir -p var
	@$(BIN)/tollway apply conf/sample/scenario.toml
	@$(BIN)/tollway run

test:
	@for part in $(PARTS); do \
	  echo "make test: $$part"; \
	  $(MAKE) --no-print-directory $$part || { \
	    echo "make test: FAILED in '$$part'; 'make $$part' runs that part alone" >&2; exit 1; }; \
	done; echo "make test: every part passed ($(PARTS))"

installed: $(VENV)/.installed-test

dependencies:
	scripts/test-deps

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m daemon.cli.reference --check

unit: $(VENV)/.installed-test
	$(PYTEST) -q -n $(CORES) --dist loadgroup --cov --cov-report= tests/unit tests/property tests/tables
	$(BIN)/coverage report

integration: $(VENV)/.installed-test
	$(PYTEST) -q -n $(WAITING) --dist loadgroup -m 'not alone' $(INTEGRATION)
	$(PYTEST) -q -m alone $(INTEGRATION)

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

simulate: $(VENV)/.installed-test
	TOLLWAY_SEEDS=$(SEEDS) $(PYTEST) -s tests/simulation/test_crashes.py
	TOLLWAY_KILLS=$(KILLS) $(PYTEST) -s tests/e2e/test_kills.py
	TOLLWAY_CUTS=$(CUTS) $(PYTEST) -s tests/faults/test_power_cuts.py

fuzz: $(VENV)/.installed-test
	@for target in $(FUZZ_TARGETS); do \
	  echo "make fuzz: $$target, $(FUZZ_SECONDS) s"; \
	  $(BIN)/python -m tests.fuzz $$target $(FUZZ_SECONDS) || { \
	    echo "make fuzz: '$$target' fell; what made it fall lies in var/fuzz, tests/fuzz/__main__.py says what next" >&2; \
	    exit 1; }; \
	done

docs: $(VENV)/.installed-test
	$(BIN)/python -m daemon.cli.reference

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
