# Targets for people: `make demo`, `make test`; `make help` lists the rest.
# Needs Python >= 3.11 and git. Everything is installed into .venv; delete that directory to start anew.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
STAMPS := $(VENV)/.stamps

# Two cores: two test processes with one thread each beat one process with two threads.
WORKERS ?= auto
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check format docs serve-docs figures bench constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(STAMPS)/run ## install rosse and measure two fields, into demo/
	$(VENV)/bin/rosse demo

test: $(STAMPS)/test ## install rosse and run the tests
	$(PYTEST) -m "not slow"

test-all: $(STAMPS)/test ## the tests, slow ones too
	$(PYTEST)

check: $(STAMPS)/check ## formatting, lint, types and the layers
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_layers.py

format: $(STAMPS)/check ## format the code and mend what lint can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

docs: $(STAMPS)/docs ## build the documentation into site/, without network
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@! grep -rlE '<(script|link|img)[^>]+(src|href)="(https?:)?//' site || { echo "the pages above load something from elsewhere"; exit 1; }

serve-docs: $(STAMPS)/docs ## show the documentation in a browser while writing it
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs serve --strict

figures: $(STAMPS)/run ## draw the pictures of README and docs again
	$(VENV)/bin/rosse demo
	cp demo/contact-sheet.png demo/recovered.png docs/images/
	$(PY) tools/sky_figure.py
	$(PY) tools/shapes_figure.py docs/images/shapes.png

bench: $(STAMPS)/test ## compare with other fitters: make bench PEERS="--peer pyimfit=python", see bench/fit.py
	$(PY) bench/fit.py --scaling --out docs/benchmarks.md $(PEERS)
	$(PY) bench/roofline.py --out docs/benchmarks.md
	$(PY) bench/sky_speed.py --out docs/benchmarks.md

constraints: $(STAMPS)/venv ## refresh constraints.txt with the newest versions that work together
	rm -rf .venv-constraints
	$(PY) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip install --quiet --upgrade pip
	.venv-constraints/bin/python -m pip install --quiet --group test --group check --group docs -e '.[demo,encoders,ray,lsdb]'
	sed -n '/^#/p' constraints.txt > .venv-constraints/new.txt
	.venv-constraints/bin/python -m pip freeze --all --exclude-editable \
	  | grep -E '^[A-Za-z0-9_.-]+==' | grep -v -i -E '^(nvidia|cuda|triton)[-=]' >> .venv-constraints/new.txt
	mv .venv-constraints/new.txt constraints.txt
	rm -rf .venv-constraints

clean: ## remove what make has built, .venv included
	rm -rf $(VENV) demo site .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- installation: each stamp is one `pip install`, repeated when its inputs change -------------------------------

$(STAMPS)/venv: tools/make-venv constraints.txt
	@tools/make-venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml constraints.txt
	@echo "installing rosse into $(VENV): a few minutes the first time, mostly torch"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/run
	@echo "installing what the tests need"
	@$(PIP) --group test --editable '.[demo,encoders,ray,lsdb]'
	@touch $@

$(STAMPS)/check: $(STAMPS)/test
	@echo "installing what the checks need"
	@$(PIP) --group check
	@touch $@

$(STAMPS)/docs: $(STAMPS)/run
	@echo "installing what the documentation needs"
	@$(PIP) --group docs
	@touch $@
