# Each target does its own set-up: a virtual environment in .venv with the versions pinned in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# Python compiles what it imports; to compile all that is installed takes a minute and more.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.PHONY: demo test docs demo-site format clean

# Find directions of the bundled generator, name those that match its known factors, and draw the strongest.
demo: .venv/installed
	$(BIN)/python discover.py --out runs/demo
	$(BIN)/biggan-discovery name runs/demo/directions.safetensors --suggest
	$(BIN)/python visualize.py runs/demo/directions.safetensors --only 0-7 --samples 4 --frames 40 --out runs/demo/directions.webp
	@echo
	@echo "Open runs/demo/directions.webp. Then edit, judge and explore what was found:"
	@echo "  source .venv/bin/activate"
	@echo "  biggan-discovery edit runs/demo/directions.safetensors --set 0=2 --set 1=-1 --class torus --out edit.mp4"
	@echo "  biggan-discovery evaluate runs/demo/directions.safetensors --out report"
	@echo "  biggan-discovery explore runs/demo/directions.safetensors"

# Lint, format, types, the site, and all tests on as many processes as there are processors.
test: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright & types=$$!; $(BIN)/mkdocs build --strict --quiet && wait $$types
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

# The site, from docs/ and the docstrings: site/index.html.
docs: .venv/installed-dev
	$(BIN)/mkdocs build --strict

# The site with a live demo in site/demo: the explorer, with the bundled networks in the visitor's browser.
demo-site: docs
	$(BIN)/python -m biggan_discovery.explorer.site --out site/demo

format: .venv/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv runs site

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python tests/chromium.py --install-system & $(INSTALL) --editable '.[dev,docs]' && wait
	$(BIN)/python tests/chromium.py --install
	touch $@
