# Everything a person runs. Each target sets up what it needs, on a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data/demo
PORT ?= 3000

.PHONY: demo ui test test-full check docs format bench faults fuzz clean

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[graph,dev,faiss]'
	@touch $@

demo: $(VENV)/.ready ## invent a PubMed Central and materialise the whole graph from it
	$(BIN)/biomedica demo --data-dir $(DATA)

ui: $(VENV)/.ready ## the Dagster UI over the demo (or over DATA=dir)
	$(BIN)/biomedica ui --data-dir $(DATA) --port $(PORT)

test: $(VENV)/.ready ## what a change must not break; some minutes
	$(BIN)/python -m pytest -m 'not full' -n 2 --dist loadfile --no-loadscope-reorder --durations 20 --durations-min 1

test-full: $(VENV)/.ready ## the rest: long faults, heavy engines, servers, browsers
	$(BIN)/python -m pytest -m full -n 2 --dist loadfile --no-loadscope-reorder --durations 20 --durations-min 1

check: $(VENV)/.ready ## format, lint, types, graph definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/dg check defs

docs: $(VENV)/.ready ## the documentation as pages in build/docs; a broken link is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready ## every claim of the README, measured
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

faults: $(VENV)/.ready ## kill -9, full disks and I/O errors during the demo and during a run of chunks, then compare all files; two hours
	$(BIN)/python -m biomedica_assets_tests.faults.suite --jobs 2

fuzz: $(VENV)/.ready ## a minute of coverage-guided nonsense for each reader; needs atheris
	$(BIN)/uv pip install --quiet --python $(BIN)/python atheris
	@for reader in jats metadata inventory recipe votes_csv votes_label_studio; do \
	  $(BIN)/python -m biomedica_assets_tests.fuzz.guided $$reader || exit 1; done

clean:
	rm -rf $(VENV) data/demo
