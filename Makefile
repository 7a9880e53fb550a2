# Everything a newcomer needs: `make demo` shows the main job, `make test` runs the tests.
.DEFAULT_GOAL := help
.PHONY: help install model demo sbom audit test test-trust test-editors test-editors-short fetch-editors-short fetch-neovim fetch-vscode \
  test-vscode test-neovim test-other-editors test-newcomer vsix check format docs clean

# The first interpreter that the project supports (3.11 to 3.13).
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help:  ## Say what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "hef-lsp needs Python 3.11, 3.12 or 3.13; none was found. Install one or say PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(STAMP)  ## Make .venv with everything in it.

model: $(STAMP)  ## Fetch the embedded default model (98 MB) once.
	$(BIN)/hef-lsp model pull smollm2-135m --yes

demo: model  ## Index a repository that is not ours, edit it, complete in it, explain.
	$(BIN)/hef-lsp demo

test: model  ## Run all tests.
	$(BIN)/python -m pytest

test-trust: model  ## Break the server in every way we know, at length, and count (the short form is in `make test`).
	HEF_TRUST=full $(BIN)/python -m pytest tests/trust

AUDIT := build/audit
AUDIT_S ?= 45

$(AUDIT)/.installed:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.10,<3' 'cyclonedx-bom>=7,<8'
	@touch $@

sbom: $(STAMP) $(AUDIT)/.installed  ## Write build/sbom.json, a bill of materials of what is installed.
	$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom.json $(VENV)

# The service is asked for AUDIT_S seconds at most: what it has not said by then is not known.
audit: sbom  ## Ask the advisory service about every pinned version (says so if it cannot be reached).
	@timeout $(AUDIT_S) $(AUDIT)/bin/pip-audit --progress-spinner off --disable-pip --no-deps --requirement constraints.txt > build/audit.txt 2>&1; \
	  verdict=$$?; unknown=$$(grep -c 'could not be audited' build/audit.txt); total=$$(grep -c '==' constraints.txt); \
	  grep -v 'could not be audited' build/audit.txt; echo "$$unknown of $$total dependencies are unknown to the advisory service"; \
	  if [ $$verdict -ne 0 ] && grep -q 'Found [0-9]* known vulnerabilit' build/audit.txt; then exit 1; fi; \
	  [ $$unknown -lt $$total ] && [ $$verdict -eq 0 ] || echo "audit: the advisory service could not be asked; nothing is known, which is not good news"

# Whoever asks for real editors gets a failed test where one could not be fetched.
test-editors: fetch-vscode vsix model  ## Drive all the editors that can be had against the server.
	$(BIN)/python tests/editors/install.py
	HEF_TEST_EDITORS=1 $(BIN)/python -m pytest tests/editors

test-editors-short: fetch-editors-short  ## Drive VS Code and Neovim a little, as CI does.
	HEF_TEST_EDITORS=short $(BIN)/python -m pytest tests/editors

fetch-editors-short: fetch-neovim fetch-vscode vsix model

fetch-neovim: $(STAMP)
	$(BIN)/python tests/editors/install.py neovim-0.11 neovim-0.12 stylua

test-neovim: fetch-neovim model  ## Drive Neovim 0.11 and 0.12, headless and on a screen.
	HEF_TEST_EDITORS=1 $(BIN)/python -m pytest tests/editors -k neovim

test-other-editors: model  ## Drive Helix, Emacs and Vim.
	$(BIN)/python tests/editors/install.py helix emacs vim
	HEF_TEST_EDITORS=1 $(BIN)/python -m pytest tests/editors/test_other_editors.py

test-newcomer: fetch-vscode vsix model  ## Go the way from nothing to the first suggestion in each editor, by the commands of docs/editors.md.
	$(BIN)/python tests/editors/install.py
	HEF_TEST_EDITORS=1 $(BIN)/python -m pytest tests/editors/test_newcomer.py

check: $(STAMP)  ## Lint, types, layers, sizes.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/architecture/sizes.py

format: $(STAMP)  ## Put imports and layout in order.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Write docs/settings.md and the extension's settings anew from the settings.
	$(BIN)/python -m hef_lsp.settings_reference > docs/settings.md
	$(BIN)/python -m hef_lsp.settings_schema editors/vscode/package.json

VSCODE := editors/vscode
VSCODE_STAMP := $(VSCODE)/node_modules/.installed

$(VSCODE_STAMP): $(VSCODE)/package-lock.json
	@command -v npm >/dev/null || { echo "the VS Code extension is built with Node 20 or later and its npm; install them"; exit 1; }
	cd $(VSCODE) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# An environment with pip alone: whoever builds the extension need not have the server's packages.
WHEELS := $(VSCODE)/node_modules/.wheels

$(WHEELS): $(VSCODE_STAMP)
	@test -n "$(PYTHON)" || { echo "hef-lsp needs Python 3.11, 3.12 or 3.13; none was found. Install one or say PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(WHEELS)

vsix: $(WHEELS)  ## Package the VS Code extension, with the server's wheel in it.
	rm -rf $(VSCODE)/server $(VSCODE)/dist build/lib build/bdist.*
	$(WHEELS)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(VSCODE)/server .
	cp constraints.txt $(VSCODE)/server/
	cp LICENSE $(VSCODE)/
	cd $(VSCODE) && npm run --silent check && npm run --silent build && npm run --silent package

fetch-vscode:
	bash $(VSCODE)/test/fetch-vscode.sh

test-vscode: fetch-vscode vsix model  ## Try the extension in the real VS Code (fetches it once, 800 MB).
	HEF_TEST_EDITORS=1 $(BIN)/python -m pytest tests/editors/test_vscode.py

clean:  ## Remove what was made here (not the models).
	rm -rf $(VSCODE)/node_modules $(VSCODE)/dist $(VSCODE)/server $(VSCODE)/.vscode-test $(VSCODE)/*.vsix
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
