# resslt. `make help` lists the targets.
#
# TORCH_HOME names a libtorch other than the system's: the folder with lib/ and include/, as
# in a PyTorch wheel or the libtorch zip. `make setup TORCH=2.15` fetches one into .torch,
# which is then the default until it is removed. WITHOUT=cuda leaves out its parts for GPUs.

MAKEFLAGS += --no-builtin-rules
SHELL   := /bin/bash
GO      ?= go
PY      ?= /usr/bin/python3
TORCH_HOME ?= $(shell [ ! -e .torch/.ready ] || deploy/venv.sh home .torch)
RECIPE  ?= quickstart
# Google's client is built without its gRPC path to Google's own machines: an eighth of the packages.
export GOFLAGS := $(strip $(GOFLAGS) -tags=disable_grpc_modules)
BIN     := bin
SHIM    := $(BIN)/libresslt_torch.so
SHIMSRC := $(wildcard train/torch/csrc/*.* train/torch/csrc/kernels/*.*)

.DEFAULT_GOAL := help
.PHONY: site axe bench-web docs-test crowd soak bundle gpu-dry libtorch readme help setup setup-test setup-lint setup-peers setup-cross cross test-arm64 build shim run check parity test test-cpus race asan lint lint-go lint-vuln lint-c lint-python lint-shell format same keys bench chaos observe farmsim faults fuzz fixtures clean writers interop trackers witness bench-loaders bench-augment growth

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is missing: libtorch, OpenBLAS, libjpeg-turbo, Fashion-MNIST (apt, as root or by sudo); TORCH=2.15: PyTorch's libtorch in .torch
	@TORCH_HOME="$(TORCH_HOME)" TORCH="$(TORCH)" deploy/setup.sh run

setup-test: ## install what `make test` needs as well: Chromium, and the Python peers that results are compared with
	@TORCH_HOME="$(TORCH_HOME)" TORCH="$(TORCH)" deploy/setup.sh test

setup-peers: ## install the peers that `make bench` and the fixtures compare with
	@deploy/setup.sh peers

# What the programs say of themselves (--version): a release's build names its VERSION, and
# a build outside a clone its COMMIT, DATE and, where there are changes, STATE=dirty.
VERSION ?=
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE    ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%F 2>/dev/null)
STATE   ?= $(shell [ -z "$$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || echo dirty)
STAMP   := resslt/cmd/internal/version
# Programs are built without symbols for a debugger, a third smaller: make build STRIP= keeps them.
STRIP   ?= -s -w
LDFLAGS  = $(STRIP) $(if $(VERSION),-X $(STAMP).number=$(VERSION)) -X $(STAMP).commit=$(COMMIT) -X $(STAMP).date=$(DATE) -X $(STAMP).state=$(STATE)

build: $(SHIM) ## build bin/resslt, bin/augmentd and the libtorch shim
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/ ./cmd/resslt ./cmd/augmentd

shim: ## build the libtorch shim alone (needs g++, no Go): make shim TORCH_HOME=... [WITHOUT=cuda]
	@mkdir -p $(BIN)
	TORCH_HOME="$(TORCH_HOME)" WITHOUT="$(WITHOUT)" OUT="$(SHIM)" train/torch/csrc/build.sh

$(SHIM): $(SHIMSRC) $(BIN)/torch-home
	@$(MAKE) --no-print-directory shim

# Holds the TORCH_HOME and WITHOUT of the last build, so that a change of them rebuilds the shim.
$(BIN)/torch-home: force
	@mkdir -p $(BIN)
	@echo "$(TORCH_HOME) $(WITHOUT)" | cmp -s - $@ || echo "$(TORCH_HOME) $(WITHOUT)" > $@

.PHONY: force
force:

# libjpeg-turbo is linked statically, from a folder that holds its archive and no shared library.
BUNDLE = $(BIN)/resslt-$(shell $(GO) env GOOS)-$(shell $(GO) env GOARCH).tar.gz
bundle: setup ## the program, the shim's source and GPU measurements for machines without Go: bin/resslt-OS-ARCH.tar.gz (docs/gpu.md)
	@mkdir -p $(BIN)/bundle/static $(BIN)/bundle/bin $(BIN)/bundle/train
	ln -sf "$$($(CC) -print-file-name=libjpeg.a)" $(BIN)/bundle/static/
	CGO_LDFLAGS="-L$(abspath $(BIN))/bundle/static" $(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/bundle/bin/ ./cmd/resslt
	rm -f $(BIN)/bundle/bin/augmentd
	$(BIN)/bundle/bin/resslt man $(BIN)/bundle/man
	$(GO) test -c -ldflags '-s -w' -o $(BIN)/bundle/train/train.test ./train
	$(GO) test -c -ldflags '-s -w' -o $(BIN)/bundle/train/torch.test ./train/torch
	tar -czf $(BUNDLE) --transform 's,^,resslt/,' -C $(BIN)/bundle bin man train/train.test train/torch.test -C $(CURDIR) LICENSE Makefile go.mod README.md $(wildcard docs/gpu.md) \
		train/torch/csrc train/torch/testdata train/testdata/parity bench/gpu.sh bench/gpu_results.py bench/step.sh bench/step_torch.py
	@du -h $(BUNDLE)

gpu-dry: bundle setup-peers ## try bench/gpu.sh without a GPU: every stage on the CPU, interrupted and continued (minutes)
	bench/gpu_dry.sh

.PHONY: man
man: build ## the manual pages of resslt and augmentd, one for each verb: bin/man (man -l bin/man/resslt-run.1)
	$(BIN)/resslt man $(BIN)/man
	$(BIN)/augmentd man $(BIN)/man

run: setup build ## install, build, train and evaluate: resslt run --recipe quickstart
	$(BIN)/resslt run --recipe $(RECIPE)

# The S3 server that tests of remote shards start.
VERSITYGW := v1.8.0
$(BIN)/versitygw:
	GOBIN=$(abspath $(BIN)) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

# How `make test` and `make race` run tests: `go vet ./...` has seen them already, nobody
# opens these programs in a debugger, and three packages at a time fill two cores while the
# tests of one wait.
TESTS := $(GO) test -vet=off -ldflags=-w -p 3
# The verbs' tests take longest, and mostly wait for one process: they begin first, beside the others.
ALL := ./cmd/resslt ./...

# Debian's Prometheus, which checks the alerts and the dashboard.
$(BIN)/promtool:
	@mkdir -p $(BIN)
	deploy/prometheus.sh $(BIN)

# Packages whose tests train networks, start farms or compare every backbone: minutes each.
SLOW := /cmd/resslt$$|/cmd/internal/(session|pipeline|chaos)(/|$$)|/train/backbone$$

check: build $(GOLANGCI_LINT) ## before every commit, two minutes: build, vet, format, the short tests of all but SLOW packages
	$(GO) vet ./...
	$(GOLANGCI_LINT) fmt --diff ./...
	RESSLT_REQUIRE_TORCH=1 $(GO) test -short -parallel 6 $$($(GO) list ./... | grep -vE '$(SLOW)')

parity: setup build ## losses, gradients, networks, optimizers and pixels, compared with PyTorch and torchvision
	RESSLT_LONG=1 RESSLT_REQUIRE_TORCH=1 $(GO) test -count=1 -v -run 'Parity|Mutations' ./train/... ./augment/... | grep -vE '^(=== |\?|testing: warning)'

# LONG=1 adds the trainings and the networks of which a like one is tested in any case: minutes.
test: setup-test build $(BIN)/versitygw $(BIN)/promtool ## install, build, then every test: make test [LONG=1]
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) build -o $(BIN)/augmentd-nocgo ./cmd/augmentd
	GO=$(GO) BIN=$(BIN) deploy/arm64.sh check
	RESSLT_LONG=$(LONG) RESSLT_REQUIRE_TORCH=1 RESSLT_TEST_PROGRAMS=$(abspath $(BIN)) $(TESTS) -timeout 40m $(ALL)
	GO="$(GO)" deploy/cpus.sh -short
	cd deploy/validate && $(GO) vet . && $(GO) test .
	$(MAKE) --no-print-directory test-python-core

# The Python package, in virtual environments of its own: CORE has what it requires itself.
PYTHON_CORE  := numpy==2.4.6 pyarrow==26.0.1 pytest==9.2.0
PYTHON_BUILD := hatchling==1.33.0 build==1.6.1
PYTHON_CHECK := mypy==2.4.1 $(PYTHON_CORE)
PYTEST = cd python && PYTHONPATH=$(abspath python/src) RESSLT_PROGRAM=$(abspath $(BIN))/resslt

.PHONY: test-python-core test-python wheel
test-python-core: build
	@deploy/venv.sh tools $(BIN)/python-core $(PYTHON_CORE)
	$(PYTEST) $(abspath $(BIN))/python-core/bin/pytest -m 'not torch' $(PYTEST_FLAGS)

test-python: build wheel ## the Python package with torch, JAX and the frameworks around them, its notebooks, its examples disturbed, its wheel (6 GB)
	@deploy/venv.sh tools $(BIN)/python-test $$(grep -v '^#' python/requirements-test.txt)
	$(PYTEST) $(abspath $(BIN))/python-test/bin/pytest $(PYTEST_FLAGS)
	deploy/wheel.sh check fashion-mnist:/usr/share/datasets/fashion-mnist

wheel: ## the Python package's wheels, which carry the program, and its sdist: python/dist
	@deploy/venv.sh tools $(BIN)/python-build $(PYTHON_BUILD)
	GO=$(GO) LDFLAGS="$(LDFLAGS)" BUILD_PYTHON=$(BIN)/python-build/bin/python deploy/wheel.sh build

setup-cross:
	@deploy/setup.sh cross

cross: setup-cross ## augmentd and resslt for arm64 Linux and, in pure Go, for macOS: bin/linux-arm64, bin/linux-arm64-nocgo, bin/darwin-arm64
	GO=$(GO) BIN=$(BIN) deploy/arm64.sh build

test-arm64: setup-cross ## arm64's kernels, golden pixels, draws, order and chunks, under QEMU: make test-arm64 ARM64=short
	GO=$(GO) deploy/arm64.sh test $(ARM64)

test-cpus: setup build ## the numeric tests under other CPUs' kernels, with 1, 2 and 3 threads: make test-cpus [SHORT=1]
	GO="$(GO)" deploy/cpus.sh $(if $(SHORT),-short)

race: setup build $(BIN)/versitygw ## every package's tests under the race detector: make race [SHORT=1]
	RESSLT_REQUIRE_TORCH=1 $(TESTS) -race -timeout 40m $(if $(SHORT),-short) $(ALL)

asan: setup build ## the C side of the fast engine under address and undefined-behaviour sanitizers, then fuzzed
	augment/turbo/asan.sh

# The linters, each in the version that CI runs. A new version's binary has a new name, so
# that it is installed where the old one is.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
PYTHON_TOOLS          := ruff==0.17.5 clang-format==23.1.3
TOOLS         := $(BIN)/tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
RUFF          := $(TOOLS)/python/bin/ruff
CLANG_FORMAT  := $(TOOLS)/python/bin/clang-format

$(GOLANGCI_LINT):
	GOBIN=$(abspath $(TOOLS)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(GOVULNCHECK):
	GOBIN=$(abspath $(TOOLS)) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv $(TOOLS)/govulncheck $@

.PHONY: python-tools go-tools
go-tools: $(GOLANGCI_LINT) $(GOVULNCHECK)

python-tools:
	@deploy/venv.sh tools $(TOOLS)/python $(PYTHON_TOOLS)

setup-lint:
	@TORCH_HOME="$(TORCH_HOME)" TORCH="$(TORCH)" deploy/setup.sh lint

lint: setup-lint lint-go lint-vuln lint-c lint-python lint-shell ## Go, C, C++, Python and shell: linters, formats, warnings, known vulnerabilities

lint-go: $(GOLANGCI_LINT)
	$(GO) vet ./...
	$(GOLANGCI_LINT) run ./...

lint-vuln: $(GOVULNCHECK)
	GOVULNCHECK=$(GOVULNCHECK) deploy/lint.sh vuln

lint-c: python-tools
	TORCH_HOME="$(TORCH_HOME)" CLANG_FORMAT=$(CLANG_FORMAT) deploy/lint.sh c

lint-python: python-tools
	$(RUFF) check --quiet
	$(RUFF) format --check --quiet
	@deploy/venv.sh tools $(BIN)/python-check $(PYTHON_CHECK)
	cd python && $(abspath $(BIN))/python-check/bin/mypy

lint-shell:
	deploy/lint.sh shell

format: $(GOLANGCI_LINT) python-tools ## put Go, C, C++ and Python into the format that `make lint` asks for
	$(GOLANGCI_LINT) fmt ./...
	find augment train \( -name '*.c' -o -name '*.cc' -o -name '*.cu' -o -name '*.h' \) -print0 | xargs -0 $(CLANG_FORMAT) -i
	$(RUFF) check --quiet --fix --select I
	$(RUFF) format --quiet

same: setup build ## show that a change moves no bit, compared with an older commit's programs: make same REF=main [QUICK=1]
	@[ -n "$(REF)" ] || { echo "make same REF=COMMIT: which commit is the old one?"; exit 2; }
	deploy/same.sh $(REF) $(if $(QUICK),quick)

FUZZTIME ?= 10m
fuzz: setup build ## every fuzz target in turn: make fuzz FUZZTIME=10m [FUZZ=FuzzScanTar]
	deploy/fuzz.sh $(FUZZTIME) $(FUZZ)

writers: ## data sets by pyarrow, datasets, polars, DuckDB, fastparquet, webdataset and tar programs, read and compared; updates docs/writers.md
	GO=$(GO) bench/writers/run.sh

SEED    ?= 1
FAULTS  ?= 50
chaos: setup build ## kill, freeze and cut off real processes, fill disks: make chaos SEED=7 FAULTS=50
	CGO_ENABLED=0 $(GO) build -o $(BIN)/augmentd-nocgo ./cmd/augmentd
	$(GO) run ./cmd/chaos --seed $(SEED) --faults $(FAULTS) $(CHAOS)

RUNS ?= 100
soak: setup build ## many short runs on one broker and one worker: memory, store and runs at the end: make soak RUNS=100
	deploy/soak.sh $(RUNS)

N ?= 300
crowd: setup build ## as many real workers on one broker as this machine has memory for, and one trainer: connect time, memory, equal weights: make crowd N=300
	deploy/crowd.sh $(N)

growth: ## how many chunks a second 1 to 64 cores make through one broker, simulated (five minutes): make growth [RATE=750]
	GO=$(GO) bench/growth.sh $(or $(RATE),750)

farmsim: ## a thousand workers and a hundred runs on this machine, without images (docs/scale.md): make farmsim FARMSIM='--workers 300 --server nats-server'
	$(GO) run ./cmd/farmsim $(FARMSIM)

faults: build $(BIN)/versitygw ## every fault of every store, met by a run of each format: prints the matrix of docs/faults.md
	@rm -f $(BIN)/faults.md
	RESSLT_FAULTS=all RESSLT_FAULTS_TABLE=$(abspath $(BIN))/faults.md $(GO) test -count=1 -parallel 8 -timeout 60m ./cmd/internal/faults ./ingest/store
	RESSLT_FAULTS=all RESSLT_REQUIRE_TORCH=1 $(GO) test -count=1 -run FaultyServer ./cmd/resslt
	@cat $(BIN)/faults.md

observe: setup build $(BIN)/promtool ## the dashboard's queries against a real Prometheus that scrapes a small farm, and the alerts' unit tests
	cd deploy/validate && $(GO) test -count=1 -v -run 'Observed|AlertRules' .

.PHONY: systemd
systemd: setup-test build ## deploy's units under a real systemd in a namespace: broker, worker, trainers (needs root)
	cd deploy/validate && RESSLT_SYSTEMD=1 $(GO) test -count=1 -v -run Systemd .

# Kubernetes' API server, controllers and kubectl, and etcd, of the versions in their go.mod.
KUBERNETES := $(BIN)/kubernetes
$(KUBERNETES)/kubectl: deploy/validate/cluster/go.mod
	cd deploy/validate/cluster && v=$$($(GO) list -m -f '{{.Version}}' k8s.io/kubernetes) && export CGO_ENABLED=0 && \
		$(GO) build -trimpath -o $(abspath $(KUBERNETES))/etcd -ldflags '-s -w' go.etcd.io/etcd/server/v3 && \
		$(GO) build -trimpath -o $(abspath $(KUBERNETES))/ -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$v" \
			k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kubectl

.PHONY: kubernetes
kubernetes: build $(KUBERNETES)/kubectl ## deploy's manifests on Kubernetes' own API server and controllers, built here (ten minutes, 2 GB)
	cd deploy/validate && RESSLT_KUBERNETES=$(abspath $(KUBERNETES)) $(GO) test -count=1 -v -run Cluster .

AXE := axe-core-python==0.1.0
axe: setup-test ## the page of --web and resslt web, judged by axe-core of PyPI: names, roles, contrast, on every screen
	@deploy/venv.sh tools $(BIN)/axe $(AXE)
	RESSLT_AXE=$$(ls $(abspath $(BIN))/axe/lib/python3*/site-packages/axe_core_python/axe.min.js) $(GO) test -count=1 -run OnScreens ./cmd/internal/web

# Programs of PyPI with which what leaves and enters resslt is read and written: the readers'
# guide, timm's and Parquet's files. Gigabytes, most of them PyTorch's.
INTEROP := nats-py==2.16.0 nkeys==0.2.1 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 datasets==5.2.0 torch==2.15.0 torchvision==0.29.2 timm==1.0.31 safetensors==0.8.0 pillow==13.0.0
interop: setup build ## docs/wire.md's reader by nats-py, exports in timm and timm's weights here, features as Parquet in pyarrow, polars, datasets and DuckDB
	@deploy/venv.sh tools $(BIN)/interop $(INTEROP)
	RESSLT_INTEROP_PYTHON=$(abspath $(BIN)/interop/bin/python) RESSLT_REQUIRE_TORCH=1 $(GO) test -count=1 -timeout 30m \
		-run 'PythonReader|TimmLoads|TimmForwards|ParquetReaders' ./cmd/internal/access ./cmd/resslt

# Experiment trackers themselves, which read what --track has sent and written.
TRACKERS := mlflow==3.17.2 wandb==0.19.11 protobuf==5.29.5
trackers: setup build ## --track: a killed and resumed run as MLflow's own server and W&B's own reader have it (0.9 GB)
	@deploy/venv.sh tools $(BIN)/trackers $(TRACKERS)
	RESSLT_TRACKERS_PYTHON=$(abspath $(BIN)/trackers/bin/python) RESSLT_REQUIRE_TORCH=1 $(GO) test -count=1 -v -timeout 10m \
		-run 'Track' ./cmd/resslt ./cmd/internal/track/...

docs-test: setup-test build ## every command and Python block of README, docs and the help's examples, as it stands: an hour; SHORT=1 shortens the training: minutes; a virtual environment of gigabytes
	@deploy/venv.sh tools $(BIN)/interop $(INTEROP)
	RESSLT_DOCS=$(if $(SHORT),short,all) RESSLT_INTEROP_PYTHON=$(abspath $(BIN)/interop/bin/python) RESSLT_REQUIRE_TORCH=1 RESSLT_TEST_PROGRAMS=$(abspath $(BIN)) \
		$(GO) test -count=1 -v -timeout 120m -run 'Documents|Examples|LoadPy' ./cmd/resslt

# The documents as a site. Zensical is the successor of Material for MkDocs, by its makers.
SITE_TOOLS := zensical==0.0.73
site: ## README and docs as a site, to read from a disk or to serve: bin/site/index.html; broken links and anchors are errors
	@deploy/venv.sh tools $(BIN)/site-tools $(SITE_TOOLS)
	rm -rf $(BIN)/site-pages $(BIN)/site
	$(GO) run ./docs/site stage $(BIN)/site-pages/pages
	cp docs/site/zensical.toml $(BIN)/site-pages/
	cp docs/site/site.css $(BIN)/site-pages/pages/
	cd $(BIN)/site-pages && $(abspath $(BIN))/site-tools/bin/zensical build --clean --strict
	mv $(BIN)/site-pages/site $(BIN)/site
	$(GO) run ./docs/site finish $(BIN)/site

WITNESS := lightly==1.6.0 lightly-train==0.18.0 solo-learn==1.0.2 lightning-bolts==0.7.0 mmselfsup==0.11.0 vissl==0.1.6 semilearn==0.3.2 pytorch-metric-learning==2.9.0 tqdm==4.70.1

witness: setup-peers ## the objectives' references beside eight other projects' own losses and gradients
	@deploy/venv.sh beside $(BIN)/witness $(WITNESS)
	$(abspath $(BIN))/witness/bin/python -B train/testdata/parity/witness.py

SUITE   ?= trixie
KIND    ?= cpu
libtorch: ## the trainer's tests with another libtorch: a PyTorch wheel's (TORCH=2.15) or a Debian release's (SUITE=sid; needs root, debootstrap); KIND=cuda: build, link and open a CUDA shim
	GO=$(GO) deploy/libtorch.sh $(or $(TORCH),$(SUITE) $(KIND))

.PHONY: cuda-kernels
cuda-kernels: ## compile the kernels for GPUs by nvrtc of PyPI, without a GPU: registers and shared memory, no spills (0.6 GB): make cuda-kernels [CUDA="12.8 13.2"]
	deploy/kernels.sh $(CUDA)

readme: ## run README's commands for PyTorch's libtorch verbatim, in fresh clones, with the newest wheel (7 GB)
	deploy/readme.sh

bench: setup setup-peers build ## compare with PyTorch and torchvision, side by side, printed as ratios
	PY=$(PY) bench/compare.sh

bench-web: build ## what --web costs a run, with a page open and without: CPU time, step time, equal weights: make bench-web [ROUNDS=5]
	PY=$(PY) ROUNDS=$(or $(ROUNDS),5) bench/web.sh

bench-augment: build ## decoding and views against OpenCV, AlbumentationsX, DALI and torchvision of PyPI, by CPU-second and clock (6 GB of peers, half an hour): make bench-augment [ROUNDS=5] [VENV=DIR] [PACKED=URI]
	$(if $(VENV),VENV="$(VENV)") bench/augment.sh $(if $(PACKED),--packed "$(PACKED)") $(or $(ROUNDS),5)

bench-loaders: build ## the Loader against ten others of PyPI, by CPU-second and clock (7 GB of peers, an hour): make bench-loaders [ROUNDS=3] [CORES="1 2"] [WORK=DIR] [VENV=DIR]
	$(if $(CORES),CORES="$(CORES)") $(if $(WORK),WORK="$(WORK)") $(if $(VENV),VENV="$(VENV)") bench/loaders.sh $(or $(ROUNDS),3)

KINDS := numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3 opencv-python-headless==5.0.0.93

fixtures: setup-peers ## regenerate the parity fixtures with PyTorch, torchvision and PIL
	$(PY) train/testdata/parity/generate.py
	$(PY) train/testdata/parity/objectives.py
	$(PY) train/torch/testdata/ops.py
	cd augment/testdata/parity && $(PY) generate.py
	deploy/venv.sh torch 2.15 $(BIN)/torch-2.15
	$(BIN)/torch-2.15/bin/python augment/testdata/parity/supervised.py
	@deploy/venv.sh tools $(BIN)/interop $(INTEROP)
	$(BIN)/interop/bin/python augment/testdata/parity/timm_augment.py
	@deploy/venv.sh tools $(BIN)/kinds $(KINDS)
	$(BIN)/kinds/bin/python augment/testdata/kinds/generate.py

KEYS    ?= deploy/nats/keys
TENANTS ?= dev

keys: build ## certificates, nkeys and credentials for deploy/nats/farm.conf: make keys TENANTS="vision speech" HOSTS=farm.example
	$(BIN)/resslt keys --dir $(KEYS) $(TENANTS:%=--tenant %) $(HOSTS:%=--host %)

clean: ## remove bin/
	rm -rf $(BIN)
