#!/usr/bin/env bash
# Checks what a compiler does not: that generated files are current, that
# packages import only what they may, and what the linters say.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "verify: $*" >&2; exit 1; }

generated="api/v1alpha1/zz_generated.deepcopy.go config/crd/bases config/rbac/role.yaml"
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -r --parents $generated "$before"
make --no-print-directory generate >/dev/null
for f in $generated; do
	diff -r "$before/$f" "$f" || fail "$f was not current: it is now, commit it"
done

# terms decides, so it depends on nothing that acts or that is not deterministic.
deps() { go list -deps "$@" | grep -v '^vendor/'; }
bad=$(go list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' ./internal/terms | grep -v -e '^github.com/license-operator/license-operator/internal/terms$' -e '^github.com/shopspring/decimal$' || true)
[ -z "$bad" ] || fail "internal/terms imports $bad"
bad=$(deps ./internal/keys | grep -e '^k8s.io' -e '^sigs.k8s.io' || true)
[ -z "$bad" ] || fail "internal/keys imports $bad"
bad=$(deps ./api/... | grep license-operator | grep -v '/api/' || true)
[ -z "$bad" ] || fail "api imports $bad"
bad=$(deps . | grep -e 'license-operator/test' -e 'keygen-sh' -e 'fluxcd' -e 'pgregory.net' -e 'go-oidc' -e 'emersion' || true)
[ -z "$bad" ] || fail "the operator is built with what is for tests only: $bad"

# A client that judges our service is worth something only while we do not mend it.
if command -v npm >/dev/null; then
	test/saasclient/client/generate.sh "$before/marketplace"
	diff -r -x connect.go "$before/marketplace" test/saasclient/client/marketplace ||
		fail "test/saasclient/client/marketplace is not what the generator writes: run generate.sh there"
else
	echo "verify: npm is missing, so test/saasclient/client/marketplace is not compared with what its generator writes" >&2
fi
(cd test/saasclient/client && go mod tidy -diff >/dev/null && go vet ./...) || fail "test/saasclient/client is not tidy"

go mod tidy -diff >/dev/null || fail "go.mod is not tidy: run go mod tidy"
go vet ./...
make --no-print-directory lint
