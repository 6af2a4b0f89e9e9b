# Every daily act. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test soak fmt fmt-check lint bench fuzz accuracy models scene web setup release clean

# Nothing here needs the variable that bash itself counts seconds in.
unexport SECONDS
kinora := $(or $(CARGO_TARGET_DIR),target)/debug/kinora

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: setup web models scene ## Start a server with a test camera and print the console's address (SECONDS=60: run so long, check, end)
	@cargo build --quiet
	@$(kinora) demo $(if $(SECONDS),--seconds $(SECONDS))

test: setup web models scene ## Run all tests
	cargo test

fmt: web ## Format everything
	cargo fmt
	cd web && npm run --silent fmt

fmt-check: ## Fail where `make fmt` would change Rust
	cargo fmt --check

lint: setup web ## Clippy, and the console's types and style
	cargo clippy --all-targets --quiet -- -D warnings
	cd web && npm run --silent check

bench: setup web models ## Measure against peers and the disk (ONLY="ack segments": some of it)
	.ci/setup bench
	cargo bench --quiet --bench bench -- $(ONLY)

soak: setup web ## Run the store's simulation (SEEDS=10000) and kill -9 a server under load (KILLS=200)
	KINORA_SEEDS=$(or $(SEEDS),10000) cargo test --lib simulation
	KINORA_KILLS=$(or $(KILLS),200) cargo test --test it crash:: -- --nocapture

fuzz: setup ## Fuzz the parsers (SECONDS=60 for each)
	tests/fuzz/run.sh $(or $(SECONDS),60)

accuracy: models ## Judge the models by pictures (MODEL=own.onnx ARGS="--alone": a detector of your own)
	@cargo build --quiet
	@$(kinora) models accuracy $(MODEL) $(ARGS)

models: setup web ## Fetch face models and convert them
	@.ci/models

scene: models ## Compose the film of the demo's camera
	@.ci/scene

web: setup ## Build the console
	@.ci/web

setup: ## Install what is missing on this machine
	@.ci/setup

release: setup web ## Build the release binary
	cargo build --release

clean: ## Remove what was built
	cargo clean
	rm -rf web/dist web/node_modules
