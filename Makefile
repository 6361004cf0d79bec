# Two commands: `make demo` and `make test`. Each sets up what it needs in .venv, with Python alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint dist release-check clean

demo: $(VENV)/demo
	$(BIN)/gotd demo

test: $(VENV)/dev lint
	$(BIN)/python -m pytest --cov=gotd --cov-report=term-missing:skip-covered

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

dist: $(VENV)/dev
	$(BIN)/python -m build --no-isolation

# Builds, installs the wheel in a fresh environment and runs the demo from it, without a network.
release-check:
	$(PYTHON) scripts/release_check.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch by itself first: with the pinned version there, nothing else asks for another build of it.
$(VENV)/demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/dev: $(VENV)/demo
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) dist build
