# The one definition of every job, for people and for CI alike. `make` lists them.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Two workers fit two cores; JOBS=0 runs the tests in one process.
JOBS ?= 2

SCHEMAS = $(shell git ls-files --cached --others --exclude-standard '*.schema.json' '*/schemas/*.json' '*/schema.json')

.DEFAULT_GOAL := help
.PHONY: help env conform test test-docker check lint types imports schemas format selfcheck measure nightly lock wheel clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## build the virtual environment from the lock file
	@PYTHON="$(PYTHON)" ci/environment "$(VENV)"

conform: env ## judge session-python from PyPI and our reference on a local testnet
	@$(BIN)/session-harness conform --testee reference --testee session_python

test: env check ## every check and test that needs no containers and no browser
	$(BIN)/pytest -n $(JOBS) --dist loadfile

test-docker: env ## tests that need a container engine or a browser (apt install docker.io chromium)
	$(BIN)/pytest -m '(docker or browser) and not nightly' --timeout 600

check: lint types imports schemas ## style, types, the order of the storeys, the schemas

lint: env ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env ## mypy, strict
	$(BIN)/mypy
	MYPYPATH=protocol:testnet:ci $(BIN)/mypy --strict -p testnet_measurements

imports: env ## import-linter: imports go down only
	$(BIN)/lint-imports

schemas: env ## every JSON Schema that ships is one
	@$(BIN)/check-jsonschema --check-metaschema $(SCHEMAS)

format: env ## put the source into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

selfcheck: env ## prove that every deliberately broken testee, client or server, is caught
	@$(BIN)/session-harness selfcheck
	@$(BIN)/session-harness selfcheck --servers

measure: env ## how fast a testnet and its servers answer on two cores, and what it costs idle
	@$(BIN)/python ci/measure-testnet --check
	@$(BIN)/python ci/measure-servers

nightly: env ## long searches
	$(BIN)/pytest -m nightly --timeout 3600
	$(BIN)/session-harness conform --testee reference --max-examples 500

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --quiet -o ci/requirements.lock

wheel: env ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

clean: ## remove what the other targets made
	rm -rf $(VENV) dist build runs .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
