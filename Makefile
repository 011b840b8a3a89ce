# `make serve` and `make test` need python3 (3.11 or newer), pip and make; all else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := uv pip compile --quiet --universal --generate-hashes --annotation-style line $(UPGRADE)
# What builds the image: the first of these that works (docker without its engine does not).
ENGINE ?= $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)
BUILD = $(ENGINE) build $(if $(filter docker,$(ENGINE)),,--format docker)
# More for the program that runs: make serve ARGS="--port 9000", make test ARGS="-k history".
ARGS ?=
# Tests start hundreds of processes: none compiles what another has compiled.
export PYTHONDONTWRITEBYTECODE =
PROPERTIES = $(shell grep -l 'max_examples=examples' -r tests)

.DEFAULT_GOAL := help
.PHONY: help console console-pictures serve showcase test test-console test-unit test-slow test-deep test-hostile resilience clients lint format openapi openapi-check blocking-client docs bench image test-image lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

serve: .venv/run ## Serve on 127.0.0.1:8000, records in persist.db
	$(BIN)/persist serve $(ARGS)

showcase: .venv/run ## Drive a service over HTTP and check every number
	$(BIN)/python -m app.showcase $(ARGS)

test: .venv/dev ## Run the tests, all but the slow ones, in three processes
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist worksteal $(ARGS)

test-unit: .venv/dev ## Run the unit tests, which take seconds
	$(BIN)/python -m pytest -q tests/unit $(ARGS)

test-slow: .venv/dev ## Run the slow tests: crashes, fuzzing, the wheel in a clean environment
	$(BIN)/python -m pytest -m slow $(ARGS)

test-deep: .venv/dev ## Run the property tests with twenty times as many examples
	TEST_DEPTH=20 $(BIN)/python -m pytest $(PROPERTIES) $(ARGS)

test-hostile: .venv/dev ## Attack the service, on a quiet machine: no other read may wait for 100 ms
	QUIET_MACHINE=1 $(BIN)/python -m pytest tests/hostile $(ARGS)

test-console: .venv/dev ## Run the slow tests of the console: axe-core, hostile data, flows by keyboard (needs `make console`)
	$(BIN)/python -m pytest -m slow tests/browser $(ARGS)

resilience: .venv/dev ## Run the long forms of the tests of crashes, faults and load
	$(BIN)/python -m pytest -m slow tests/resilience tests/migration $(ARGS)

lint: .venv/dev ## Check style, types, the direction of imports, Dockerfile and compose.yaml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy app persist migrations benchmarks tests
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: .venv/run ## Write openapi/openapi.json
	$(BIN)/persist openapi --output openapi/openapi.json

openapi-check: .venv/run ## Fail where openapi/openapi.json differs from the code
	$(BIN)/persist openapi | diff openapi/openapi.json -

blocking-client: .venv/dev ## Write persist/client/blocking.py from asynchronous.py
	$(BIN)/python -m tests.support.blocking_client

docs: .venv/dev ## Build the documentation into build/site, links checked
	$(BIN)/python -m tests.support.reference_pages
	$(BIN)/zensical build --clean --strict

console: ## Build the console into the package (needs npm)
	cd console && npm ci --silent && npm run --silent types && npm run --silent check && npm test --silent && npm run --silent build

console-pictures: .venv/dev ## Write a picture of every screen of the console into build/console, three into docs
	$(BIN)/python -m tests.browser.console_pictures build/console docs/tutorials

clients: .venv/dev .clients/installed ## Generate clients of the OpenAPI document and drive them
	$(BIN)/python -m tests.clients $(ARGS)

bench: .venv/dev ## Measure against the peers, write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.process

image: ## Build the images of the engine and of this deployment (ARGS="--build-arg BASE=...")
	$(if $(ENGINE),,$(error there is no docker, podman or buildah that works here))
	$(BUILD) --target engine --tag persist $(ARGS) .
	$(BUILD) --target deployment --tag persist-showcase $(ARGS) .

test-image: .venv/dev ## Run the image with docker or podman and look at it from outside
	$(BIN)/python -m pytest -m slow tests/project/test_image.py $(ARGS)

lock: ## Pin the dependencies (needs uv; UPGRADE=--upgrade for newer ones)
	$(LOCK) --extra postgres --extra signing --group dev pyproject.toml -o requirements-dev.lock
	$(LOCK) --constraint requirements-dev.lock --extra postgres --extra signing pyproject.toml -o requirements.lock
	$(LOCK) --constraint requirements-dev.lock --group build -o requirements-build.lock
	$(LOCK) tests/clients/requirements.in -o tests/clients/requirements.lock

clean: ## Remove the environment and the files of tools
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What pip has done is remembered in stamps: a second `make serve` starts at once.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "persist needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/run: requirements.lock requirements-build.lock pyproject.toml | .venv/bin/python
	$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.clients/installed: tests/clients/requirements.lock tests/clients/package-lock.json
	$(PYTHON) -m venv .clients/python
	.clients/python/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/requirements.lock
	cp tests/clients/package.json tests/clients/package-lock.json .clients
	cd .clients && npm ci --silent --no-audit --no-fund
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
