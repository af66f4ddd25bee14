.DEFAULT_GOAL := help
.PHONY: help venv demo test test-short test-jax test-slow test-arm test-models docs results lint format clean

# Each Python that is asked for gets a folder of its own: `make test PYTHON=python3.13`.
PYTHON :=
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3.10 python3)
VENV := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHORT := tests/util tests/core/test_without_frameworks.py tests/frameworks/test_stack.py \
  tests/frameworks/test_private.py tests/frameworks/keras3/test_private.py \
  tests/frameworks/keras3/test_saving.py tests/training/test_callback.py tests/shrinking/test_shrink.py \
  tests/export/test_tflite.py
IS_SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

venv: $(STAMP) ## Create .venv with everything needed, again when dependencies changed

$(STAMP): setup.py pyproject.toml keras_spp/version.py
	@if ! $(BIN)/python -c 'import pip; $(IS_SUPPORTED)' 2>/dev/null; then \
	  for python in $(PYTHONS); do \
	    if $$python -c 'import ensurepip, venv; $(IS_SUPPORTED)' 2>/dev/null; then break; fi; python=; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "keras-spp needs Python 3.10 to 3.13 with venv, which none of these provides:" \
	      "$(PYTHONS): install one, or name yours with PYTHON=." >&2; \
	    exit 1; \
	  fi; \
	  $$python -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing keras-spp and its dependencies into $(VENV) (takes a minute or more)"
	@$(BIN)/python -m pip install --quiet --quiet --upgrade pip  # that of early 3.10 searches for many minutes
	@# Once quiet is without progress, twice without warnings; errors are shown.
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

demo: $(STAMP) ## Train, prune, shrink, export and time a network [KERAS=2 DATASET=... DATA_DIR=... MODEL=...]
	@$(if $(KERAS),KERAS='$(KERAS)') $(BIN)/python examples/demo.py $(if $(DATASET),--dataset '$(DATASET)') \
	  $(if $(DATA_DIR),--data-dir '$(DATA_DIR)') $(if $(MODEL),--model '$(MODEL)')

test: $(STAMP) ## Run the tests [PYTHON=python3.12, in an environment of its own]
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=20

test-short: $(STAMP) ## Run what another Python or TensorFlow may break, in minutes [PYTHON=...]
	$(BIN)/python -m pytest $(SHORT) -n 2 --dist worksteal

test-slow: $(STAMP) ## Run the slow tests: random graphs and orders, kills, four workers, the demo
	$(BIN)/python -m pytest -m slow

test-jax: $(STAMP) ## Run the tests of Keras 3 once more, on JAX
	KERAS_BACKEND=jax $(BIN)/python -m pytest tests/frameworks/keras3 -n 2

test-arm: $(STAMP) ## Run exported files on aarch64 under qemu (Debian with qemu-user-static)
	@tests/helpers/arm_python.sh .arm $(BIN)/python
	KERAS_SPP_ARM_PYTHON=.arm/python $(BIN)/python -m pytest tests/journeys/test_arm.py -rs

test-models: $(STAMP) ## Put every published network through prune and shrink, write the page of them
	$(BIN)/python -m benchmarks.accuracy.models --output models.jsonl --write docs/measured/models.md

docs: $(STAMP) ## Build the pages of docs/ as a site in site/, and fail on any broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

results: $(STAMP) ## Fill docs/measured/ (accuracy) from what benchmarks.accuracy measured
	$(BIN)/python -m benchmarks.accuracy.results docs/measured/results.md docs/measured/defaults.md \
	  docs/measured/schedule.md

lint: $(STAMP) ## Check style, format, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy keras_spp
	$(BIN)/lint-imports

format: $(STAMP) ## Fix style and format where that can be done automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches and build products (not .venv, .venv-python3.x)
	rm -rf .arm build dist site ./*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
