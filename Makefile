# `make demo` and `make test` work from a bare clone with python >= 3.11, g++ and make on the machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo-run
STUDY := $(DEMO)/simulated_donors

.PHONY: demo test test-fast test-all lint bundled figures bench bench-peers bench-tables evidence docs clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("bayesexpr needs Python 3.11 or newer; PYTHON=python3.12 make ... chooses another" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[stan,notebook,test]'
	touch $@

demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	@$(BIN)/bayesexpr datasets simulated_donors -o $(DEMO) >/dev/null
	@$(BIN)/bayesexpr de $(STUDY)/counts.csv.gz $(STUDY)/samples.csv -o $(DEMO)/run \
		--design '~ donor + treatment' --contrast treatment,treated,untreated --truth $(STUDY)/truth.csv.gz
	@echo $(CURDIR)/$(DEMO)/run/report.html

# Two files at a time use two cores; most of the time of the tests with Stan goes into compiling programs.
test: $(VENV)/.installed-docs lint
	$(BIN)/pytest tests/unit -m 'not slow' -n 2 --dist loadfile
	$(BIN)/pytest tests/stan tests/statistical -m 'not slow' -n 2 --dist loadfile

test-fast: $(VENV)/.installed
	$(BIN)/pytest tests/unit -m 'not slow' -n 2 --dist loadfile

test-all: $(VENV)/.installed lint
	$(BIN)/pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bundled: $(VENV)/.installed
	$(BIN)/python -c 'from pathlib import Path; from bayesexpr.datasets import write_bundled; write_bundled(Path("bayesexpr/bundled"))'

# Calibration records of every program, of planted errors and of the published program; resumes, and leaves fresh records
# alone. TIER=smoke, pull_request or release asks for a size other than that which is committed.
TIER ?=
EVIDENCE := $(BIN)/python -m bayesexpr.calibration
evidence: $(VENV)/.installed
	$(EVIDENCE).evidence $(if $(TIER),--tier $(TIER)) --workers 2 --work $(DEMO)/evidence --records calibration/records
	$(EVIDENCE).planted $(if $(TIER),--tier $(TIER)) --workers 2 --work $(DEMO)/evidence
	$(EVIDENCE).published_checks --workers 2 --work $(DEMO)/evidence
	$(EVIDENCE).tables

# The documentation, in docs/_build/html; a warning is an error. Beside it what drives a browser, for the tests of reports.
$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs,browser]'
	touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -b html -W --keep-going -q docs docs/_build/html
	@echo $(CURDIR)/docs/_build/html/index.html

clean:
	rm -rf $(VENV) .venv-peers $(DEMO) docs/_build docs/models build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# Figures of the README, from the demo; what the main job takes and finds, on the bundled study and on airway.
figures: demo
	$(BIN)/python benchmarks/figures.py $(DEMO)

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/study.py bundled
	$(BIN)/python benchmarks/study.py bundled --set effects=normal --label _normal
	$(BIN)/python benchmarks/replicates.py
	$(BIN)/python benchmarks/decisions.py
	$(BIN)/python benchmarks/study.py airway
	$(BIN)/python benchmarks/empirical_bayes.py bundled
	$(BIN)/python benchmarks/empirical_bayes.py simulated --no-exact
	$(BIN)/python benchmarks/kernel.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/targets.py
	$(BIN)/python benchmarks/targets.py airway
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/ladder.py
	$(BIN)/python benchmarks/campaigns.py

# Other samplers and tests, in an environment of their own; the R packages are Debian's, and installed where one may.
PEERS := .venv-peers
$(PEERS)/.installed: pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[stan,peers]'
	if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
		apt-get install -y -q --no-install-recommends r-bioc-deseq2 r-bioc-edger r-cran-statmod || true; fi
	touch $@

# TRIAL=1 sees whether all of them run, with few genes, and records nothing.
bench-peers: $(PEERS)/.installed
	$(PEERS)/bin/python benchmarks/peers.py $(if $(TRIAL),--trial)

# The tables of benchmarks/README.md and of the first page, from the records.
bench-tables: $(VENV)/.installed
	$(BIN)/python benchmarks/speed_tables.py
