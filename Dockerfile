# The sidecar image: one static binary, the trusted roots, nothing else.
#
#   docker build -t countersign .
#   docker buildx build --platform linux/amd64,linux/arm64 -t countersign .
#
# The build stage runs on the platform it builds for, so that no cross toolchain is needed: on Alpine the host
# target is x86_64-unknown-linux-musl or aarch64-unknown-linux-musl, which link statically. A foreign platform
# is emulated by buildx and takes several times as long; build each on its own machine where that matters.

ARG RUST=1.95

FROM rust:${RUST}-alpine AS build
RUN apk add --no-cache musl-dev ca-certificates-bundle
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# No sandbox in the image: it is for development, and brings a sixth of the dependencies.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features && \
    install -D -m 0755 target/release/countersign /image/countersign && \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt && \
    install -d -m 0700 -o 65532 -g 65532 /image/state

FROM scratch
COPY --from=build /image /
# Numeric, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
# Where `credentials = cognito` keeps a stored session; a volume, if sessions are to outlive the container.
ENV XDG_STATE_HOME=/state
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/countersign", "healthcheck"]
ENTRYPOINT ["/countersign", "serve"]
