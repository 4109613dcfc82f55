# One verb per habit. A newcomer types `make demo` and `make test`.
#
#   make setup                  build .venv (the CUDA build of torch that fits the driver; runs on CPU too)
#   make setup TORCH_INDEX=cpu  small CPU-only torch; or cu126, cu130; or any index URL
#   make setup MMCV=full        compile mmcv with its CUDA/C++ operators (needs a C++ compiler, ~10 min)
#   make setup PYTHON=python3.12 VENV=~/envs/pose

PYTHON ?= python3
VENV ?= .venv
# Empty: as in the last setup of this VENV.
MMCV ?=
TORCH_INDEX ?=
JOBS ?= 2

BIN := $(VENV)/bin
DOCUMENTS = $(wildcard *.md docs/*.md configs/*/README.md)
SETUP := $(PYTHON) tools/setup_env.py --venv '$(VENV)' \
	$(if $(MMCV),--mmcv $(MMCV)) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX)) \
	$(if $(filter command line,$(origin PYTHON)),--python-named)

.PHONY: setup demo test test-slow lint format bench bench-all matrix docs site doctor clean

setup:
	@$(SETUP)

demo: setup
	@$(BIN)/rlepose quickstart

test: setup
	$(BIN)/python -m pytest -m 'not slow' -n $(JOBS) --dist loadfile -q

test-slow: setup
	$(BIN)/python -m pytest -m slow -n $(JOBS) --dist loadfile -q

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A quarter of an hour on any machine; one JSON, named by it.
bench: setup
	$(BIN)/python benchmarks/machine.py

bench-all: setup
	$(BIN)/python benchmarks/rle_loss.py --threads 1
	$(BIN)/python benchmarks/cpu_training.py
	$(BIN)/python benchmarks/data_path.py
	$(BIN)/python benchmarks/compiled.py
	$(BIN)/python benchmarks/synthetic.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/skps_codec.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/reliability.py
	$(BIN)/python benchmarks/first_picture.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/deploy.py --files work_dirs/deploy --export
	$(BIN)/python benchmarks/deploy.py --files work_dirs/deploy
	$(BIN)/python benchmarks/inference_stages.py
	$(BIN)/python benchmarks/street_video.py
	$(BIN)/python benchmarks/inference_memory.py
	$(BIN)/python benchmarks/smoothing.py
	$(BIN)/python benchmarks/drawn_chain.py
	$(BIN)/python benchmarks/posefix.py
	$(BIN)/python benchmarks/zoo_cost.py

# Every config at its full size: builds, trains two iterations, validates and tests once.
matrix: setup
	$(BIN)/python benchmarks/matrix.py --real --jobs $(JOBS)

docs: setup
	@$(BIN)/cog -r -P --verbosity=1 -I tools -p 'from doc_tables import show' $(DOCUMENTS)

# Strict: a broken link, anchor or reference fails.
site: setup
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build --strict

doctor: setup
	@$(BIN)/rlepose doctor

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache
