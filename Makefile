# Two commands for a machine with Python 3.11 or newer and make: `make demo` and `make test`.
# The first run creates .venv and installs the locked versions; later runs install again only when they changed.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
DEMO ?= discern_demo
INSTALLED := $(VENV)/.installed

.PHONY: demo test slow-test lint docs clean tutorial

demo: $(INSTALLED)
	$(VENV)/bin/discern demo --out $(DEMO)

# Two processes: most of a test is one thread. Each process may take 6 GB.
TWO_AT_ONCE := --numprocesses 2 --dist loadfile

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest $(TWO_AT_ONCE)

slow-test: $(INSTALLED)
	$(VENV)/bin/python -m pytest --runslow

lint: $(INSTALLED)
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports

docs: $(INSTALLED)
	$(VENV)/bin/python -m sphinx -E -W --keep-going -q docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

tutorial: $(INSTALLED)
	$(VENV)/bin/python tests/tutorial/run_notebook.py Tutorial.ipynb

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found. Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

clean:
	rm -rf $(VENV)
