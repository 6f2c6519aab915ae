# Everything a newcomer needs: a Python of 3.11 or later and make.
#
#   make demo         a tour on real data, in one folder of results
#   make test         the test suite            make test-slow   the slow tests
#   make lint         ruff and pyright          make bench       timings against loops by hand
#   make test-arviz1  the NumPyro half on Python 3.12 or later, with ArviZ 1.x

# The first of these that runs and is new enough (pyenv has shims that do not run).
runs = $(firstword $(foreach p,$(2),$(shell $(p) -c 'import sys; assert sys.version_info >= $(1)' \
	2>/dev/null && echo $(p))))
PYENV := $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python $(HOME)/.pyenv/versions/3.12.*/bin/python)

PYTHON ?= $(call runs,(3$(comma)11),python3.11 python3.12 python3.13 python3)
PYTHON_ARVIZ1 ?= $(call runs,(3$(comma)12),python3.13 python3.12 $(PYENV))
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
WORKERS ?= 2
comma := ,

# Two threads pools on few cores wait for each other: one thread per test process.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg \
	JAX_PLATFORMS=cpu XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow test-arviz1 bench lint format clean
.DEFAULT_GOAL := test

demo: .venv/.stamp
	MPLBACKEND=Agg .venv/bin/ppgm demo

test: .venv/.stamp
	$(TEST_ENV) .venv/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: .venv/.stamp
	$(TEST_ENV) .venv/bin/python -m pytest -n $(WORKERS) --dist worksteal -m slow $(ARGS)

lint: .venv/.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright --pythonpath .venv/bin/python

format: .venv/.stamp
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: .venv/.stamp-bench
	MPLBACKEND=Agg .venv/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv .venv-arviz1 build dist .pytest_cache .ruff_cache .hypothesis

# torch first, as a CPU build: the default one for Linux brings gigabytes of CUDA libraries.
# Tried in turn: a local or configured index, PyTorch's own, the default.
.venv/.stamp: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later was found: make PYTHON=/path/to/python" >&2; exit 1; }
	.venv/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	.venv/bin/python $(PIP) -c constraints.txt 'torch==$(TORCH)+cpu' 2>/dev/null \
		|| .venv/bin/python $(PIP) -c constraints.txt --index-url $(TORCH_INDEX) 'torch==$(TORCH)' \
		|| .venv/bin/python $(PIP) -c constraints.txt 'torch==$(TORCH)'
	.venv/bin/python $(PIP) -c constraints.txt -e '.[all,test,lint]'
	touch $@

.venv/.stamp-bench: .venv/.stamp
	.venv/bin/python $(PIP) -c constraints.txt -e '.[bench]'
	touch $@

ifeq ($(PYTHON_ARVIZ1),)
test-arviz1:
	@echo "no Python 3.12 or later was found, which ArviZ 1.x needs: make test-arviz1 PYTHON_ARVIZ1=/path/to/python"
else
test-arviz1: .venv-arviz1/.stamp
	$(TEST_ENV) .venv-arviz1/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
endif

.venv-arviz1/.stamp: pyproject.toml constraints-arviz1.txt
	.venv-arviz1/bin/python -c '' 2>/dev/null || $(PYTHON_ARVIZ1) -m venv --clear .venv-arviz1
	.venv-arviz1/bin/python $(PIP) -c constraints-arviz1.txt -e '.[numpyro,arviz,io,viz,data,test]'
	touch $@
