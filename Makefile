# Every target sets up what it needs in .venv and nowhere else. What it needs from the system it names; nothing here
# calls sudo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test authoring test-pytorch test-ggml test-remote check bench bench-pipeline live docs clean

help:
	@echo "make demo            watch the example run, with a broker and a sensor of its own"
	@echo "make test            run every test"
	@echo "make test-pytorch    install PyTorch (about a minute, 1 GB) and run its tests; TORCH=torch==2.13.0 picks the build"
	@echo "make test-ggml       compile llama.cpp (many minutes) where it is not installed, and run its tests"
	@echo "make test-remote     install MLServer beside (400 MB) and run the tests that need a server not ours"
	@echo "make authoring       install componentize-py, so that make test builds and tests operators in Python as well"
	@echo "make check           lint, format and types"
	@echo "make bench           measure everything, beside what it is compared with; makes docs/performance.md's figures"
	@echo "make bench-pipeline  the pipeline's rows of it alone"
	@echo "make live            prove the service under systemd in a virtual machine of its own (as root, some minutes)"
	@echo "make docs            write the generated pages of docs/ again"
	@echo "make clean           remove .venv and what tools have left"

demo: $(VENV)/.demo
	@$(BIN)/flowrt demo

# Files are dealt to a process a core: most tests wait for brokers and processes of their own. One that crashes is not
# replaced: the rest would wait for what it had left to do.
test: $(VENV)/.dev
	@scripts/system-tools
	@$(BIN)/pytest -rs -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 0

authoring: $(VENV)/.dev
	@$(BIN)/python -c "import componentize_py" 2>/dev/null || $(BIN)/pip install --quiet componentize-py==0.25.1

TORCH ?= torch==2.13.0
test-pytorch: $(VENV)/.dev
	@$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install --quiet "$(TORCH)"
	@$(BIN)/pytest -rs tests/nn/test_nn_engines.py tests/nn/test_nn_torch.py

test-ggml: $(VENV)/.dev
	@$(BIN)/python -c "import llama_cpp, gguf" 2>/dev/null || nice $(BIN)/pip install "llama-cpp-python>=0.3.5,<0.4" gguf
	@$(BIN)/pytest -rs tests/nn/test_nn_ggml.py tests/exec/test_exec_text.py

test-remote: $(VENV)/.dev
	@test -x $(VENV)-mlserver/bin/mlserver || { $(PYTHON) -m venv $(VENV)-mlserver && $(VENV)-mlserver/bin/pip install --quiet mlserver onnxruntime; }
	@FLOWRT_MLSERVER=$(CURDIR)/$(VENV)-mlserver/bin/mlserver $(BIN)/pytest -rs tests/nn/test_nn_remote.py

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.dev
	@scripts/system-tools
	@$(BIN)/python -m benchmarks

bench-pipeline: $(VENV)/.dev
	@scripts/system-tools
	@$(BIN)/python -m benchmarks pipeline

live: $(VENV)/.dev
	@scripts/live

docs: $(VENV)/.dev
	@$(BIN)/flowrt docs

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamps are older than pyproject.toml when it has changed since: then the environment is brought up to date.
$(VENV)/.demo: pyproject.toml
	@scripts/environment $(PYTHON) $(VENV) demo
	@touch $@

$(VENV)/.dev: pyproject.toml
	@scripts/environment $(PYTHON) $(VENV) dev
	@touch $(VENV)/.demo $@
