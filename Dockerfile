# The sidecar image: one static binary, the trusted roots, nothing else.
#
#   docker build -t countersign .
#   docker buildx build --platform linux/amd64,linux/arm64 -t countersign .
#   docker build --build-arg FEATURES=otlp -t countersign .
#
# The build stage runs on the machine's own platform and compiles for the one that is asked for, so that nothing
# is emulated. For the machine's own architecture the program is optimised by a profile, for which it is built twice
# and carries load for 50 seconds. `deploy/rehearse-image` makes the same root without an engine and starts the
# program in it.

ARG RUST=1.95

FROM --platform=$BUILDPLATFORM rust:${RUST}-alpine AS build
# clang and lld are for the other architecture: clang compiles ring's C; libraries come with Rust.
# Pinned by the release of Alpine that the image is made of: it keeps one version of a package, the latest.
# hadolint ignore=DL3018
RUN apk add --no-cache clang lld musl-dev ca-certificates-bundle
ARG TARGETARCH
WORKDIR /src
COPY deploy/build-profiled deploy/build-static deploy/
# Apart from the sources, so that a change of these does not fetch it again.
RUN deploy/build-static --prepare "$TARGETARCH"
ARG FEATURES=""
COPY Cargo.toml Cargo.lock ./
COPY src src
# The load that the profile is made of.
COPY benches benches
COPY tests/support tests/support
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    deploy/build-static --image /image "$TARGETARCH"

FROM scratch
# /state is the place for a volume with a stored session; XDG_STATE_HOME=/state then says so.
COPY --from=build /image /
# Numeric, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/countersign", "healthcheck"]
ENTRYPOINT ["/countersign", "serve"]
