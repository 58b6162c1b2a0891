# Each target makes what it needs first: a virtual environment in .venv with the project in it,
# again whenever pyproject.toml changes. Nothing outside this folder is touched.

.DEFAULT_GOAL := help
.NOTPARALLEL:

# The first Python that is new enough; or say which: make test PYTHON=/opt/python3.13/bin/python3
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# More words for the command that a target runs: make test ARGS='-k rescan', make demo ARGS='--seconds 20'
ARGS ?=

ifeq ($(OS),Windows_NT)
PY := .venv/Scripts/python.exe
else
PY := .venv/bin/python
endif
PIP = $(PY) -m pip --disable-pip-version-check --quiet
RUNNABLE := .venv/installed
COMPLETE := .venv/installed-all

# The one file holds the compiled parts for each of these beside each other
PYTHONS := 3.11 3.12 3.13
FOR_LINUX := $(addprefix --platform ,manylinux2014_x86_64 manylinux_2_28_x86_64)
FOR_WINDOWS := --platform win_amd64 colorama pylnk3# pip can't see from here that they are needed there
SINGLE := dist/watcher.pyz
PARTS := build/single/done
SOURCES := $(shell find watcher -name '*.py')

# $(call where,PATH,COMMAND) runs a command if its part of the project is there, else says that it isn't
where = @if [ -e $(1) ]; then echo "$(2)"; $(2); else echo "make $@: skipped, there is no $(1) yet"; fi

# $(call fetch,PYTHON,SYSTEM,FOR) gets what the project depends on, but not the project
fetch = $(PIP) install --target build/single/$(1)-$(2) --only-binary :all: --implementation cp \
	--python-version $(1) $(3) build/single/watcher-*.whl && rm -r build/single/$(1)-$(2)/watcher*

.PHONY: install demo test lint format cov bench ci test-faults test-windows pictures dist clean help

install: $(COMPLETE) ## set up .venv for development: the project, its tools, the real producer

demo: $(RUNNABLE) ## a whole instrument in a temporary folder, with the live dashboard
	@$(PY) -m watcher demo $(ARGS)

test: $(COMPLETE) ## all tests that run on this system
	$(PY) -m pytest $(ARGS)

lint: $(COMPLETE) ## style, types, and which room may import which
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy --platform $(if $(filter Windows_NT,$(OS)),linux,win32)
	$(dir $(PY))lint-imports --no-logo --no-cache

format: $(COMPLETE) ## bring all code into the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

cov: $(COMPLETE) ## the tests, and which lines they never reach
	$(PY) -m coverage run -m pytest $(ARGS)
	$(PY) -m coverage report --show-missing --skip-covered

bench: $(RUNNABLE) ## measure against rsync and inotifywait; a table, and build/bench.json
	@$(PY) -m tests.benchmarks $(ARGS)

# Some wait for most of the time, so there are more of them at once than there are processors.
FAULTS := tests/faults --whole -n 4 --dist worksteal

test-faults: $(COMPLETE) ## break everything that can break, and see that nothing is lost
	$(call where,tests/faults,$(PY) -m pytest $(or $(ARGS),$(FAULTS)))

test-windows: $(COMPLETE) $(SINGLE) ## all tests under Windows' own Python (on Linux: through Wine)
	$(PY) $(if $(filter Windows_NT,$(OS)),-m pytest,tests/windows/run.py) $(ARGS)

pictures: $(COMPLETE) ## take the pictures of the dashboard that README shows
	$(call where,tests/pictures.py,$(PY) -m tests.pictures $(ARGS))

dist: $(SINGLE) ## build the package, and one file that runs on Windows and Linux, into dist/

ci: lint dist test test-faults test-windows ## what must pass before anything lands

clean: ## remove all that these targets made, .venv too
	rm -rf .venv build dist htmlcov .coverage .hypothesis *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find watcher tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-14s%s\n' "$$name" "$$text"; done

$(SINGLE): $(SOURCES) README.md $(PARTS)
	@echo "building $@"
	@rm -rf dist build/lib build/bdist.*
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@$(PY) -m shiv.cli --console-script watcher --compressed --reproducible --output-file $@ \
		$(foreach part,$(wildcard build/single/3*),--site-packages $(part)) \
		--no-deps dist/watcher-*.whl >build/shiv.log 2>&1 || { cat build/shiv.log; exit 1; }

$(PARTS): pyproject.toml $(COMPLETE)
	@rm -rf build/single
	@$(PIP) wheel --no-deps --wheel-dir build/single .
	@$(foreach python,$(PYTHONS),echo "fetching what Python $(python) needs" && \
		$(call fetch,$(python),linux,$(FOR_LINUX)) && \
		$(call fetch,$(python),windows,$(FOR_WINDOWS)) &&) touch $@

$(PY):
	@test -n "$(PYTHON)" || { echo "this needs Python 3.11 or newer: make ... PYTHON=/path/to/it"; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; \
		echo "$(PYTHON) can't make virtual environments (Debian: apt install python3-venv)"; exit 1; }

$(RUNNABLE): pyproject.toml $(PY)
	@echo "installing into .venv"
	@$(PIP) install --editable .
	@touch $@

$(COMPLETE): pyproject.toml $(PY)
	@echo "installing into .venv, with everything for development"
	@$(PIP) install --editable '.[dev,instrument]' || { $(PIP) install --editable '.[dev]' && \
		echo "ibex-bluesky-core can't be installed here: tests with the real producer are skipped"; }
	@touch $@ $(RUNNABLE)
