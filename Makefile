# What a developer does; what the product can do is a subcommand of `qiliang`.
SHELL := /bin/bash
export CARGO_BUILD_JOBS ?= 2

TARGET ?= json
SECONDS ?= 600

.PHONY: demo test lint web bench bench-collect bench-faults bench-forecast bench-modbus bench-scale bench-store crash-matrix fuzz setup setup-test clean estimation outage-influx

demo: setup web  ## a whole city from meter to declaration on this machine
	cargo build --release
	./target/release/qiliang demo

test: setup setup-test web  ## every test
	scripts/test

lint: setup web
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --quiet
	scripts/deny

web: web/dist/index.html  ## the console, built into the executable

web/dist/index.html: web/package-lock.json $(shell find web/src web/index.html web/vite.config.ts web/package.json -type f 2>/dev/null)
	cd web && npm ci --no-audit --no-fund && npm run build
	@touch $@

bench: setup web  ## whole-program benchmarks
	cargo build --release
	scripts/bench

bench-faults: setup setup-test web  ## each fault twenty times: readings lost and stored twice
	scripts/bench-faults

bench-collect: setup web  ## collectors beside each other: rate, CPU, memory, losses (ARGS=--quick: a minute)
	scripts/setup bench
	cargo build --release --bin qiliang --example publish_load
	scripts/bench-collect $(ARGS)

bench-store: setup  ## the store beside SQLite, fjall and InfluxDB 2 (QILIANG_TEST_INFLUXD)
	scripts/bench-store

crash-matrix: setup web  ## killed at every boundary of a commit, files cut at any byte; the table
	scripts/crash-matrix

estimation:  ## the estimation ladder judged by masking hours of a simulated city
	mkdir -p web/dist
	cargo run --release --quiet --example estimation

fuzz:  ## one fuzz target for a while: make fuzz TARGET=json SECONDS=600 (cargo install cargo-fuzz; nightly)
	mkdir -p web/dist fuzz/corpus/$(TARGET)
	cd fuzz && cargo +nightly run --release --example seeds
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048

outage-influx: setup-test  ## 30 minutes of 1,000 readings/s without the second store, then its speed (QILIANG_TEST_INFLUXD)
	cargo test --release --test it -- --ignored --nocapture --test-threads 1 influx::outage

bench-forecast:  ## forecasts: a daily and an hourly series on one core, then many customers on two
	mkdir -p web/dist
	cargo bench --bench forecast
	cargo build --release --example forecast_load
	target/release/examples/forecast_load

bench-scale:  ## answers that look at much: meters, large consumers, the book at a start (ARGS="consumers 1000")
	mkdir -p web/dist
	cargo run --release --quiet --example scale -- $(ARGS)

bench-modbus: setup web  ## 200 faulty meters, beside Telegraf (QILIANG_TEST_TELEGRAF)
	cargo bench --bench modbus

setup:  ## what the build needs from Debian
	@scripts/setup build

setup-test:  ## servers and tools the tests need
	@scripts/setup test

clean:
	rm -rf target web/dist web/node_modules
