# Needs Python 3.11; `test` and `blender-5.2` also need Python 3.13.
# Virtual environments are made on demand in .venv; ENVS=FOLDER puts them elsewhere.

ENVS ?= .venv
BLENDER ?= 5.0
export ENVS
export PYTHONDONTWRITEBYTECODE = 1

BLENDERS = blender-4.2 blender-4.5 blender-5.0 blender-5.2
PYTHON = python=$$(tests/tools/python.sh 3.11) && "$$python"
IN_BLENDER = $(PYTHON) tests/tools/environments.py blender-$(BLENDER) >/dev/null \
	&& "$(ENVS)/blender-$(BLENDER)/bin/python"
RUFF = $(PYTHON) tests/tools/environments.py lint >/dev/null && "$(ENVS)/lint/bin/ruff"

.PHONY: help test lint types api api-oldest browser dask $(BLENDERS) gui build format demo bench soak lock clean

help: ## Print this
	@awk -F ':.*## ' '/^[a-z].*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'make blender-4.2  Test the extension in one Blender: 4.2, 4.5, 5.0 or 5.2'
	@echo
	@echo 'PYTEST_ADDOPTS="-x -k word" is passed on to pytest, BLENDER=4.2 to demo and bench.'

test: ## Run every check, in all four Blenders and in windows
	@$(PYTHON) tests/tools/check.py all

lint: ## Check style, likely bugs and formatting (ruff)
	@$(PYTHON) tests/tools/check.py lint

types: ## Check types, against the oldest supported Blender (mypy)
	@$(PYTHON) tests/tools/check.py types

api: ## Test api/ without Blender, with the newest requests
	@$(PYTHON) tests/tools/check.py api

api-oldest: ## Test api/ without Blender, with what Blender 4.2 ships
	@$(PYTHON) tests/tools/check.py api-oldest

browser: ## Test the report's page in a real browser (Debian's chromium)
	@$(PYTHON) tests/tools/check.py browser

dask: ## Test batches on a Dask cluster, of processes on this machine
	@$(PYTHON) tests/tools/check.py build dask

$(BLENDERS): # Test the extension in one Blender
	@$(PYTHON) tests/tools/check.py build $@

gui: ## Test the extension in Blender's windows (5.2, 4.3), with mouse and keys
	@$(PYTHON) tests/tools/check.py build gui

soak: ## Attack it for an hour or more: 100,000 fuzzed files, kills; makes SECURITY.md's table
	@$(PYTHON) tests/tools/check.py build soak

build: ## Build the extension: build/csm_retopo-VERSION.zip
	@$(PYTHON) tests/tools/check.py build

format: ## Format the code and sort its imports
	@$(RUFF) check --quiet --select I --fix . && "$(ENVS)/lint/bin/ruff" format .

demo: ## Import the sample session, measure it and write a report
	@$(IN_BLENDER) tests/demo.py

bench: ## Measure the import against the obvious script
	@$(IN_BLENDER) tests/bench

lock: ## Pin the development dependencies again; UPGRADE=1 takes the newest
	@$(PYTHON) tests/tools/lock.py $(if $(UPGRADE),--upgrade)

clean: ## Remove what make has made: build and .venv
	rm -rf -- build .venv
