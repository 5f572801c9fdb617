# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lessons tiny gpu bench accuracy clean

target := $(or $(CARGO_TARGET_DIR),target)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

setup: ## libtorch into the cache, Python tools into .venv, cargo-nextest and cargo-deny
	@scripts/setup --tools

demo: ## build, then watch a code model learn to write secure Python: a table and report.html
	@scripts/setup
	cargo build --release --package rampart
	$(target)/release/rampart demo

test: ## every check a change must pass: format, tidy, licences, clippy, lessons, tests
	@scripts/setup --tools
	@scripts/test

lessons: ## check the truth table of every lesson
	@scripts/setup
	cargo run --quiet --package rampart -- data validate content/lessons

tiny: ## train models/tiny anew from named packages and the lessons (an hour of CPU, resumable)
	@scripts/setup
	models/tiny/recipe/rebuild

gpu: ## fetch the CUDA libraries (2.5 GB), which device.kind = "cuda" opens at run time
	@scripts/setup
	.venv/bin/python scripts/fetch-libtorch --cuda

bench: ## run the benchmarks
	@scripts/setup
	cargo bench --workspace
	@scripts/bench-peers

accuracy: ## measure analyzers on the labelled code in ../shared; writes docs/accuracy.md and docs/bandit-compat.md
	@scripts/setup
	cargo run --release --quiet --package judge --example accuracy
	cargo run --release --quiet --package judge --example agreement

clean: ## remove what was built here; the cache in ~/.cache/rampart stays
	cargo clean
	rm -rf .venv .libtorch .setup.lock
