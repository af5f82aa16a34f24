# Thin names for plain commands; the README shows what is behind them.
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help env plan oracles bench repro rehearsal experiments report test test-all fuzz soak audit audit-env lint types lock clean clean-state

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: $(VENV)/lock.txt ## make or update the environment in .venv

$(VENV)/lock.txt: requirements/lock.txt
	@echo "Installing the environment into $(VENV) (about a minute) ..."
	requirements/install.sh $(VENV)

plan: env ## what a run will do, need and take on this machine (`make plan PROFILE=paper`: of another profile)
	@python -m stages.plan $(if $(PROFILE),--profile $(PROFILE))

oracles: env ## add the libraries that tests/parity compares with
	python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements/oracles.txt

bench: oracles ## time RISE, insertion and deletion beside the bare model and other libraries (a quarter of an hour)
	python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements/peers.txt
	python -m benchmarks.perturbation

repro: env ## run the pipeline of the chosen profile; the results are in reports/
	@python -m stages.check
	dvc repro
	python -m stages.report --readme README.md

rehearsal: env ## every shape, path and table of the profile paper in minutes, with random weights; into docs/rehearsal
	.ci/rehearsal docs/rehearsal

experiments: env ## experiments side by side: what was changed, and the metrics
	dvc exp show --only-changed --drop '/|Created'

report: env ## rebuild the report alone
	dvc repro --single-item report

# What takes seconds, and the rest: the pipeline in scratch clones, the page in a browser, other libraries, full sizes.
QUICK := not (soak or slow or pipeline or browser or audit or oracle)
REST := (slow or pipeline or browser or audit or oracle) and not soak

test: lint types ## lint, types and all tests that take seconds, on all cores (a few minutes)
	pytest -n auto --dist loadfile --no-loadscope-reorder -m "$(QUICK)"

test-all: test ## `make test`, then the pipeline in scratch clones, the page in a browser, full sizes (a quarter of an hour)
	pytest -n auto --dist loadfile --no-loadscope-reorder -m "$(REST)"

soak: env ## `dvc repro` killed a hundred times at random instants (half an hour)
	pytest -m soak -s

fuzz: env ## property tests with thousands of new examples each (half an hour); `make test` runs a few fixed ones
	pytest tests/fuzz --hypothesis-profile long

audit: audit-env ## look the locked packages up among known vulnerabilities (needs the network)
	$(VENV)-audit/bin/python requirements/audit.py

audit-env: $(VENV)-audit/lock.txt ## make or update pip-audit's own environment, which tests/test_audit.py runs too

$(VENV)-audit/lock.txt: requirements/audit.txt
	python3 -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	cp $< $@

lint: env
	ruff check .
	ruff format --check .

types: env
	mypy

lock: env ## resolve the requirements again
	python requirements/lock.py

clean: env ## remove what the stages wrote, and nothing beside it; DVC's cache stays
	@python -m stages.clean

clean-state: env ## forget the half-done work of interrupted runs
	@python -m stages.clean --state
