# Two commands matter: `make run` and `make test`. Each makes what it needs and is quick the second time.
#
#   make run          the engine on paper: generated market, embedded venue, page on loopback (ARGS="--seconds 30")
#   make test         the whole test suite, one worker per core (ARGS="tests/unit -k name" for a part, WORKERS=0)
#   make bench        every figure with its peer, floor and goal (JSON=out.json writes them; SMOKE=1 only proves they run)
#   make lint         ruff, mypy --strict, stubs against the compiled modules, Cython's warnings and performance hints
#   make debug        the suite on a build with every check on
#   make sanitize     the suite under AddressSanitizer and UndefinedBehaviorSanitizer
#   make thread       the tests with real threads under ThreadSanitizer
#   make coverage     the suite on a counted build, with the gates on lines and branches
#   make test-pythons the suite on every Python from 3.11 to 3.13 that this machine has
#   make test-aarch64 the wheel for 64-bit ARM, and the kernels' suites on it under emulation (root; nightly)
#   make docs         the documents as a site in build/site; no warning allowed
#   make wheel        sdist and wheel in dist/
#   make install      the engine as a systemd service, from this checkout (as root; ARGS=--dry-run shows the steps)
#   make uninstall    takes it off again; configuration, audit and latch stay
#   make lock         rewrite the lock files from requirements/*.in (needs uv)
#   make clean        remove everything that was made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes

SOURCES := setup.py pyproject.toml $(shell find engine bench -name '*.pyx' -o -name '*.pxd')
# The bench loops are compiled beside the engine, and never shipped: `make wheel` takes this away again.
export BOT4_BENCH := 1
# What was translated once is kept by its content: the test that builds a wheel uses it again.
export BOT4_CYTHON_CACHE ?= $(CURDIR)/build/cython-cache
# A worker takes a second to start and 200 MB; past eight the longest test alone decides.
export WORKERS ?= $(shell n=$$(nproc); echo $$((n < 8 ? n : 8)))

.PHONY: help run test bench lint docs debug sanitize thread coverage test-pythons test-aarch64 wheel lock clean build install uninstall

help:
	@sed -n 's/^#   /  /p' Makefile

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt
	@requirements/preflight.sh "$(PYTHON)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing what the engine runs on ..."
	@$(PIP_INSTALL) -r requirements/run.txt
	@$(PIP_INSTALL) -r requirements/build.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.txt
	@echo "installing what tests it ..."
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

$(VENV)/peers.stamp: $(VENV)/dev.stamp requirements/peers.txt
	@echo "installing the peers it is measured against ..."
	@$(PIP_INSTALL) -r requirements/peers.txt
	@touch $@

$(VENV)/built.stamp: $(VENV)/run.stamp $(SOURCES)
	@echo "compiling the kernels ..."
	@mkdir -p build
	@$(PY) setup.py build_ext --inplace >build/release.log 2>&1 || { tail -40 build/release.log; exit 1; }
	@BOT4_ALREADY_BUILT=1 $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >>build/release.log 2>&1 || { tail -40 build/release.log; exit 1; }
	@touch $@

build: $(VENV)/built.stamp

run: $(VENV)/built.stamp $(VENV)/dev.stamp
	@$(VENV)/bin/bot4 run $(ARGS)

test: $(VENV)/built.stamp $(VENV)/dev.stamp
	@$(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadscope --no-loadscope-reorder $(ARGS)

bench: $(VENV)/built.stamp $(VENV)/peers.stamp
	@BOT4_BENCH_SMOKE=$(SMOKE) BOT4_BENCH_JSON=$(JSON) $(PY) -m pytest bench --quiet $(ARGS)

lint: $(VENV)/built.stamp $(VENV)/dev.stamp
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy --strict engine strategies
	@$(PY) .ci/cython_hints.py

# Each profile is built and tested in its own copy of the tree, so that no build ever mixes with the release build.
debug sanitize thread coverage: $(VENV)/dev.stamp
	@.ci/profile $@ $(ARGS)

test-pythons: $(VENV)/dev.stamp
	@.ci/test-pythons $(ARGS)

test-aarch64: $(VENV)/dev.stamp
	@.ci/test-aarch64 $(ARGS)

$(VENV)/docs.stamp: $(VENV)/dev.stamp requirements/docs.txt
	@echo "installing what builds the documents ..."
	@$(PIP_INSTALL) -r requirements/docs.txt
	@touch $@

docs: $(VENV)/built.stamp $(VENV)/docs.stamp
	@$(PY) .ci/docs_reference.py
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

wheel: $(VENV)/dev.stamp
	@env -u BOT4_BENCH -u BOT4_PROFILE $(PY) -m build --no-isolation --outdir dist .

install: $(VENV)/built.stamp
	@$(VENV)/bin/bot4 install --source . $(ARGS)

uninstall: $(VENV)/built.stamp
	@$(VENV)/bin/bot4 uninstall $(ARGS)

lock:
	@requirements/lock.sh

clean:
	rm -rf build dist $(VENV) *.egg-info
	find engine bench -name '*.so' -delete
