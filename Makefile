.DEFAULT_GOAL := help
.PHONY: help venv demo test test-tensorflow test-jax test-torch test-short test-slow test-arm test-models docs \
  results lint format clean

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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

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

demo: $(STAMP) ## Train, prune, shrink, export, time a network, write a report [KERAS=2 DATASET=... DATA_DIR=... MODEL=...]
	@$(if $(KERAS),KERAS='$(KERAS)') $(BIN)/python examples/demo.py $(if $(DATASET),--dataset '$(DATASET)') \
	  $(if $(DATA_DIR),--data-dir '$(DATA_DIR)') $(if $(MODEL),--model '$(MODEL)')

test: test-tensorflow test-jax ## Run the tests: all on TensorFlow, then those of Keras 3 on JAX [PYTHON=python3.12]

PYTEST := -m pytest -n 2 --dist worksteal --durations=20

test-tensorflow: $(STAMP) ## Run the tests of tf_keras, of Keras 3 on TensorFlow and of all else
	$(BIN)/python $(PYTEST)

# What a backend may do otherwise. Of other tests the same would be heard as on TensorFlow, and of random
# networks JAX compiles each operation, which takes minutes.
ON_BACKENDS := tests/frameworks/test_graph.py tests/frameworks/test_groups.py \
  $(addprefix tests/rules/test_,kernels.py einsum.py own_layers.py) tests/shrinking/test_shrink.py \
  tests/pruning/test_prune.py $(addprefix tests/training/test_,callback.py reached_target.py) \
  tests/journeys/test_any_order.py \
  $(addprefix tests/frameworks/keras3/test_,training_step.py own_loops.py)

test-jax: $(STAMP) ## Run tests of Keras 3 on JAX: rules, pruning, training, shrinking [TESTS=tests for all]
	KERAS_BACKEND=jax $(BIN)/python $(PYTEST) $(or $(TESTS),$(ON_BACKENDS) -k 'not random')

# Of PyTorch, which runs op by op and takes long, a handful.
test-torch: $(STAMP) ## Run a handful of them on PyTorch, where it is installed in .venv
	@$(BIN)/python -c 'import torch' 2>/dev/null || { \
	  echo 'PyTorch is not in $(VENV): install it with `$(BIN)/pip install torch`.' >&2; exit 1; }
	KERAS_BACKEND=torch $(BIN)/python $(PYTEST) tests/rules/test_kernels.py tests/rules/test_einsum.py \
	  tests/shrinking/test_shrink.py $(addprefix tests/frameworks/keras3/test_,exact.py own_loops.py)

test-short: $(STAMP) ## Run what another Python or TensorFlow may break, in minutes [PYTHON=...]
	$(BIN)/python $(PYTEST) $(SHORT)

test-slow: $(STAMP) ## Run the slow tests: random graphs and orders, kills, four workers, the demo
	$(BIN)/python -m pytest -m slow

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
	$(BIN)/python -m benchmarks.accuracy.pictures docs/measured/results

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
