# Every target sets up .venv by itself (bootstrap.py, from the lock files).
PYTHON ?= python3
BIN := .venv/bin
# Containers like to set it; with it every process that a test starts would compile six hundred files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check unit e2e redteam bench bench-proxy figures soak kernel-elsewhere bpf copy spec lock format dev setup clean ts-check ts-test ts-bench

run:            ## start everything and run the demonstration (ONCE=1: exit when it is done)
	@$(PYTHON) bootstrap.py run
	@$(BIN)/kaizen up --demo $(if $(ONCE),--once) $(if $(SEED),--seed $(SEED))

test: dev       ## everything
	$(BIN)/python -m pytest -n 3 --dist loadfile

check: dev      ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python egress/sync.py --check
	$(BIN)/python -m pytest tests/architecture

unit: dev
	$(BIN)/python -m pytest -n 2 tests/unit tests/properties tests/conformance tests/architecture

e2e: dev
	$(BIN)/python -m pytest tests/e2e

redteam: dev
	$(BIN)/kaizen redteam

LOCK := uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate
.PHONY: integrations integrations-long integrations-lowest lock-frameworks
integrations: dev   ## every framework's own runner, newest versions, in environments of their own
	$(BIN)/python -m tests.integrations a b

integrations-long: dev   ## the same, with processes that end and fork, sick sidecars, a thousand calls at once
	$(BIN)/python -m tests.integrations a b --long

integrations-lowest: dev   ## the oldest versions that are supported
	$(BIN)/python -m tests.integrations lowest lowest-b lowest-c

bench: dev
	$(BIN)/python -m benchmarks

bench-proxy: dev   ## the egress proxy beside squid, tinyproxy, envoy and mitmproxy (KAIZEN_BENCH_BIN: a folder of theirs; LONG=1)
	$(BIN)/python -m benchmarks.proxy --keep $(if $(LONG),--long)
	$(BIN)/python -m benchmarks.inspection --keep

figures: dev    ## measure every figure of speed and size again, and write docs/reference/figures.md (half an hour; root)
	$(BIN)/python -m benchmarks.figures --run

kernel-elsewhere: dev ## the kernel rung's own tests on another kernel, in QEMU (KERNEL: a folder with what its package holds; root)
	$(BIN)/python -m tests.kernel.elsewhere $(KERNEL) $(TESTS)

soak: dev       ## the full form of every soak (NAMES: some of them); results in benchmarks/results/
	$(BIN)/python -m tests.soak $(NAMES)

bpf:            ## rebuild the kernel programs that the wheel carries (needs clang, libbpf-dev, bpftool)
	$(PYTHON) bpf/build.py

ts-check:       ## the TypeScript SDK: format, lint, types
	typescript/run.sh check

ts-test:        ## the TypeScript SDK: vectors, units, adapters on the real frameworks, the package as it is installed
	typescript/run.sh build
	typescript/run.sh test
	typescript/run.sh test-newest
	typescript/run.sh test-bun
	typescript/run.sh test-deno

copy: dev       ## renew what egress/ carries of the package
	$(BIN)/python egress/sync.py

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

spec: dev       ## renew spec/openapi.yaml from the routes of the server
	$(BIN)/python spec/openapi.py

lock:           ## renew the lock files from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra server --extra demo --group build pyproject.toml -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra server --extra demo --group dev -c requirements/run.lock pyproject.toml -o requirements/dev.lock

lock-frameworks:   ## the same for the frameworks' environments
	$(LOCK) requirements/frameworks-a.in -o requirements/frameworks-a.lock
	$(LOCK) requirements/frameworks-b.in -o requirements/frameworks-b.lock
	$(LOCK) --resolution lowest-direct requirements/frameworks-lowest.in -o requirements/frameworks-lowest.lock
	$(LOCK) --resolution lowest-direct requirements/frameworks-lowest-b.in -o requirements/frameworks-lowest-b.lock
	$(LOCK) --resolution lowest-direct requirements/frameworks-lowest-c.in -o requirements/frameworks-lowest-c.lock

setup dev:
	@$(PYTHON) bootstrap.py dev

clean:
	rm -rf .venv .venv-frameworks-* .kaizen build dist

.PHONY: deploy-check lock-deploy
deploy-check:   ## deployment templates by their own tools, attachments by the vendors' libraries, in an environment of its own
	@test -x .venv-deploy/bin/cfn-lint || ($(PYTHON) -m venv .venv-deploy && .venv-deploy/bin/pip install -q --require-hashes -r requirements/deploy.lock)
	.venv-deploy/bin/cfn-lint deploy/aws/cloudformation.yaml
	.venv-deploy/bin/kubernetes-validate --strict --quiet deploy/k8s/sandbox/sandbox.yaml
	for file in deploy/aws/terraform/*.tf; do .venv-deploy/bin/hcl2tojson $$file >/dev/null || exit 1; done
	.venv-deploy/bin/hadolint deploy/docker/Dockerfile egress/Dockerfile
	PYTHONPATH=src .venv-deploy/bin/python -m pytest --noconftest -o addopts= -o filterwarnings= -p no:cacheprovider -q tests/boxes

lock-deploy:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate deploy/requirements.in -o requirements/deploy.lock
