# Sibyl's one task runner. It assumes Python 3.11 or later, git and make; everything else it installs into this directory.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
LOG := build/log
SOURCES := oracle bridges circuits contracts tests

SPACE := $() $()
# $(call quietly,name,command): one line when it succeeds, the whole output when it fails.
define quietly
@mkdir -p $(LOG); printf '%-34s' '$(1)'; started=$$(date +%s); \
if { $(2) ; } > $(LOG)/$(subst $(SPACE),-,$(1)).log 2>&1; then echo "ok  $$(( $$(date +%s) - started )) s"; \
else echo FAILED; cat $(LOG)/$(subst $(SPACE),-,$(1)).log; echo; echo 'make: "$(1)" failed; its output is above and in $(LOG)/$(subst $(SPACE),-,$(1)).log'; exit 1; fi
endef

.PHONY: help setup venv demo test lint contracts-test verify bench fmt wheel clean distclean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv:
	@command -v $(PYTHON) > /dev/null || { echo 'There is no $(PYTHON). Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "Sibyl needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) oracle/app/bootstrap.py

setup: venv ## installs and builds everything that is needed, cached by content
	@$(RUN) -m oracle.app.setup

demo: setup ## runs the whole demonstration on a local devnet
	@$(BIN)/sibyl demo $(DEMO_ARGS)

test: setup lint contracts-test ## checks the code and runs every test
	@$(RUN) -m pytest -n 2 --dist loadfile

lint: venv ## checks style, types, import rules and generated files
	$(call quietly,ruff check,$(BIN)/ruff check .)
	$(call quietly,ruff format,$(BIN)/ruff format --check --diff .)
	$(call quietly,mypy,$(BIN)/mypy)
	$(call quietly,import rules,$(BIN)/lint-imports)
	$(call quietly,generated constants,$(RUN) -m contracts.generate --check)
	$(call quietly,zig fmt,$(RUN) -m ziglang fmt --check contracts/solana)

contracts-test: venv ## runs the Solidity tests
	$(call quietly,forge fmt,$(RUN) -m oracle.app.toolchain forge fmt --check)
	$(call quietly,forge test,$(RUN) -m oracle.app.toolchain forge test)

verify: setup ## halmos proves what may never happen, slither looks for the rest (ten minutes)
	$(call quietly,halmos,$(RUN) -m oracle.app.verify halmos)
	$(call quietly,slither,$(RUN) -m oracle.app.verify slither)

bench: setup ## measures what the project promises; writes build/bench.json
	@$(BIN)/sibyl bench

fmt: venv ## formats Python, Solidity and Zig, and writes the generated constants
	@$(RUN) -m contracts.generate
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .
	@$(RUN) -m oracle.app.toolchain forge fmt
	@$(RUN) -m ziglang fmt contracts/solana

wheel: setup ## builds a wheel that carries the compiled contracts, into dist/
	@$(RUN) -m contracts.package

clean: ## removes everything built; keeps installed packages
	@rm -rf build dist contracts/artifacts contracts/evm/out contracts/evm/cache .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	.import_linter_cache
	@find $(SOURCES) -name __pycache__ -not -path '*/node_modules/*' -prune -exec rm -rf {} +

distclean: clean ## removes installed packages too
	@rm -rf $(VENV) contracts/evm/node_modules
