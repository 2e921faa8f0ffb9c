# make demo   train, measure, search, split, run and measure again, on embedded data
# make test   the fast tests;  make test-slow  all of them;  make lint  ruff, mypy and the import contracts;  make docs  the site
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint docs install clean

demo: install
	$(BIN)/splitkit demo

# One thread each: threads of two processes that wait for each other take many times as long.
TOGETHER := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

test: install
	$(TOGETHER) -m "not slow and not quiet"
	$(BIN)/python -m pytest -m "quiet and not slow"

test-slow: install
	$(TOGETHER) -m "not slow and not quiet"
	$(BIN)/python -m pytest -m "slow or quiet"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p splitkit
	$(BIN)/lint-imports --no-cache

# Both notices are about the future of mkdocs, which is bounded in pyproject.toml.
docs: install
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict -q

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade "pip>=24"
	$(BIN)/pip install -q -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build runs *.egg-info
