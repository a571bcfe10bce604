# What a person types in a clone. Everything is installed into .venv, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := data/demo

.PHONY: help install demo pictures test proofs check format bench bench-noop bench-captions bench-archives \
	bench-remote bench-posts bench-tars1k bench-merge bench-catalog bench-cluster dev clean

help:  ## list what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(VENV)/installed  ## set up .venv

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,demo]'
	@touch $@

demo: install  ## build a dataset from real photographs, in a minute
	$(BIN)/python -m dataset_assets.demo $(DEMO)
	$(BIN)/dataset-assets build --config $(DEMO)/dataset.toml
	@echo
	@echo "look at it:       $(BIN)/dataset-assets show --config $(DEMO)/dataset.toml"
	@echo "in Dagster's UI:  make dev CONFIG=$(DEMO)/dataset.toml"
	@echo "your own images:  $(BIN)/dataset-assets init my-dataset --source /path/to/photographs"

pictures: install  ## take the README's pictures of the demo, in Chromium
	$(BIN)/python docs/pictures/make.py

test: install  ## run the tests
	$(BIN)/python -m pytest -q -n auto -m 'not slow and not browser'
	@echo
	@echo "next: make demo   (or make check, make proofs: what CI runs, too)"

proofs: install  ## run the long proofs
	$(BIN)/python -m pytest -q -m 'slow or browser' -o timeout=1200

check: install  ## lint and type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Some minutes the first time: the datasets it measures are kept in BENCH.
BENCH ?= /tmp/dataset-assets-bench
bench: install  ## measure speed against the codecs and against others; half an hour
	$(BIN)/python benchmarks/speed.py --folder '$(BENCH)' --report benchmarks/RESULTS.md

bench-noop: install  ## measure builds that have nothing or little to do
	$(BIN)/python benchmarks/noop.py --folder '$(BENCH)' --report benchmarks/NOOP.md

bench-captions: install  ## measure how fast a model is asked for captions
	$(BIN)/python benchmarks/captions.py --folder '$(BENCH)' --report benchmarks/CAPTIONS.md

bench-archives: install  ## measure memory over a large tar and a large Parquet file
	$(BIN)/python benchmarks/archives.py --folder '$(BENCH)' --report benchmarks/ARCHIVES.md

bench-remote: install  ## measure crops of images in an object store, near and far
	PYTHONPATH=. $(BIN)/python benchmarks/remote.py --folder '$(BENCH)' --report benchmarks/REMOTE.md

bench-posts: install  ## measure how fast records become captions
	$(BIN)/python benchmarks/posts.py --folder '$(BENCH)/posts' --records 1000000 --report benchmarks/POSTS.md

bench-tars1k: install  ## measure numbered tars against hashing alone
	$(BIN)/python benchmarks/tars1k.py --folder '$(BENCH)/tars1k' --report benchmarks/TARS1K.md

bench-merge: install  ## measure the merge of trainer metadata against a plain loop
	$(BIN)/python benchmarks/merge.py --folder '$(BENCH)/merge' --report benchmarks/MERGE.md

bench-cluster: install  ## measure what Dagster adds with 1,000 partitions, and one and two Ray nodes
	PYTHONPATH=. $(BIN)/python benchmarks/cluster.py --folder '$(BENCH)' --report benchmarks/CLUSTER.md

bench-catalog: install  ## measure the catalog at 1, 3 and 10 million rows, SQLite and PostgreSQL
	PYTHONPATH=. $(BIN)/python benchmarks/catalog.py --folder '$(BENCH)/catalog' --report benchmarks/CATALOG.md

CONFIG ?= dataset.toml
PORT ?= 3000
dev: install  ## open Dagster's UI on the dataset of CONFIG
	$(BIN)/dataset-assets ui --config '$(CONFIG)' --port '$(PORT)'

clean:  ## remove what was installed and the demo; never a dataset of yours
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
