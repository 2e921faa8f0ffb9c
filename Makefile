# make demo   train, measure, search, split, run and measure again, on embedded data
# make test   the fast tests;  make test-slow  all of them;  make lint  ruff, mypy and the import contracts;  make docs  the site
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint docs install clean

demo: install
	$(BIN)/splitkit demo

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m "slow or not slow"

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
