# Two commands for a person: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
# Test processes; each runs one thread.
WORKERS ?= 2
PY      = $(VENV)/bin/python

# uv reads UV_FIND_LINKS where pip reads PIP_FIND_LINKS; unset on an ordinary machine.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# Without .pyc files `import torch` takes 3.7 s for ever instead of 1.5 s.
export PYTHONDONTWRITEBYTECODE =
# Spinning OpenMP threads of two processes slow each other down many times over.
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo smol docs test test-slow test-gpu test-harness test-browser playground.png canvas.svg test-arithmetic soak verify golden lint format clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q uv
	$(VENV)/bin/uv pip install -q --python $(PY) -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.ready
	$(PY) -m fef demo

# The base of the checkpoint smol, 98 MB, into the cache of the user; then `fef chat --model smol` answers offline.
smol: $(VENV)/.ready
	$(PY) -m fef.models.smol_base

test: $(VENV)/.ready
	$(PY) -m pytest -n $(WORKERS)

test-slow: $(VENV)/.ready
	$(PY) -m pytest -m slow -n $(WORKERS)

test-gpu: $(VENV)/.ready
	$(PY) -m pytest -m gpu

# lm-evaluation-harness is large, so only its own tests install it.
test-harness: $(VENV)/.ready
	$(VENV)/bin/uv pip install -q --python $(PY) -c constraints.txt -e '.[dev,eval]'
	$(PY) -m pytest tests/eval/test_harness.py -m "slow or not slow"

# The playground in headless Chromium, which the system has to have (`apt install chromium`), and its picture in the docs.
test-browser playground.png: BROWSER = $(VENV)/bin/uv pip install -q --python $(PY) -c constraints.txt -e '.[dev,test-browser]'
test-browser: $(VENV)/.ready
	$(BROWSER)
	$(PY) -m pytest tests/serve/test_playground_browser.py

playground.png: $(VENV)/.ready
	$(BROWSER)
	$(PY) tests/serve/playground_picture.py docs/playground.png

# The picture in the README.
canvas.svg: $(VENV)/.ready
	$(PY) tools/canvas_picture.py docs/canvas.svg

# The site, in site/; `make docs SERVE=1` shows it at http://127.0.0.1:8000 and follows changes.
docs: $(VENV)/.ready
	$(VENV)/bin/uv pip install -q --python $(PY) -c constraints.txt -e '.[dev,docs]'
	$(PY) tools/site_pages.py docs
	$(PY) -m zensical $(if $(SERVE),serve,build --clean --strict)

# What every certificate says, and that decoders broken on purpose are caught.
verify: $(VENV)/.ready
	$(PY) -m fef verify
	$(PY) -m fef verify --self-test

# These, `fef verify --engine` and the tests, under other threads and instruction sets: about an hour. PY=python3 needs no environment of its own.
test-arithmetic: $(if $(filter $(VENV)/bin/python,$(PY)),$(VENV)/.ready)
	PY=$(PY) WORKERS=$(WORKERS) tests/arithmetic.sh

# Very many requests through one engine, on the demo checkpoint and of every method on tiny networks of every family. On a GPU
# some minutes; on two CPU cores an hour, of which the families take a quarter (SOAK_TESTS=every_method).
SOAK       ?= 10000
SOAK_TESTS ?= soak
soak: $(VENV)/.ready
	FEF_SOAK=$(SOAK) $(PY) -m pytest -s -m slow tests/engine/test_soak.py -k $(SOAK_TESTS)

# Parity with official code; FEF_GOLDEN=folder takes other golden data of the same format.
golden: $(VENV)/.ready
	$(PY) -m pytest tests/golden

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
