# make screen: screen the examples and write a report.  make test: pass the tests.  Both begin on a bare machine.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUT ?= screenings
WORKERS ?= 2
EXAMPLES ?= 200

.PHONY: screen test test-training test-full-size test-services test-docs test-interface lint docs examples clean

screen: $(VENV)/.screen
	$(BIN)/cxrscreen screen examples/*.png examples/*.dcm --out $(OUT)
	@echo "The report: $(OUT)/report.html"

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal -m "not services and not pages and not full_size and not trains"

# Every system trained, adapted, compared and exported on phantoms, from its recipe to its bundle; short networks on every engine.
test-training: $(VENV)/.test
	$(BIN)/python -m pytest tests/systems tests/runtime -m trains --numprocesses=$(WORKERS)

# Networks at their full size, exported anew and compared; make test has short ones of the same parts.
test-full-size: $(VENV)/.test
	$(BIN)/python -m pytest tests/runtime -m full_size

# With real peers, where they are installed: Chromium, PostgreSQL, Orthanc, DCMTK, dicom3tools. One after the other.
test-services: $(VENV)/.test
	$(BIN)/python -m pytest -m services

# README and the pages of docs: their commands run on phantoms, and the site is built.
test-docs: $(VENV)/.test
	$(BIN)/python -m pytest -m pages --numprocesses=$(WORKERS)

# The site, in the folder site; it asks nothing of another host.
docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# As many requests to each operation of the server's interface as EXAMPLES says, other ones each time.
test-interface: $(VENV)/.test
	CXRSCREEN_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/service/test_interface.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Torch first and pinned: later packages then find it installed and do not choose a build of their own.
$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[train,service,dicom,dev]'
	touch $@ $(VENV)/.screen

$(VENV)/.screen: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

examples: $(VENV)/.screen
	$(BIN)/cxrscreen phantoms examples --examples

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
