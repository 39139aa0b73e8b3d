# Works from a clean checkout with nothing but Python 3.11 or 3.12 and its venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: setup model demo test test-full check e2e notebooks bench run clean

setup: $(STAMP) model $(VENV)/.warm

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
		|| { echo "Python 3.11 or 3.12 is needed; $(PYTHON) is another one. Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[st,dev]'
	@touch $(STAMP)

model: $(STAMP)
	@$(BIN)/python -m undertow.model_export

$(VENV)/.warm: $(STAMP)
	@$(BIN)/python -m analysis.topics.warm
	@touch $@

demo: setup
	$(BIN)/undertow demo

# A file stays with one worker, so that its tests keep their order and share what they set up.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test-full: setup
	$(BIN)/python -m pytest -m 'slow or not slow'

e2e: setup
	E2E_REQUIRE_BROWSER=1 $(BIN)/python -m pytest tests/e2e

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_links.py
	$(BIN)/python scripts/notebooks.py check

# Over the demo's folder, which `undertow demo` has made; WRITE=--write keeps the outputs.
notebooks: setup
	$(BIN)/python scripts/notebooks.py run undertow-demo $(WRITE)

bench: setup
	$(BIN)/python bench/footprint.py

run: setup
	$(BIN)/undertow up

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis undertow-demo
