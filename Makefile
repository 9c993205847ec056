# `make run` and `make test` do all the set-up on a fresh machine. Windows: see the README for the two lines they run.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: run test quick check fix bench docs browser-deps clean
.DEFAULT_GOAL := test

run: $(VENV)/run.stamp
	$(BIN)/python app.py $(ARGS)

test: check browser-deps
	$(BIN)/python -m pytest $(ARGS)

quick: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m "not browser and not client and not slow" $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/run.stamp
	$(BIN)/python -m benchmarks.fidelity --method dreamfuse
	$(BIN)/python -m benchmarks.speed

docs: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.readme

# Debian and Ubuntu have a Chromium that Playwright can drive; elsewhere the browser tests skip and say so.
browser-deps: $(VENV)/dev.stamp
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium; } || \
	echo "No Chromium here and no right to install it: the browser tests will be skipped."

$(VENV)/run.stamp: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.txt requirements-train.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
