# Two commands on a fresh machine: `make demo` and `make test`. Both set themselves up in .venv; a second run is quick.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two jobs of two OpenMP threads each slow one another several times; the engine sets its own threads.
export OMP_NUM_THREADS ?= 1
# llama.cpp's AMX kernels, compiled so that they do not crash (the header says why).
export CMAKE_ARGS ?= -DCMAKE_CXX_FLAGS="-include $(CURDIR)/deploy/amx.h"

.PHONY: demo test test-all bench check clean

demo: .venv/.serving
	$(BIN)/gamut demo $(DEMO)

test: .venv/.testing .venv/.packages
	$(BIN)/pytest

test-all: .venv/.testing .venv/.packages
	$(BIN)/pytest -m ''

bench: .venv/.testing
	$(BIN)/gamut bench
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-columns=median,iqr,ops

check: .venv/.testing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .state .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Gamut needs Python 3.11 or later"; exit 1; }
	$(PYTHON) -m venv .venv

# Serving: no torch. llama.cpp is compiled for this machine, which takes some minutes and needs a C and a C++ compiler.
.venv/.serving: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/.testing: pyproject.toml Makefile .venv/.serving
	$(BIN)/pip install --quiet --editable '.[train,similarity,bertscore,dev]'
	-@$(BIN)/gamut train converter
	@touch $@

# Debian packages that some tests run against; without them those tests are skipped and say so.
.venv/.packages: .ci/packages.sh | .venv/bin/python
	sh .ci/packages.sh
	@touch $@
