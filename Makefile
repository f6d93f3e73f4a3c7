# resslt. `make help` lists the targets.
#
# TORCH_HOME names another libtorch than the system's: the folder with lib/ and
# include/, as in a PyTorch wheel or the libtorch zip; `make setup TORCH=2.15` fetches one
# and names it until .torch is removed. WITHOUT=cuda leaves out what a libtorch has for GPUs.

MAKEFLAGS += --no-builtin-rules
SHELL   := /bin/bash
GO      ?= go
PY      ?= /usr/bin/python3
TORCH_HOME ?= $(shell [ ! -e .torch/.ready ] || deploy/venv.sh home .torch)
RECIPE  ?= quickstart
BIN     := bin
SHIM    := $(BIN)/libresslt_torch.so
SHIMSRC := $(wildcard train/torch/csrc/*.*)

.DEFAULT_GOAL := help
.PHONY: bundle libtorch readme help setup setup-test setup-peers setup-cross cross test-arm64 build shim run test test-cpus race asan lint keys bench chaos fixtures clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is missing: libtorch, OpenBLAS, libjpeg-turbo, Fashion-MNIST (apt, as root or by sudo); TORCH=2.15: PyTorch's libtorch in .torch
	@TORCH_HOME="$(TORCH_HOME)" TORCH="$(TORCH)" deploy/setup.sh run

setup-test: ## what `make test` needs beside that: Chromium, and the Python peers that results are held against
	@TORCH_HOME="$(TORCH_HOME)" TORCH="$(TORCH)" deploy/setup.sh test

setup-peers: ## install the peers that `make bench` and the fixtures measure against
	@deploy/setup.sh peers

build: $(SHIM) ## build bin/resslt, bin/augmentd and the libtorch shim
	$(GO) build -o $(BIN)/ ./cmd/resslt ./cmd/augmentd

shim: ## build the libtorch shim alone (needs g++, no Go): make shim TORCH_HOME=... [WITHOUT=cuda]
	@mkdir -p $(BIN)
	TORCH_HOME="$(TORCH_HOME)" WITHOUT="$(WITHOUT)" OUT="$(SHIM)" train/torch/csrc/build.sh

$(SHIM): $(SHIMSRC) $(BIN)/torch-home
	@$(MAKE) --no-print-directory shim

# Holds the TORCH_HOME and WITHOUT of the last build, so that others rebuild the shim.
$(BIN)/torch-home: force
	@mkdir -p $(BIN)
	@echo "$(TORCH_HOME) $(WITHOUT)" | cmp -s - $@ || echo "$(TORCH_HOME) $(WITHOUT)" > $@

.PHONY: force
force:

# libjpeg-turbo goes in whole, by a folder that holds its archive and no shared library.
BUNDLE = $(BIN)/resslt-$(shell $(GO) env GOOS)-$(shell $(GO) env GOARCH).tar.gz
bundle: setup ## programs, shim source and GPU measurements for machines without Go: bin/resslt-OS-ARCH.tar.gz (docs/gpu.md)
	@mkdir -p $(BIN)/bundle/static $(BIN)/bundle/bin $(BIN)/bundle/train
	ln -sf "$$($(CC) -print-file-name=libjpeg.a)" $(BIN)/bundle/static/
	CGO_LDFLAGS="-L$(abspath $(BIN))/bundle/static" $(GO) build -ldflags '-s -w' -o $(BIN)/bundle/bin/ ./cmd/resslt ./cmd/augmentd
	$(GO) test -c -ldflags '-s -w' -o $(BIN)/bundle/train/train.test ./train
	$(GO) test -c -ldflags '-s -w' -o $(BIN)/bundle/train/torch.test ./train/torch
	tar -czf $(BUNDLE) --transform 's,^,resslt/,' -C $(BIN)/bundle bin train/train.test train/torch.test -C $(CURDIR) LICENSE Makefile go.mod README.md $(wildcard docs/gpu.md) \
		train/torch/csrc train/torch/testdata train/testdata/parity bench/gpu.sh bench/step.sh bench/step_torch.py
	@du -h $(BUNDLE)

run: setup build ## install, build, train and evaluate: resslt run --recipe quickstart
	$(BIN)/resslt run --recipe $(RECIPE)

# The S3 server that tests of remote shards start.
VERSITYGW := v1.8.0
$(BIN)/versitygw:
	GOBIN=$(abspath $(BIN)) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

test: setup-test build $(BIN)/versitygw ## install, build, then every test
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) build -o $(BIN)/augmentd-nocgo ./cmd/augmentd
	GO=$(GO) BIN=$(BIN) deploy/arm64.sh check
	RESSLT_REQUIRE_TORCH=1 $(GO) test -timeout 20m ./...
	GO="$(GO)" deploy/cpus.sh -short
	cd deploy/validate && $(GO) vet . && $(GO) test .

setup-cross:
	@deploy/setup.sh cross

cross: setup-cross ## augmentd and resslt for arm64 Linux and, in pure Go, for macOS: bin/linux-arm64, bin/linux-arm64-nocgo, bin/darwin-arm64
	GO=$(GO) BIN=$(BIN) deploy/arm64.sh build

test-arm64: setup-cross ## arm64's kernels, golden pixels, draws, order and chunks, by QEMU: make test-arm64 ARM64=short
	GO=$(GO) deploy/arm64.sh test $(ARM64)

test-cpus: setup build ## the numeric tests under other CPUs' kernels, of 1, 2 and 3 threads: make test-cpus [SHORT=1]
	GO="$(GO)" deploy/cpus.sh $(if $(SHORT),-short)

race: setup build ## the tests of the concurrent parts under the race detector
	RESSLT_REQUIRE_TORCH=1 $(GO) test -race -timeout 20m ./schemas/... ./ingest/... ./augment/... ./batcher/...

asan: setup build ## the C side of the fast engine under address and undefined-behaviour sanitizers, then fuzzed
	augment/turbo/asan.sh

lint: ## golangci-lint with .golangci.yml, where it is installed
	@command -v golangci-lint >/dev/null || { echo "golangci-lint is not installed: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@latest"; exit 1; }
	golangci-lint run ./...

SEED    ?= 1
FAULTS  ?= 50
chaos: setup build ## real processes killed, frozen, cut off, filled up: make chaos SEED=7 FAULTS=50
	CGO_ENABLED=0 $(GO) build -o $(BIN)/augmentd-nocgo ./cmd/augmentd
	$(GO) run ./cmd/chaos --seed $(SEED) --faults $(FAULTS) $(CHAOS)

SUITE   ?= trixie
KIND    ?= cpu
libtorch: ## the trainer's tests against another libtorch, a PyTorch wheel's: make libtorch TORCH=2.15, or a Debian release's (root, debootstrap): SUITE=sid; KIND=cuda: build, link and open a CUDA shim
	GO=$(GO) deploy/libtorch.sh $(or $(TORCH),$(SUITE) $(KIND))

readme: ## run README's lines about PyTorch's libtorch as they stand, in fresh clones, with the newest wheel (7 GB)
	deploy/readme.sh

bench: setup setup-peers build ## side by side with PyTorch and torchvision, printed as ratios
	PY=$(PY) bench/compare.sh

fixtures: setup-peers ## make the parity fixtures anew with PyTorch, torchvision and PIL
	$(PY) train/testdata/parity/generate.py
	$(PY) train/testdata/parity/objectives.py
	$(PY) train/torch/testdata/ops.py
	$(PY) augment/testdata/parity/generate.py

KEYS    ?= deploy/nats/keys
TENANTS ?= dev

keys: build ## certificates, nkeys and credentials for deploy/nats/farm.conf: make keys TENANTS="vision speech" HOSTS=farm.example
	$(BIN)/resslt keys --dir $(KEYS) $(TENANTS:%=--tenant %) $(HOSTS:%=--host %)

clean: ## remove what build made
	rm -rf $(BIN)
