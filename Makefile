# `make run` and `make test` need Go and make, nothing else. Every other tool is
# built into bin/ from tools/go.mod, which pins it.

GO      ?= go
BIN     := $(CURDIR)/bin
# Semantic, because NATS refuses to list a dispatcher with any other version.
VERSION  = $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null | sed 's/^v//' | grep . || \
	echo "0.0.0-g$$(git rev-parse --short HEAD 2>/dev/null || echo unknown)")

# Every module of go.work. deploy holds only checks, which `deploy-check` runs.
MODULES  := proto pkg/event pkg/signature pkg/publisher pkg services/api services/dispatcher services/standalone cli test deploy
SERVICES := api dispatcher standalone
CLI      := ./cli/dembrane-webhooks
# Those that others may require; they are tagged together.
PUBLISHED := proto pkg/event pkg/signature pkg/publisher
TESTED   := $(patsubst %,./%/...,$(filter-out deploy,$(MODULES)))

# Tests start real servers and judge what happens within a second or two. More
# packages at once than cores would let them time each other out.
TEST_FLAGS ?= -race -timeout 10m
FUZZTIME   ?= 20s
ROUNDS     ?= 6

.DEFAULT_GOAL := help
.PHONY: help run demo test e2e lint fmt generate verify-generated tidy verify-tidy contract-baseline \
	bench chaos powerloss fuzz vuln deploy-check schemathesis clients chats python release axe screenshots build ci clean

help: ## Show this.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: ## Everything in one process, with a demo receiver; data stays in ./data.
	@echo "Building; the first time this takes a minute or two."
	@$(GO) build -o $(BIN)/ ./services/standalone $(CLI) && exec $(BIN)/standalone --demo

demo: ## The same on data that is thrown away afterwards.
	@echo "Building; the first time this takes a minute or two."
	@$(GO) build -o $(BIN)/ ./services/standalone $(CLI) && data=$$(mktemp -d) && \
	trap 'rm -rf "$$data"' EXIT INT TERM && DATA_DIR=$$data $(BIN)/standalone --demo

build: ## The programs, static, into bin/.
	@mkdir -p $(BIN)
	@for program in $(addprefix ./services/,$(SERVICES)) $(CLI); do \
	  echo "build bin/$$(basename $$program)"; \
	  CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/ $$program || exit 1; \
	done

test: axe ## All tests with the race detector, against real embedded servers.
	$(GO) test $(TEST_FLAGS) $(TESTED)

AXE := axe-core@4.14.1

# The tests of the pages find it there.
axe: ## axe-core for the tests of the pages; skipped where there is no npm.
	@if [ ! -e $(BIN)/axe/axe.min.js ]; then \
	  if command -v npm >/dev/null; then \
	    mkdir -p $(BIN)/axe && cd $(BIN)/axe && npm pack --silent $(AXE) >/dev/null && \
	    tar xzf axe-core-*.tgz --strip-components=1 package/axe.min.js && rm axe-core-*.tgz; \
	  else echo "skipped: without npm there is no axe-core, and pages are not checked for accessibility"; fi; \
	fi

screenshots: axe ## Pictures of every page, in light and dark, English and Dutch, into screenshots/ (needs Chromium).
	$(GO) test -count=1 -timeout 10m -run TestScreenshots ./test/browser -args -screenshots=$(CURDIR)/screenshots

e2e: ## Only the end-to-end stories.
	$(GO) test $(TEST_FLAGS) -count=1 ./test/e2e

chaos: ## Every fault ROUNDS=6 times over while events are published; fails when anything is lost.
	$(GO) run ./test/chaos -rounds $(ROUNDS)

powerloss: ## Virtual machines lose their power: what an acknowledgement is worth in each set-up (half an hour; needs qemu).
	$(GO) run ./test/powerloss

bench: ## Deliveries a second and latency, beside the raw limit of this machine.
	$(GO) run ./test/bench

fuzz: ## Every fuzz target for FUZZTIME=20s.
	@grep -rlE '^func Fuzz' --include='*_test.go' $(MODULES) | sort -u | while read -r file; do \
	  for target in $$(grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | cut -c6-); do \
	    echo "fuzz $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" || exit 1; \
	  done; \
	done

lint: $(BIN)/golangci-lint ## Every rule of .golangci.yml, formatting included.
	@failed=; for module in $(MODULES); do \
	  echo "lint $$module"; \
	  (cd $$module && $(BIN)/golangci-lint run ./...) || failed=1; \
	done; [ -z "$$failed" ]

fmt: $(BIN)/golangci-lint $(BIN)/buf ## Format Go and proto files.
	@for module in $(MODULES); do (cd $$module && $(BIN)/golangci-lint fmt) || exit 1; done
	cd proto && $(BIN)/buf format --write

generate: $(BIN)/buf $(BIN)/protoc-gen-go build ## Write the contract's Go and the page of settings.
	cd proto && PATH="$(BIN):$$PATH" $(BIN)/buf generate
	$(GO) run ./deploy/settingstable > $(BIN)/settings.md && cp $(BIN)/settings.md docs/settings.md

verify-generated: $(BIN)/buf $(BIN)/protoc-gen-go build ## The contract is unbroken, and what is generated is up to date.
	cd proto && $(BIN)/buf lint
	cd proto && $(BIN)/buf format --diff --exit-code
	cd proto && $(BIN)/buf breaking --against released.binpb
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && mkdir "$$out/committed" && \
	cp proto/webhooksv1/*.pb.go "$$out/committed" && \
	(cd proto && PATH="$(BIN):$$PATH" $(BIN)/buf generate --output "$$out") && \
	diff -ru "$$out/committed" "$$out/webhooksv1" && \
	$(GO) run ./deploy/settingstable > "$$out/settings.md" && diff -u docs/settings.md "$$out/settings.md" || \
	{ echo "what is generated is out of date: run make generate" >&2; exit 1; }

contract-baseline: $(BIN)/buf ## After a release: what `buf breaking` compares with from now on.
	cd proto && $(BIN)/buf build --exclude-source-info --output released.binpb

release: ## Before a release: what others may require becomes TO=v0.2.0 in every go.mod.
	@echo '$(TO)' | grep -qE '^v[0-9]+\.[0-9]+\.[0-9]+$$' || { echo "say which version: make release TO=v0.2.0" >&2; exit 1; }
	@for module in $(MODULES); do for path in $(PUBLISHED); do \
	  ! grep -q "github.com/dembrane/webhooks/$$path v" $$module/go.mod || \
	  $(GO) mod edit -require=github.com/dembrane/webhooks/$$path@$(TO) $$module/go.mod || exit 1; \
	done; done
	@echo "Commit this, then: git tag $(TO)$(foreach path,$(PUBLISHED), && git tag $(path)/$(TO)) && git push --tags"

# In this order: what a module needs depends on what those before it need.
tidy: ## Bring every go.mod and go.sum in line with the code.
	@for module in $(MODULES) tools; do (cd $$module && GOWORK=off $(GO) mod tidy) || exit 1; done

verify-tidy: ## Every go.mod and go.sum is what `go mod tidy` would write.
	@failed=; for module in $(MODULES) tools; do \
	  (cd $$module && GOWORK=off $(GO) mod tidy -diff) || { echo "$$module/go.mod is not tidy: run make tidy" >&2; failed=1; }; \
	done; [ -z "$$failed" ]

# What the document allows and what it forbids, sent to a standalone: about half a
# minute, the same requests every time.
schemathesis: ## The API against its OpenAPI document; skipped where there is no Python 3.10.
	@if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	  echo "skipped: schemathesis needs Python 3.10 or newer with venv, and there is none here"; exit 0; \
	fi; \
	$(MAKE) --no-print-directory $(BIN)/schemathesis/installed && \
	$(GO) build -o $(BIN)/ ./services/standalone && \
	python3 test/schemathesis/run.py $(BIN)/standalone $(BIN)/schemathesis/bin/schemathesis

# Nothing that is generated is kept: it shows that the document is fit for generators.
clients: $(BIN)/oapi-codegen ## Clients made from the OpenAPI document, in Go and TypeScript, used against a standalone.
	@$(GO) build -o $(BIN)/ ./services/standalone
	@test/clients/run.sh $(BIN)

chats: ## What is posted into Teams, read by Microsoft's own reader of cards.
	@test/chats/run.sh $(BIN)/chats

$(BIN)/schemathesis/installed: test/schemathesis/requirements.txt
	python3 -m venv $(BIN)/schemathesis
	$(BIN)/schemathesis/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Formatted, typed, and run against a standalone: about half a minute.
python: ## The publisher for Python and what the README shows of it; skipped on a desk without Python 3.11.
	@if [ -z "$$CI" ] && ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "skipped: the publisher needs Python 3.11 or newer with venv, and there is none here"; exit 0; \
	fi; \
	$(MAKE) --no-print-directory $(BIN)/python/installed && \
	$(GO) build -o $(BIN)/ ./services/standalone && \
	cd clients/python && tools=$(BIN)/python/bin && \
	$$tools/ruff format --no-cache --check --quiet . && $$tools/ruff check --no-cache --quiet . && \
	$$tools/mypy --cache-dir /dev/null && \
	STANDALONE=$(BIN)/standalone PYTHONDONTWRITEBYTECODE=1 $$tools/python -m pytest --quiet

$(BIN)/python/installed: clients/python/requirements-dev.txt
	python3 -m venv $(BIN)/python
	$(BIN)/python/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

deploy-check: ## Manifests, compose file and Dockerfiles agree with the programs.
	$(GO) test -timeout 10m -count=1 ./deploy/...

# Not part of ci: the answer comes from the vulnerability database on the
# internet and changes without a commit, so it must not decide about one.
vuln: $(BIN)/govulncheck ## Known vulnerabilities in what the programs call (needs the internet).
	@failed=; for module in $(MODULES); do echo "vuln $$module"; (cd $$module && $(BIN)/govulncheck ./...) || failed=1; done; [ -z "$$failed" ]

# The quickest refusal first. The tree must be clean at the end where it was
# clean at the start, and always in CI: no step may leave anything behind.
ci: $(BIN)/nats ## What a change must pass.
	@before=$$(git status --porcelain); \
	for step in verify-tidy verify-generated lint deploy-check schemathesis clients chats python test; do \
	  echo "== $$step"; start=$$(date +%s); \
	  $(MAKE) --no-print-directory $$step || { echo "== $$step failed" >&2; exit 1; }; \
	  echo "== $$step took $$(($$(date +%s) - start)) s"; \
	done; \
	after=$$(git status --porcelain); \
	if [ -n "$$after" ] && { [ -n "$$CI" ] || [ -z "$$before" ]; }; then \
	  echo "== the tree is not clean afterwards:" >&2; echo "$$after" >&2; git diff --stat >&2; exit 1; \
	fi; \
	echo "== ci passed"

clean: ## Remove what was built; data stays.
	rm -rf $(BIN)

TOOL_buf           := github.com/bufbuild/buf/cmd/buf
TOOL_golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
TOOL_govulncheck   := golang.org/x/vuln/cmd/govulncheck
TOOL_nats          := github.com/nats-io/natscli/nats
TOOL_oapi-codegen  := github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
TOOL_protoc-gen-go := google.golang.org/protobuf/cmd/protoc-gen-go

# tools is not in go.work: its hundreds of modules must not raise ours.
$(BIN)/buf $(BIN)/golangci-lint $(BIN)/govulncheck $(BIN)/nats $(BIN)/oapi-codegen $(BIN)/protoc-gen-go: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && GOWORK=off $(GO) build -o $@ $(TOOL_$(@F))
