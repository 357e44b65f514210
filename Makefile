# The one entry: `make` lists what there is.
SHELL := /bin/bash
CARGO ?= cargo
# Full debug information doubles the build and serves only a debugger; lines are enough for a backtrace.
export CARGO_PROFILE_DEV_DEBUG ?= line-tables-only
# What scripts/prepare installed for this tree alone goes before what the system has.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help prepare build demo fleet test test-fleet test-bluez test-home-assistant test-system deb deb-smoke shots check sim bench truth truth-others doctor chaos planted soak-radio codes-load api-fuzz fuzz

help: ## List these
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

prepare: ## Install what building and testing need (Debian packages, the Z-Wave rig); can be run again
	@scripts/prepare

build: ## Build the release binary: target/release/portcullis
	$(CARGO) build --release

demo: prepare ## Show a simulated building, and its events arriving at an MQTT subscriber (60 s; DEMO_SECONDS=0: until Ctrl-C)
	$(CARGO) build
	@scripts/demo $(ARGS)

fleet: prepare ## Show a fleet: three NATS nodes, hubs, and what a consumer reads (60 s; FLEET_SECONDS=0: until Ctrl-C; FLEET_HUBS=n)
	$(CARGO) build
	@scripts/fleet

test: prepare ## Run every test: real broker, real bus, real Z-Wave driver, real binary
	@scripts/digits $(CARGO) test --no-fail-fast $(ARGS)

test-fleet: prepare ## Fifty hubs and five thousand simulated ones while nodes of their cluster die, are cut off, and are all gone (half an hour)
	$(CARGO) test --no-fail-fast --test fleet --test fleet_faults -- --include-ignored --test-threads=1 --nocapture

test-home-assistant: prepare ## What is announced to Home Assistant, on its own MQTT integration (a virtual environment of 400 MB)
	@scripts/prepare home-assistant
	$(CARGO) test --test home_assistant -- --include-ignored

test-bluez: ## The radio on the real bluetoothd and Debian's kernel, in an emulated machine
	@tests/vm/run

test-system: ## The package on a clean Debian that real systemd boots, as its papers say (root; 5 minutes, the first time 10)
	@tests/system/run

deb: ## Build the Debian package: target/debian (ARCH=arm64 or armhf: for a Pi, on a PC)
	@scripts/deb $(ARCH)

deb-smoke: ## The package of a Pi (ARCH=arm64 or armhf) on a clean Debian of that processor, emulated (root; builds it first)
	@scripts/deb-smoke $(ARCH)

shots: prepare ## Take the pictures of the console in docs/console anew, of a demo
	$(CARGO) build
	@scripts/shots

chaos: prepare ## Break the delivery at length (kill -9, broken disks, brokers and networks); prints its seed, SEED=n repeats it
	@scripts/chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

planted: ## See that the fault suites find the faults of tests/planted, planted in the source one at a time
	@scripts/planted $(ARGS)

soak-radio: ## Ten minutes of 2,700 adverts a second, and a million random addresses, on the release build
	PORTCULLIS_SOAK=1 $(CARGO) test --release --test radio_load -- --nocapture --test-threads=1

codes-load: prepare ## 250 codes on one lock and 20 locks at once, on the real Z-Wave driver (minutes)
	PORTCULLIS_CODES_LOAD=1 $(CARGO) test --test codes_load -- --nocapture

api-fuzz: prepare ## Ask a demo's API what its document allows and what it does not (EXAMPLES=30 an operation; SEED=n repeats)
	$(CARGO) build
	@SEED=$(SEED) scripts/api-fuzz $(or $(EXAMPLES),30)

check: ## What must hold before a change lands: format, lints, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	@scripts/deny
	@scripts/fuzz 5

fuzz: ## Feed every decoder and reader mutated input, a minute each (FUZZ_SECONDS=n)
	@scripts/fuzz $(or $(FUZZ_SECONDS),60)

sim: ## Play 10,000 seeds of the whole hub (SIM_FROM=n begins there, SIM_SEED=n plays one)
	SIM_SEEDS=$(or $(SIM_SEEDS),10000) $(CARGO) test --test sim -- --nocapture

truth: ## Hold the presence judge against every kind of building, and write the table in docs/presence.md (minutes)
	TRUTH_WRITE=1 $(CARGO) test --profile bench --test truth -- --ignored --nocapture the_full_table

truth-others: ## Hold it against seeds it has not seen, and buildings drawn by chance (TRUTH_SEEDS=11-20, TRUTH_REGIMES=dark,noise)
	$(CARGO) test --profile bench --test truth -- --ignored --nocapture other_seeds drawn_buildings

bench: ## Measure the hot paths
	$(CARGO) bench $(ARGS)

doctor: ## Check this machine with the configuration in CONFIG (default: the installed one)
	$(CARGO) run -q -- doctor $(if $(CONFIG),--config $(CONFIG))
