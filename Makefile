# `make demo` and `make test` set up what they need: a virtual environment in .venv, filled from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= dev,test
# One process per core with one thread each is faster than threads; tests and workers both count on it.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-long check format clean

$(BIN)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"sftlab needs Python 3.11 or newer, and $(PYTHON) is {v.major}.{v.minor}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(BIN)/.extras: $(BIN)/.base
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(BIN)/.base
	$(BIN)/sftlab demo

test: $(BIN)/.extras
	$(BIN)/pytest -n 2 --dist worksteal -m "not long"

test-long: $(BIN)/.extras
	$(BIN)/pytest -n 2 --dist worksteal -m long

check: $(BIN)/.extras
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(BIN)/.extras
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) sftlab-demo
