# make up     build and start on embedded stores, data under ./data
# make demo   the same, filled with a fictional operator
# make test   all tests
# make check  format, vet, lint, race, import policy, generated files, licences, vulnerabilities (offline)
# make bench  the benchmarks
SHELL := /bin/bash
GO ?= go
DATA ?= data
KEYS ?= $(DATA)/keys
LISTEN ?= 127.0.0.1:0
export CGO_ENABLED ?= 0
export GOFLAGS += -trimpath

.PHONY: build up demo test check bench generate tools fmt vet lint race policy generated licences vuln clean

build:
	@mkdir -p bin
	$(GO) build -o bin/garrison ./cmd/garrison
	$(GO) build -ldflags '-s -w' -o bin/garrison-verify ./cmd/garrison-verify

up: build
	bin/garrison up --data $(DATA) --keys $(KEYS)

demo: build
	bin/garrison up --data $(DATA) --keys $(KEYS) --demo

test:
	$(GO) test -timeout 20m ./...

check: fmt vet policy generated licences lint vuln race
	@echo "check: all passed (lines that say SKIPPED above were not checked)"

bench: build
	bin/garrison bench ingest --records 1000000
	bin/garrison bench trace --records 1000000

generate:
	$(GO) tool templ generate -path internal/console
	$(GO) run ./cmd/garrison api-contract > internal/api/openapi.json.new && mv internal/api/openapi.json.new internal/api/openapi.json
	$(GO) run ./internal/measures/guidegen

fmt:
	@out=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

lint: tools
	.tmp/tools/golangci-lint run ./...

# The race detector is the one run that needs cgo; nothing that is shipped does.
race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout 25m ./...

policy:
	$(GO) test -count=1 -run 'Policy' .

generated:
	@.ci/generated

licences:
	$(GO) test -count=1 -run 'Licence' .

VULNDB ?= ../shared/vulndb/go-vulndb.tar.gz
vuln: tools
	@.ci/vuln $(VULNDB)

tools: .tmp/tools/golangci-lint .tmp/tools/govulncheck

.tmp/tools/golangci-lint .tmp/tools/govulncheck: tools/go.mod tools/go.sum
	@mkdir -p .tmp/tools
	cd tools && $(GO) build -o ../.tmp/tools/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint golang.org/x/vuln/cmd/govulncheck

clean:
	rm -rf bin .tmp
