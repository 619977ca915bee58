#!/usr/bin/env bash
# Builds the control plane that hack/controlplane/go.mod pins into the folder
# given, and nothing if what is there was built from the same pins.
set -euo pipefail

out=${1:?usage: build.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"

pins=$(cat go.mod go.sum build.sh | cksum)
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"

# Without these a binary calls itself v0.0.0-master and clients distrust it.
flags="-s -w"
for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	flags+=" -X $pkg.gitVersion=$version -X $pkg.gitMajor=$major -X $pkg.gitMinor=$minor"
done

build() { # name, package
	if [ "$(cat "$out/.$1.pins" 2>/dev/null)" = "$pins" ] && [ -x "$out/$1" ]; then
		return
	fi
	echo "building $1 (minutes on a cold cache, once)" >&2
	CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$out/$1" "$2"
	echo "$pins" >"$out/.$1.pins"
}

build etcd go.etcd.io/etcd/server/v3
build kubectl k8s.io/kubernetes/cmd/kubectl
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
