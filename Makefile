# `make demo` pretrains a first encoder, `make test` runs the tests, `make check` does all that CI does.
# Each sets up what it needs in .venv, once.

PYTHON ?= python3
VENV := .venv
RUN ?= runs/demo
CORPUS ?= sotu
STAMP := $(VENV)/.installed
# A test takes one thread, so as many run side by side as there are cores.
PYTEST := $(VENV)/bin/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test check format clean

demo: $(STAMP)
	@device=$$($(VENV)/bin/python -c 'import torch; print("gpu" if torch.cuda.is_available() else "cpu")') && \
	threads=$$($(VENV)/bin/python -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())') && \
	set -x && $(VENV)/bin/accelerate launch -q --config_file scripts/launch/$$device.yaml --num_cpu_threads_per_process $$threads \
		scripts/pretrain.py --corpus $(CORPUS) --output $(RUN) --resume true $(ARGS) && \
	$(VENV)/bin/python scripts/fill_masks.py --model $(RUN)/model

test: $(STAMP)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=90

check: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(MAKE) test
	$(PYTEST) -m slow

format: $(STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# An installed torch is reused, whatever its version; else the pinned, tested set is installed. Where no CPU build of
# torch is at hand, pip on Linux fetches several GB of CUDA packages: point it to another index with its own settings.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is wanted, but $(PYTHON) is $$($(PYTHON) --version 2>&1): try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) lacks venv: install it first (Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	@if $(PYTHON) -c 'import torch' 2>/dev/null; then \
		echo "setting up $(VENV) around the torch that $(PYTHON) has (a few minutes)"; \
		$(PYTHON) -m venv --system-site-packages $(VENV) && $(VENV)/bin/python -m pip install -q -e '.[demo,test]'; \
	else \
		echo "setting up $(VENV) (a few minutes; 2 GB of disk, or about 7 GB where pip chooses a CUDA build of torch)"; \
		$(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install -q -e '.[dev]'; \
	fi
	@touch $(STAMP)
