# Millstream. `make` or `make help` says what there is.
#
# Each target can be run on a fresh checkout of a Debian machine: it brings what it lacks.
# Downloads live in ~/.cache/millstream and may be deleted at any time.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

# What users run, and the demo: not what only measures.
PROGRAMS := --workspace --bins --exclude millstream-bench --exclude millstream-lab

.DEFAULT_GOAL := help
.PHONY: help demo test build bench instructions soak fuzz lint servers setup clean-cache

help:  ## this text
	@echo 'Millstream: MySQL and MariaDB row changes as typed Cap'"'"'n Proto rows.'
	@echo
	@echo 'Start here:'
	@echo '  make demo         a private MySQL, millstreamd, a workload of ten seconds: rows arrive on this terminal'
	@echo '  make test         everything, against real servers (fetched once into ~/.cache/millstream/servers)'
	@echo
	@echo 'And:'
	@awk -F':.*## ' '/^[a-z-]+:.*## / && $$1 !~ /^(help|demo|test)$$/ {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo 'Settings: MILLSTREAM_CACHE (default ~/.cache/millstream), MILLSTREAM_SERVERS (default $$MILLSTREAM_CACHE/servers)'
	@echo 'One test: scripts/test.sh -p millstream-codec gtid        One server: scripts/servers.sh start mysql97 /tmp/m 0'

demo: ## see above
	@scripts/setup.sh build
	@scripts/servers.sh fetch mysql97 || scripts/servers.sh fetch mariadb118
	@cargo build --release --locked $(PROGRAMS)
	@scripts/demo.sh

test: ## see above
	@scripts/setup.sh test
	@scripts/servers.sh fetch
	@scripts/test.sh

build: ## the programs, optimised: target/release/{millstreamd,millstream}
	@scripts/setup.sh build
	cargo build --release --locked $(PROGRAMS)

bench: ## the time of each stage of the hot path; decode and encode beside mysql_common's reader, on the same bytes
	@scripts/setup.sh build
	cargo bench --locked -p millstream-bench

instructions: ## how many instructions each stage takes, held against bench/instructions.toml; also in make test
	@scripts/setup.sh test
	@scripts/instructions.sh

soak: ## the random tests with fresh seeds, ROUNDS=10 times or until one fails
	@scripts/setup.sh test
	@scripts/servers.sh fetch
	@for round in $$(seq $(or $(ROUNDS),10)); do MILLSTREAM_SEED=fresh scripts/test.sh -p millstream-tests \
	  --test ddl --test fold --test faults --test kill --test corpus_live --test corpus_decode || exit 1; done

fuzz: ## coverage-guided fuzzing, a minute for each parser; scripts/fuzz.sh --help says more
	@scripts/setup.sh build
	@scripts/fuzz.sh all 60

lint: ## formatting and clippy; warnings are errors
	@scripts/setup.sh build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

servers: ## fetch the servers that the tests use, and list them
	@scripts/setup.sh test
	@scripts/servers.sh fetch
	@scripts/servers.sh list

setup: ## install what building and testing lack, and nothing else
	@scripts/setup.sh test

clean-cache: ## delete ~/.cache/millstream (fetched servers and tools)
	rm -rf "$${MILLSTREAM_CACHE:-$$HOME/.cache/millstream}"
