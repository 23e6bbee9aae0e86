# `make` lists the targets. All of them run on a machine with Go, make and Debian's apt.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export GO ?= go

# The version comes from git. In a tree without git, set VERSION=…; otherwise there is none.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

# Serin is a static binary. Only the race detector needs cgo; everything else is built without it and shares one cache.
export CGO_ENABLED := 0
# The version is set above, so go need not ask git, which refuses to work in a folder that another user owns.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

FUZZTIME  ?= 20s
BENCH     ?= .
BENCHTIME ?= 1s
RELEASES  ?= 400
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
PACKAGE   ?= traffic rollout analysis judge/sequential

bin := .toolchain/bin

release := -ldflags '-s -w -X main.version=$(VERSION)'
# Packages that share little with Traefik. They are fetched and compiled in the idle time of Traefik's build.
alongside := ./store ./simulation ./tell

## help: list the targets
.PHONY: help
help:
	@sed -nE 's/^## ([a-z-]+): (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -nE 's/^## /  /p' $(MAKEFILE_LIST)

## build: bin/serin
.PHONY: build
build:
	@$(GO) build $(release) -o bin/ ./cmd/serin

## demo: watch a good and a bad version being released, with the real servers (KEEP=1 leaves it running, PROMETHEUS=1 reads metrics from a Prometheus)
.PHONY: demo
demo:
	@nice -n 19 $(GO) build $(alongside) >/dev/null 2>&1 & trap "kill $$! 2>/dev/null || :" EXIT; \
		tools/build traefik $(if $(PROMETHEUS),prometheus); wait
	@{ sleep 5; echo 'serin: building into bin; with cold caches that takes about a minute on two cores'; } & \
		trap "kill $$! 2>/dev/null || :" EXIT; $(GO) build $(release) -o bin/ ./cmd/serin ./internal/demo
	@KEEP=$(KEEP) PROMETHEUS=$(PROMETHEUS) exec bin/demo

## test: all tests, on the real servers; with the race detector where Serin's code is concurrent
.PHONY: test
test: deps tools build
	@tools/test all

## check: format, lint, vet and the tests that need no server; under a minute once warm
.PHONY: check
check: lint
	@tools/test quick

## race: the race detector on what `make test` runs without it: packages with large binaries, and large requests
.PHONY: race
race: deps tools
	@tools/test race

## lint: format, lint and vet, without changing anything
.PHONY: lint
lint: $(bin)/golangci-lint
	@$(bin)/golangci-lint run ./...

## lint-selftest: prove that the linter still refuses what the architecture forbids
.PHONY: lint-selftest
lint-selftest: $(bin)/golangci-lint
	@tools/lint/selftest

## fmt: format the Go code
.PHONY: fmt
fmt: $(bin)/golangci-lint
	@$(bin)/golangci-lint fmt ./...

## fuzz: every fuzz target for FUZZTIME=20s
.PHONY: fuzz
fuzz:
	@tools/fuzz $(FUZZTIME)

## mutate: check that tests notice mistakes in the core (PACKAGE=rollout takes one, or another such as judge/statespace; FRESH=1 forgets earlier runs)
.PHONY: mutate
mutate:
	@$(GO) build -o bin/mutation ./internal/mutation
	@nice -n 19 bin/mutation $(if $(FRESH),-fresh) $(PACKAGE)

## reliability: every fault with every kind of canary at every step, then on the real servers and in a cluster; writes the results into docs/reliability.md
.PHONY: reliability
reliability: deps tools
	@$(GO) test ./engine -count=1 -timeout 60m -run '^Test(ABadVersionNeverStays|RequestsAreCarriedOut)' -reliability $(CURDIR)/docs/reliability.md
	@$(GO) test ./e2e -count=1 -parallel 4 -timeout 60m -run '^TestABadVersionNeverStays' -reliability $(CURDIR)/docs/reliability.md
	@$(GO) test ./e2e/cluster -count=1 -timeout 60m -run '^TestABadVersionNeverStays' -reliability $(CURDIR)/docs/reliability.md

## versions: the tests that talk to Kubernetes, Traefik and Prometheus, with the oldest and newest versions of them; building the API server takes ten minutes, once
.PHONY: versions
versions: deps tools
	@tools/versions/run

## bench: the benchmarks (BENCH=regexp, BENCHTIME=1s)
.PHONY: bench
bench: deps tools
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 60m \
		$$(grep -rlE --include='*_test.go' '^func Benchmark[A-Z]' . | xargs -r -n1 dirname | sort -u)

## pictures: take the README's pictures again during a real release, and pictures of every page in both sizes and themes in .demo/pages
.PHONY: pictures
pictures: deps gateway prometheus
	@$(GO) test ./cmd/serin -count=1 -timeout 30m -run '^TestAPersonWatches' -pictures

## exam: examine the sequential judge with simulated users, and print the tables of docs/statistics.md (RELEASES=400)
.PHONY: exam
exam:
	@$(GO) run ./simulation/exam -releases $(RELEASES) -keep .exam.jsonl

## generate: schema, reference and everything else made from the code; a test fails if it is stale
.PHONY: generate
generate:
	@$(GO) generate ./...

## vuln: known vulnerabilities in the code and its modules; queries the online vulnerability database
.PHONY: vuln
vuln: $(bin)/govulncheck
	@$(bin)/govulncheck ./...

## tools: the servers of the tests: Traefik and Prometheus from PATH, or built once into .toolchain/bin, as are the test cluster, Helm, kustomize, kubeconform, schemathesis, MkDocs and cyclonedx-gomod
.PHONY: tools
tools: gateway prometheus
	@tools/build etcd kubernetes kwok helm kustomize kubeconform schemathesis mkdocs cyclonedx

## gateway: only Traefik, from PATH or built once, which is all that the demo and the tutorial need
.PHONY: gateway
gateway:
	@tools/build traefik

.PHONY: prometheus
prometheus:
	@tools/build prometheus

## deps: gcc, PostgreSQL, Chromium and iproute2 from Debian's apt, if they are missing
.PHONY: deps
deps:
	@tools/deps

## dist: dist/: archives for Linux and macOS, container image, chart, SBOMs and checksums, the same bytes each time (PLATFORMS=linux/amd64)
.PHONY: dist
dist: $(bin)/cyclonedx-gomod
	@tools/build helm
	@rm -rf dist
	@VERSION=$(VERSION) tools/dist dist $(PLATFORMS)

## docs: site/: the documentation as a site with search; a dead link is an error
.PHONY: docs
docs:
	@tools/build mkdocs
	@VERSION=$(VERSION) tools/mkdocs/site site

## clean: remove what was built, but not the tools
.PHONY: clean
clean:
	@rm -rf bin dist site .demo

# The scripts decide whether there is anything to do.
.PHONY: $(bin)/golangci-lint $(bin)/govulncheck $(bin)/cyclonedx-gomod
$(bin)/golangci-lint:
	@tools/build lint
$(bin)/govulncheck:
	@tools/build vuln
$(bin)/cyclonedx-gomod:
	@tools/build cyclonedx
