# What there is to do. `make` alone lists it.

CARGO    ?= cargo
OTAPRESS  = $(CARGO) run --quiet --locked --bin otapress --
TARGET   ?= $(or $(CARGO_TARGET_DIR),target)
PREFIX   ?= /usr/local

.PHONY: help demo check test cases soak siege build release cgi install deb dist image book reproducible

help: ## List what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Publish the example fleet in a temporary directory and watch simulated devices upgrade
	$(CARGO) build --locked --bin otapress --example demo
	$(CARGO) run --quiet --locked --example demo

check: ## Format, lints and unit tests: under a minute when built, and nothing but Rust and a C compiler is needed
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked --lib --bins --quiet -- --skip postgres::tests

test: ## Everything that CI runs, 20 minutes; on Debian it installs what is missing
	.ci/run

cases: ## Try the inputs and situations that otapress had faults with; Debian's faketime, sqlite3, zip, exfat-fuse and more
	$(CARGO) build --locked
	tests/cases/run $(TARGET)/debug $(CASES)

soak: ## Years of a fleet with everything that can go wrong: SEED=1 SECONDS_EACH=60 make soak
	$(CARGO) run --quiet --locked --config crates/simulation/soak.toml --features otapress-simulation/testing --example soak

siege: ## A million hostile requests against the release program, and ten minutes of attack while 500 devices upgrade
	$(CARGO) build --release --locked --package otapress --bin otapress
	OTAPRESS_SIEGE=full OTAPRESS_SIEGE_PROGRAM="$(abspath $(TARGET))/release/otapress" \
		$(CARGO) test --locked --test it siege -- --nocapture --test-threads 1

cgi: ## Make otapress-cgi, linked statically, so that it starts faster
	$(CARGO) cgi

install: ## Install otapress and the static otapress-cgi below PREFIX (/usr/local)
	@into="$(DESTDIR)$(PREFIX)/bin"; dir=$$into; \
	while [ ! -e "$$dir" ]; do dir=$$(dirname "$$dir"); done; \
	[ -d "$$dir" ] && [ -w "$$dir" ] || { \
		echo "cannot install to $$into: $$dir is not a directory that you may write to;" \
			"as root, or for yourself: make install PREFIX=~/.local" >&2; exit 1; }
	$(CARGO) build --release --locked --package otapress --bin otapress
	$(CARGO) cgi
	install -D -t "$(DESTDIR)$(PREFIX)/bin" "$(TARGET)/release/otapress" "$(TARGET)/release/otapress-cgi"

build: ## Publish fleet.yaml to out/
	$(OTAPRESS) build

release: ## Validate a JAR and take it into jars/: make release JAR=path
	@test -n "$(JAR)" || { echo 'which one? make release JAR=path/to/OwnTracks.jar' >&2; exit 2; }
	$(OTAPRESS) add "$(JAR)"
	@echo
	@echo 'It is in the catalog; no device is told of it yet. Next:'
	@echo '  1. name its version as `release:` of a channel in fleet.yaml'
	@echo '  2. otapress check'
	@echo '  3. otapress build        (or: make build)'
	@echo '  4. git add fleet.yaml jars out && git commit'

deb: ## Make a Debian package of the programs, in dist/
	packaging/build target/dist
	packaging/deb target/dist/release dist

dist: deb ## The same, an archive for other systems, and their checksums
	packaging/archive target/dist/release dist

image: deb ## Make two images of the package: otapress, and otapress-cgi, which has nothing else in it
	for name in otapress otapress-cgi; do podman build --file Containerfile --target $$name --tag $$name . || exit 1; done

book: ## Make the book of docs/ with mdBook, in target/book
	@command -v mdbook > /dev/null || { echo 'mdBook is missing: cargo install mdbook' >&2; exit 1; }
	rm -rf "$(TARGET)/book-source"
	packaging/book-source "$(TARGET)/book-source"
	mdbook build --dest-dir "$(abspath $(TARGET))/book" "$(TARGET)/book-source"

reproducible: ## Build the release twice, in two places, and compare every byte; what was compared is in dist/
	packaging/reproducible dist
