# `make demo` and `make test` need python3 (3.11 or newer), make, git and the package index; all the rest they fetch themselves.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types docs bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
STAMP := $(VENV)/.installed

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the pinned packages and the deeppose command

# torch is left to uv: on some machines plain pip picks a build that torchvision does not fit.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than 3.11; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	test -x "$(UV)" || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --no-deps -e .
	@touch $@

demo: $(STAMP) ## train, refine, score and predict on synthetic people, from nothing, in minutes
	@test ! -e lightning_logs/demo || mv -v lightning_logs/demo lightning_logs/demo-until-$$(date +%Y%m%d-%H%M%S)
	$(BIN)/deeppose train --stage 1
	$(BIN)/deeppose refine --stage 2
	$(BIN)/deeppose eval --metric pdj
	$(BIN)/deeppose predict data/demo/images/im1501.jpg --run demo

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(STAMP) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## check types
	$(BIN)/mypy

docs: $(STAMP) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

bench: $(STAMP) ## measure speed and memory, as ratios to bare loops
	$(BIN)/python -m benchmarks

lock: $(STAMP) ## pin the newest packages that pyproject.toml allows, with hashes and without index lines
	$(UV) pip compile -q pyproject.toml --extra onnx --extra app --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate -o requirements.lock

clean: ## remove .venv and caches; data and runs stay
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
	find deeppose_cli tests -name __pycache__ -type d -exec rm -rf {} +
