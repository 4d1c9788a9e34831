# Two commands on a bare machine (CPython 3.11 or 3.12 and make): `make demo` and `make test`.
# PYTHON=/path/to/python3.12 picks the Python; ARGS="..." is passed on to the command.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# The tool that writes the lock; only `make lock` installs it, into a folder of its own.
UV := uv==0.13.9

COMPILE := pyproject.toml --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
	--python-version 3.11 --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports schemas graph check bench lock clean venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## .venv from requirements.lock; does nothing when it is current
	@$(PYTHON) scripts/bootstrap.py

demo: venv ## the whole loop on an embedded Kafka, e.g. ARGS="--for 60"
	@$(BIN)/maestro demo $(ARGS)

test: venv ## every test; starts Kafka and Redis itself
	@$(BIN)/pytest -q $(ARGS) tests

lint: venv ## style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: venv ## mypy, strict
	@$(BIN)/mypy

imports: venv ## topology -> streams -> schemas, and no layer imports another
	@$(BIN)/lint-imports

schemas: venv ## the records can still be read by old readers
	@$(BIN)/python -m schemas.compatibility

graph: venv ## README's picture of the topology is current
	@$(BIN)/maestro graph --check README.md

check: lint types imports schemas graph ## all of these, without the tests

bench: venv ## ARGS names one; without, all
	@$(BIN)/maestro bench $(ARGS)

lock: venv ## both lock files anew: Python packages and Kafka's jars
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install -q $(UV)
	@.venv-lock/bin/uv pip compile $(COMPILE) --upgrade --group dev -o requirements.lock
	@.venv-lock/bin/uv pip compile $(COMPILE) --constraint requirements.lock -o requirements-runtime.lock
	@rm -rf .venv-lock
	@$(BIN)/python scripts/lock_jars.py

clean: ## everything that was made here; downloaded jars stay in the user's cache
	@rm -rf .venv .venv-lock .maestro .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
