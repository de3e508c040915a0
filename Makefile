# Everything a person does with this repository. Needs Python 3.12 and make; each target installs the rest into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
UV := UV_PYTHON_DOWNLOADS=never $(VENV)/bin/uv
PYTEST := $(PYTHON) -m pytest -q
CDK := $(PYTHON) -m infra.cdk_cli
# Two workers: the smallest machine that the suite is meant for has two cores.
PARALLEL := -n 2 --dist loadfile
LOCKS := control data vendor training synth local test
LOCK := pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock"
ARGS ?=

.PHONY: help demo up prove-aws test check lint synth bench lock clean
.PHONY: test-lint test-fast test-infra test-image test-fidelity test-loop test-faults

help: ## What there is (this text)
	@echo "Perennial keeps a model learning in production. Everything here needs Python 3.12 and make, and nothing else."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Options for the command behind a target: make demo ARGS='--help'"

demo: $(VENV)/.has-local node_modules .build/.has-bundles ## The whole loop on this machine, told as it happens: no account, no Docker
	$(VENV)/bin/perennial demo $(ARGS)

up: $(VENV)/.has-local node_modules .build/.has-bundles ## The local cloud, kept running, for the AWS CLI and SDKs
	$(VENV)/bin/perennial up $(ARGS)

prove-aws: $(VENV)/.has-local node_modules .build/.has-bundles ## On your AWS account: shows that it works there, for at most 3 USD; asks first
	$(VENV)/bin/perennial prove $(ARGS)

test: test-lint test-fast test-infra test-image test-fidelity test-loop test-faults ## Everything that CI runs, fast parts first

check: test-lint test-fast ## Before a commit: lint and the tests that take seconds

lint: test-lint ## ruff, mypy --strict, import contracts

synth: $(VENV)/.has-synth node_modules ## The CloudFormation templates of every loop, checked by cdk-nag and cfn-lint
	rm -rf cdk.out
	$(CDK) synth -q --strict '**' $(ARGS)
	$(VENV)/bin/cfn-lint
	@echo "Templates are in cdk.out/, checked. Deploy them with: $(CDK) deploy --all"

bench: $(VENV)/.has-local ## Side-by-side measurements against peers
	for part in $(patsubst benchmarks/%/__main__.py,%,$(wildcard benchmarks/*/__main__.py)); do \
		echo "== benchmarks/$$part" && $(PYTHON) -m benchmarks.$$part $(ARGS) || exit 1; \
	done

lock: $(VENV)/.has-bootstrap ## Resolve requirements/*.in again, into locks with hashes
	$(UV) $(LOCK) requirements/dev.in -o requirements/dev.txt
	for purpose in $(LOCKS); do \
		$(UV) $(LOCK) -c requirements/dev.txt requirements/$$purpose.in -o requirements/$$purpose.txt || exit 1; \
	done
	$(UV) $(LOCK) -c requirements/dev.txt requirements/bootstrap.in -o requirements/bootstrap.txt
	$(UV) $(LOCK) --no-deps requirements/image.in -o requirements/image.txt

clean: ## Remove what can be made again: .build, cdk.out, node_modules (not .venv)
	rm -rf .build cdk.out node_modules tests/iam/node_modules

# --- the parts of `make test` ---------------------------------------------------------------------------------------

test-lint: $(VENV)/.has-dev
	@echo "== lint: ruff, mypy, import contracts"
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test-fast: $(VENV)/.has-test
	@echo "== rules, functions, training, conventions"
	$(PYTEST) $(PARALLEL) perennial functions training tests/unit tests/functions tests/training \
		tests/test_conventions.py

test-infra: $(VENV)/.has-test node_modules tests/iam/node_modules
	@echo "== infra: one synthesis, every bundle; what policies allow"
	$(PYTEST) infra tests/infra tests/iam

test-image: $(VENV)/.has-test node_modules .build/image/.has-packages
	@echo "== image: AWS's own containers, without Docker"
	$(PYTEST) tests/image

test-fidelity: $(VENV)/.has-test
	@echo "== fidelity: what the local cloud must do as AWS does"
	$(PYTEST) $(PARALLEL) tests/fidelity

test-loop: $(VENV)/.has-test node_modules tests/iam/node_modules
	@echo "== loop: the synthesized stacks on the local cloud"
	$(PYTEST) tests/loop

test-faults: $(VENV)/.has-test node_modules
	@echo "== faults: crashes, duplicates, lost acknowledgements"
	$(PYTEST) tests/faults

# --- what they need -------------------------------------------------------------------------------------------------

# A newer lock is installed over the older one; nothing is done when nothing changed.
$(VENV)/.has-%: requirements/%.txt pyproject.toml $(VENV)/.has-bootstrap
	@echo "== installing requirements/$*.txt into $(VENV)"
	$(UV) pip install --quiet --compile-bytecode --python $(PYTHON) --require-hashes -r requirements/$*.txt
	$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.has-bootstrap: requirements/bootstrap.txt
	@python=; for candidate in python3.12 python3 python; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.12 must be installed, and isn't found as python3.12 or python3." >&2; \
		echo "  Debian, Ubuntu: apt-get install python3.12 python3.12-venv    macOS: brew install python@3.12" >&2; \
		echo "  Fedora: dnf install python3.12    pyenv: pyenv install 3.12    uv: uv python install 3.12" >&2; \
		exit 1; \
	fi; \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then \
		echo "== making $(VENV) with $$python"; \
		$$python -m venv --clear $(VENV) || { \
			echo "Python's venv module must work: on Debian and Ubuntu, apt-get install python3.12-venv." >&2; exit 1; }; \
	fi
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# What functions and jobs run from is fetched by its locks too: the first synthesis has nothing left to install.
.build/.has-bundles: requirements/control.txt requirements/data.txt requirements/vendor.txt | $(VENV)/.has-local
	@echo "== building what functions and jobs run from"
	$(PYTHON) -c "from pathlib import Path; from infra.packaging import build_bundle, build_source_bundle; \
		[build_bundle(group, 'arm64') for group in ('control', 'data')]; \
		[build_source_bundle(toml.parent.name) for toml in Path('loops').glob('*/loop.toml')]"
	@touch $@

# An evaluator of policies that is not ours: for tests only, never shipped.
tests/iam/node_modules: tests/iam/package.json tests/iam/package-lock.json | $(VENV)/.has-test
	$(PYTHON) -m tests.iam.simulator
	@touch $@

# AWS's scikit-learn image as a virtual environment of its own: the versions that AWS locks, its toolkits built here from
# their sources, and the one change that AWS's Dockerfile makes to them. Without a C compiler its tests are skipped, and say so.
.build/image/.has-packages: requirements/image.txt | $(VENV)/.has-bootstrap
	@echo "== installing requirements/image.txt into .build/image"
	@mkdir -p .build/image
	@if ! command -v cc >/dev/null; then \
		echo "AWS's toolkits need a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev): tests/image will be skipped." >&2; \
	else \
		set -e; \
		$(UV) venv --quiet --no-project --clear --python $(PYTHON) .build/image; \
		grep -A 2 '^setuptools==' requirements/image.txt >.build/image/builder.txt; \
		install="env $(UV) pip install --quiet --python .build/image/bin/python --no-deps --require-hashes --link-mode copy"; \
		$$install -r .build/image/builder.txt; \
		$$install --no-build-isolation --compile-bytecode -r requirements/image.txt; \
		sed -i.original 's/collections\.Mapping/collections.abc.Mapping/g' \
			.build/image/lib/python3.12/site-packages/sagemaker_containers/_mapping.py; \
		touch $@; \
	fi

# The CDK CLI, by the Node that came with the Python packages.
node_modules: package.json package-lock.json | $(VENV)/.has-synth
	$(CDK) --version
	@touch $@
