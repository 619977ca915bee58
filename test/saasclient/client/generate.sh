#!/usr/bin/env bash
# Writes marketplace/ anew with the generator that package-lock.json pins.
# The client in there is the generator's work; connect.go alone is ours.
# "generate.sh DIR" writes to DIR instead and leaves marketplace/ alone.
set -euo pipefail
cd "$(dirname "$0")"
to=$(realpath -m "${1:-marketplace}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json fulfillment.yaml "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --silent

# The generator keeps what it installs under HOME: here it finds all of it in
# node_modules, and HOME is a folder that goes away.
HOME=$work npx --no-install autorest --version=./node_modules/@autorest/core \
	--use=./node_modules/@autorest/modelerfour --use=./node_modules/@autorest/go \
	--go --openapi-type=data-plane --azure-arm=false --input-file=fulfillment.yaml --output-folder=marketplace \
	--containing-module=github.com/license-operator/license-operator/test/saasclient/client >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; exit 1; }
mkdir -p "$to"
find "$to" -name '*.go' ! -name connect.go -delete
cp marketplace/*.go "$to"
