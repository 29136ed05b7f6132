# What people do with this project. Everything runs from .venv, which `make setup` makes from the lock file.

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
UV ?= $(shell command -v uv || echo .venv/bin/uv)
BIN := .venv/bin
STAMP := .venv/.setup
# Two more than there are cores: a quarter of their time tests wait, for processes, disks and the clock.
WORKERS ?= $(shell echo $$(( $$(nproc) + 2 )))
COMPILE := $(UV) pip compile pyproject.toml --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run test lint docs bench lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(STAMP) ## .venv with everything that the lock names; at once when nothing changed

$(STAMP): requirements-dev.lock pyproject.toml tools/setup.py
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11 or newer; name one: make setup PYTHON=…" >&2; exit 1; }
	@$(PYTHON) tools/setup.py
	@touch $@

run: setup ## the five-minute tour, offline
	@$(BIN)/reconciler demo up

test: setup ## the whole suite
	@$(BIN)/python tools/setup.py tests
	@$(BIN)/python -m tests.github.install
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: setup ## style, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## the documentation's site, in build/docs/site, after a check of every link
	@$(BIN)/python -m tools.docsite write
	@$(BIN)/python -m tools.docsite build

bench: setup ## how fast it is here
	$(BIN)/python -m benchmarks

lock: ## newer versions of the dependencies
	$(COMPILE) --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --group dev --all-extras --output-file requirements-dev.lock

clean: ## everything that the targets above made
	@test ! -x $(BIN)/reconciler || $(BIN)/reconciler demo down --dir .demo
	rm -rf .venv tests/github/node/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
