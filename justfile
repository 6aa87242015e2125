# What people do here. `.ci/run` is what a change must pass; the rest are its parts, and conveniences.

# The list of recipes
default:
    @just --list

# Everything that a change must pass
ci:
    .ci/run

# The tests, with cargo-nextest where it is installed (it runs the test programs side by side), else as in the README
test *filter:
    #!/usr/bin/env bash
    set -euo pipefail
    if cargo nextest --version >/dev/null 2>&1; then
        exec cargo nextest run {{ filter }}
    fi
    exec cargo test {{ filter }}

# Faults that the tests must notice, switched on one by one; takes lists, mutants and --jobs: just mutants guard
mutants *args:
    tests/mutants/run {{ args }}

# Clients and services that are not ours; needs python3 with venv, curl, node and npm
clients *tests:
    tests/clients/run {{ tests }}

# Format and lints, with and without the sandbox, and with the export of spans
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --all-targets --no-default-features -- -D warnings
    cargo clippy --locked --features otlp --lib --bins --test otlp -- -D warnings

# Lints for the other systems of a release, without linking; takes targets: just targets aarch64-apple-darwin
targets *targets:
    tests/targets/run {{ targets }}

# The program for Windows, built by mingw's tools and tried under wine; takes unittest's names
windows *tests:
    cargo build --locked --target x86_64-pc-windows-gnu
    COUNTERSIGN="${CARGO_TARGET_DIR:-target}/x86_64-pc-windows-gnu/debug/countersign.exe" tests/windows/run {{ tests }}

# The documentation of the code
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# Licences, bans and sources of dependencies (cargo install --locked cargo-deny)
deny:
    cargo deny --locked check bans licenses sources

# Known vulnerabilities of dependencies; fetches the advisory database
advisories:
    cargo deny --locked check advisories

# Each fuzz target for a minute (rustup toolchain install nightly; cargo install --locked cargo-fuzz).
# No sanitizer: nothing here is unsafe, and the standard library's checks are on.
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in $(cargo +nightly fuzz list); do
        mkdir -p "fuzz/corpus/$target"
        cargo +nightly fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
            -max_total_time={{ seconds }} -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
    done

# Pages of other origins against the guard, a Vite dev server in front of the proxy, and the inspector's page, in
# headless Chromium and Firefox
browser:
    tests/browser/run

# Front ends with Amplify, amazon-cognito-identity-js and oidc-client-ts against the sandbox, in headless Chromium
front-ends *files:
    tests/front_ends/run {{ files }}

# What other users of the machine can do to a proxy that is not theirs; needs Linux and root
other-users *tests:
    tests/other_users/run {{ tests }}

# Outages and replacements between an application, the proxy and AWS in network namespaces; needs root
rehearsal *tests:
    tests/rehearsal/run {{ tests }}

# The store of sessions on file systems that fail, during a sign-in, a rotation and at rest; needs Linux and root
storage *cells:
    tests/storage/run {{ cells }}

# The npm packages and the Vite plugin, installed from a registry on this machine, in headless Chromium
npm *files:
    tests/npm/run {{ files }}

# Archive, bill of materials, Debian package, rpm and wheel of the release build, for machines of this kind; needs python3
packages out="target/packages": release
    #!/usr/bin/env bash
    set -euo pipefail
    machine=$(rustc -vV | sed -n 's/^host: //p')
    dist/package {{ out }} "$machine=${CARGO_TARGET_DIR:-target}/release/countersign"

# A release for machines of this kind, made and tested without publishing anything; needs python3 and npm
release-dry-run: (packages "target/release-dry-run")
    dist/npm target/release-dry-run
    dist/manifests target/release-dry-run
    dist/notes --draft >target/release-dry-run/NOTES.md
    COUNTERSIGN="${CARGO_TARGET_DIR:-target}/release/countersign" tests/dist/run

# The packages of a release as people install them; takes unittest's names
dist *tests:
    tests/dist/run {{ tests }}

# The program, optimised by a profile of its own load, at target/pgo/countersign; needs Rust's llvm-tools
pgo *flags:
    deploy/build-profiled {{ flags }}

# CPU, latency, throughput and memory against nginx and HAProxy; as root it installs what is missing
bench *flags:
    bench/run {{ flags }}

# An hour at half load: fails when memory, latency or CPU per request grow; takes --minutes and --binary
soak *flags:
    bench/soak {{ flags }}

# Instructions of the data path under valgrind, against bench/instructions.toml; --record moves the limits
instructions *flags:
    bench/instructions {{ flags }}

# The tables of docs/settings.md and docs/commands.md that the code has
settings:
    cargo test --quiet --test documentation -- --ignored write_the_tables_in_the_documents

# The pictures in the documents, from sessions of the sandbox: in a pseudo-terminal (needs python3 and script), and its
# inspector in Chromium
picture:
    docs/picture/make
    node docs/picture/inspector.mjs

# The recipes of docs/dev-servers.md, from the document's own text; needs python3, node, npm; nginx, Caddy
dev-servers *recipes:
    tests/dev_servers/run {{ recipes }}

# The whole flow on this machine; takes the sandbox's flags: just sandbox --credentials-lifetime 30s
sandbox *flags:
    cargo run -- sandbox {{ flags }}

# The binary for people, sandbox included
release:
    cargo build --locked --release

# The static binary of the sidecar image: amd64 or arm64, this machine's by default; needs musl-tools or clang
release-static *architecture:
    deploy/build-static {{ architecture }}

# The image's root without an engine, and the program in it as an engine would start it; needs root
rehearse-image *architecture:
    deploy/rehearse-image {{ architecture }}

# The files in deploy/ and the Dockerfile against schemas, linters, promtool and systemd; needs python3 with venv
deploy:
    deploy/check

# The sidecar image
image tag="countersign":
    docker build -t {{ tag }} .
