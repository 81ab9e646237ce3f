# The front door: `make book` and `make test` need Python 3.11, make and git, and nothing else.
PYTHON ?= python3.11
VENV   ?= .venv
CORES  ?= 2
GRID   ?= experiments/quick.yaml
# for every run of the grid, such as "-p device=cuda -p epochs=20"
PARAMETERS ?=
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# One thread per process: small tensors gain nothing from more, and the processes share the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help env grid book page check test lint bench clean

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

env: $(STAMP)  ## Create the pinned environment in .venv

$(STAMP): requirements.lock pyproject.toml
	@echo "Creating $(VENV) from requirements.lock (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --require-virtualenv -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

grid: $(STAMP)  ## Run a grid of notebooks (GRID=experiments/quick.yaml CORES=2)
	$(BIN)/mmlego run --grid $(GRID) --cores $(CORES) $(PARAMETERS)

book: grid page  ## Run the quick grid and build the book, with your runs in it; git sees no change

page: $(STAMP)  ## Build the book from the executed notebooks that are there
	$(BIN)/mmlego book build

check: $(STAMP)  ## While working: lint, types, and the tests that run no notebook and train no study
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; \
	$(PYTEST) -m "not slow and not trains"; tests=$$?; \
	wait $$types && exit $$tests

test: $(STAMP)  ## Everything that continuous integration runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) --cov

lint: $(STAMP)  ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## Speed of a block against its floor, memory of a merge, import time
	$(BIN)/python -m mmlego.studies.checks.speed

clean:  ## Remove everything that can be made again
	rm -rf _build book/generated .snakemake .pytest_cache .ruff_cache .mypy_cache .coverage*
