# Every target does its own set-up; a second call finds it done. `make help` lists the targets.

BIN = .venv/bin
SETUP = @sh deploy/setup.sh
# For `make lock`: UPGRADE=--upgrade takes the newest versions, without it the pins stay.
UPGRADE =

# What npm has installed for `make lighthouse`, written when it was done.
LIGHTHOUSE = tests/lighthouse/node_modules/.package-lock.json

.PHONY: help setup run test suite lint screenshots chaos bench lighthouse lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## the set-up alone, with what the tests need
	$(SETUP) test

run: ## start the dashboard
	$(SETUP) run
	@exec $(BIN)/longshore serve

# Both at once: mypy takes most of a minute of one processor.
test: ## lint, and every test but the long fault sweeps and the benchmarks
	$(SETUP) test
	@$(MAKE) --no-print-directory --jobs 2 lint suite

# Four at once, whatever the machine: most tests wait for other processes more than they compute.
# They start some hundred programs, each of which would compile all of our modules anew where the
# environment forbids Python to keep them.
suite:
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 4 --dist worksteal

lint: ## style, types and the floors of the architecture
	$(SETUP) test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: ## make the pictures of the README anew
	$(SETUP) test
	$(BIN)/python -m tests.browser.screenshots

chaos: ## the fault sweeps in their long form
	$(SETUP) test
	LONGSHORE_CHAOS=full $(BIN)/python -m pytest tests/chaos -m chaos --timeout 1800
	LONGSHORE_CHAOS=full $(BIN)/python -m pytest tests/browser tests/integration -m long
	LONGSHORE_CHAOS=full $(BIN)/python -m pytest tests/integration/test_hostile_values.py \
		tests/integration/test_dry_run.py tests/integration/test_rclone_remotes.py \
		tests/integration/test_api_description.py tests/integration/test_path_traversal.py \
		tests/unit/test_partial_files.py tests/browser/test_no_script_runs.py --timeout 7200

bench: ## measure, print a table and write bench-results.json
	$(SETUP) test
	@exec $(BIN)/python -m tests.benchmarks

lighthouse: $(LIGHTHOUSE) ## let Lighthouse (from npm) judge the pages with a thousand jobs
	$(SETUP) test
	@exec $(BIN)/python -m tests.lighthouse

$(LIGHTHOUSE): tests/lighthouse/package.json tests/lighthouse/package-lock.json
	@command -v npm >/dev/null || { echo "make lighthouse needs npm: install Node.js" >&2; exit 1; }
	npm ci --prefix tests/lighthouse --no-audit --no-fund
	@touch $@

# --universal: one file for every supported Python and platform. The options at the end keep the
# address of whatever package index this machine uses out of the files.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--no-header --no-emit-index-url --no-emit-find-links

lock: ## pin the dependencies anew after a change of pyproject.toml
	@command -v uv >/dev/null || { echo "make lock needs uv: install it with 'pip install uv'" >&2; exit 1; }
	$(LOCK) --extra build -o requirements.txt pyproject.toml
	$(LOCK) --extra build --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

clean: ## remove the virtual environment and all caches; data and history stay
	rm -rf tests/lighthouse/node_modules
	rm -rf .venv .grimp_cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
