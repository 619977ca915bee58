# make help lists the targets.
SHELL := /usr/bin/env bash -o pipefail
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
ASSETS := $(CURDIR)/bin/k8s
CONTROLLER_GEN := go tool -modfile=hack/tools/controller-gen/go.mod controller-gen
GOLANGCI_LINT := go tool -modfile=hack/tools/golangci-lint/go.mod golangci-lint

.DEFAULT_GOAL := build

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: build
build: ## build the operator into bin/
	@CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/license-operator .

.PHONY: controlplane
controlplane: ## build etcd, kube-apiserver, kube-controller-manager and kubectl into bin/k8s
	@hack/controlplane/build.sh $(ASSETS)

.PHONY: test
test: controlplane build ## run every test; first builds the control plane and installs chromium if it has to
	@hack/chromium.sh
	KUBEBUILDER_ASSETS=$(ASSETS) go test -count=1 -timeout 20m ./...

.PHONY: demo
demo: controlplane build ## show it all on a control plane of its own; EXIT=1 stops afterwards
	@go build -o bin/ ./hack/demo ./hack/demopublisher ./hack/demomail
	@KUBEBUILDER_ASSETS=$(ASSETS) bin/demo $(if $(EXIT),-exit)

.PHONY: generate
generate: ## write deepcopy code, CRDs and the operator's role anew
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=license-operator-controllers paths=./controllers/... output:rbac:dir=config/rbac

.PHONY: verify
verify: ## check that generated files are current, the linters' findings and the import fences
	hack/verify.sh

.PHONY: lint
lint: ## run the linters
	$(GOLANGCI_LINT) run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
