# Every target makes what it needs: a fresh clone with git, make and Python >= 3.11 can run any of them.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,\
	$(if $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null | grep True),$(p))))
UV := $(shell command -v uv 2>/dev/null)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: demo test lint format bench docs clean

demo: $(READY)
	$(BIN)/panda-ophyd demo $(DEMO_ARGS)

# Tests wait more than they work: two at a time take half as long. One at a time: TEST_WORKERS=0
TEST_WORKERS ?= auto
test: $(READY)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --maxprocesses 4 --dist worksteal $(TEST_ARGS)

bench: $(READY)
	$(BIN)/python benchmarks/connect.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/simulator.py $(SIMULATOR_BENCH_ARGS)
	$(BIN)/python benchmarks/blocks.py $(BLOCKS_BENCH_ARGS)
	$(BIN)/python benchmarks/sequences.py $(SEQUENCES_BENCH_ARGS)
	$(BIN)/python benchmarks/capture.py $(CAPTURE_BENCH_ARGS)

# the pictures of the timing diagrams; a test says when they are out of date
docs: $(READY)
	$(BIN)/panda-simulator timing docs/timing/*.yaml

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is older than pyproject.toml exactly when the environment may be out of date.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found; set PYTHON=..." >&2; exit 1; }
ifdef UV
	test -x $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --group dev -e '.[demo]'
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# an environment that uv made has no pip
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev -e '.[demo]'
endif
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
