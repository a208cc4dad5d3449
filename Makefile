# Every command here builds what it needs in environments of its own (.venv, .venv-transformers4), from pinned
# constraints: a machine with Python 3.11, git and make has all that is needed. `make help` lists the commands.

# The one beneath an environment that is active: that may be the very one which is made again here.
PYTHON ?= $(shell $$(command -v python3.11 || command -v python3) -c 'import os, sys; print(os.path.realpath(sys.executable))')
PYTEST_ARGS ?=
PYTEST_PROCESSES ?= 2

VENV := .venv
VENV4 := .venv-transformers4
BIN := $(VENV)/bin
BIN4 := $(VENV4)/bin

PACKAGES := core plugins/optuna plugins/ray plugins/sigopt plugins/wandb
PLUGINS := $(addprefix -e ,$(filter plugins/%,$(PACKAGES)))
EXAMPLES := $(patsubst %/pyproject.toml,%,$(wildcard examples/*/pyproject.toml))
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES) $(EXAMPLES))

# Nothing here needs a hub; tests and benchmarks must not depend on how threads share a small machine.
export HF_HUB_OFFLINE := 1
test test-transformers4 bench wheels: export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-transformers4 lint format types bench wheels pin clean

help:  ## list these commands
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 30

demo: $(VENV)/.demo  ## a real Trainer search on handwritten digits, a few minutes
	$(BIN)/hpsearch demo

test: $(VENV)/.dev  ## the whole test suite; PYTEST_ARGS="-k name" for a part
	$(BIN)/python -m pytest --numprocesses $(PYTEST_PROCESSES) --dist loadscope $(PYTEST_ARGS)

test-transformers4: $(VENV4)/.dev  ## the Trainer tests on the last transformers 4
	$(BIN4)/python -m pytest core/tests/transformers $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.dev  ## ruff: rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/.dev  ## the benchmarks, as a Markdown table
	$(BIN)/python -m benchmarks

wheels: $(VENV)/.dev  ## build every wheel and use each in an empty environment
	$(BIN)/python scripts/check_wheels.py

pin:  ## resolve the dependencies afresh into the constraints files
	PYTHON=$(PYTHON) scripts/pin.sh

clean:  ## remove the environments and caches
	rm -rf $(VENV) $(VENV4) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Each environment starts over when its constraints change; torch comes first, so that no other package picks its build.
# $(call create,FOLDER,CONSTRAINTS)
define create
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "hpsearch needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Building $(1) from $(2): a few minutes, once."
	rm -rf $(1)
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade --constraint $(2) pip
	$(1)/bin/python -m pip install --quiet --constraint $(2) torch
endef

# $(call install,FOLDER,CONSTRAINTS) REQUIREMENTS
install = $(1)/bin/python -m pip install --quiet --constraint $(2) --build-constraint constraints.txt

$(VENV)/.base: constraints.txt
	$(call create,$(VENV),$<)
	@touch $@

$(VENV)/.demo: $(VENV)/.base $(PROJECTS)
	$(call install,$(VENV),constraints.txt) -e "core[demo]" -e plugins/optuna
	@touch $@

$(VENV)/.dev: $(VENV)/.demo pyproject.toml
	$(call install,$(VENV),constraints.txt) -e "core[testing]" $(PLUGINS) $(addprefix -e ,$(EXAMPLES)) --group dev
	PIP_CONSTRAINT=constraints.txt $(BIN)/hpsearch install sigopt wandb
	@touch $@

$(VENV4)/.base: constraints-transformers4.txt
	$(call create,$(VENV4),$<)
	@touch $@

$(VENV4)/.dev: $(VENV4)/.base pyproject.toml $(PROJECTS)
	$(call install,$(VENV4),constraints-transformers4.txt) \
		-e "core[testing,transformers]" -e plugins/optuna --group transformers4
	@touch $@
