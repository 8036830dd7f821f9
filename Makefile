# Two commands on a fresh machine:  make demo  and  make test.  They make .venv and install what is needed, once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Debian packages that are missing, installed where this is Debian and we may: $(call debian,PACKAGE ...)
define debian
	missing=""; \
	for package in $$(command -v apt-get >/dev/null && echo $(1)); do \
		dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		root=""; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
		echo "installing$$missing"; \
		{ $$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; } \
		|| { echo "please run:  sudo apt-get install$$missing" >&2; exit 3; }; \
	fi
endef

.PHONY: help
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

# ------------------------------------------------------------------------------------------------------------- set-up

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python >= 3.11 is needed, and there is none on the PATH: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 3; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(call debian,python3-venv); fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sklearn,pack]'
	@touch $@

$(VENV)/.all: pyproject.toml | $(BIN)/python
	@$(call debian,libgomp1 curl openssl postgresql redis-server nats-server chromium nodejs strace g++) # for LightGBM's wheel, the docs' commands, stores and streams for many machines, faults, and headers in C
	@if ! command -v npm >/dev/null; then $(call debian,npm); fi # Debian's Node comes without it
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@ $(VENV)/.demo

.PHONY: venv
venv: $(VENV)/.all ## the environment for work on the code: .venv

# ----------------------------------------------------------------------------------------------------------------- use

.PHONY: demo
demo: $(VENV)/.demo ## train a model, pack it, serve it, ask it; stays up until Ctrl-C
	@$(BIN)/servable demo

# ---------------------------------------------------------------------------------------------------------------- work

.PHONY: test
test: $(VENV)/.all ## all tests but the long ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile || { \
		echo "once more, one at a time, what failed beside others on a busy machine:"; \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

.PHONY: test-faults
test-faults: $(VENV)/.all ## the long ones: servers killed, starved and reloaded a hundred times
	$(BIN)/python -m pytest -m faults

$(VENV)/.platforms: $(VENV)/.all
	@if ! command -v java >/dev/null && [ -z "$${JAVA_HOME:-}" ]; then $(call debian,default-jre-headless); fi # for Spark
	$(BIN)/python -m pip install --quiet --editable '.[spark,ray]'
	@$(call debian,default-jdk-headless libandroid-json-java) # for the sources in Kotlin
	$(BIN)/python -m pip install --quiet tree-sitter==0.26.1 tree-sitter-swift==0.7.4 # a grammar of Swift
	npm install --silent --no-save --prefix $(VENV)/npm kotlin-compiler@2.4.20 typescript@7.0.2
	@touch $@

.PHONY: test-platforms
test-platforms: $(VENV)/.platforms ## those on Spark, Ray, Java and TypeScript, run on this machine (minutes, and 700 MB the first time)
	$(BIN)/python -m pytest -m platforms

.PHONY: check
check: $(VENV)/.all ## lint, format, types, layers, and the commands in the docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m pytest tests/test_docs.py tests/test_architecture.py

.PHONY: format
format: $(VENV)/.all ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: proto
proto: $(VENV)/.all ## generate the gRPC messages from proto/
	$(BIN)/python proto/generate.py

.PHONY: bench
bench: $(VENV)/.all ## measure Servable beside its peers: docs/benchmarks.md (an hour, and 3 GiB the first time)
	@$(call debian,wrk nghttp2-client nginx-light)
	$(BIN)/python -m benchmarks.run

.PHONY: clean
clean: ## remove what can be made again
	rm -rf $(VENV) .venvs .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
