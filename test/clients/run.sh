#!/bin/sh
# Makes clients from the OpenAPI document, in Go and in TypeScript, and uses them
# against a standalone: run.sh BIN, where the programs are and where all it makes goes.
set -eu
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
document=$here/../../services/api/openapi.yaml
work=$bin/clients
mkdir -p "$work/go/webhooks" "$work/typescript"
cp "$here"/go/* "$work/go"
cp "$here"/typescript/* "$work/typescript"

(cd "$work/go" && "$bin/oapi-codegen" -config oapi-codegen.yaml "$document" && GOWORK=off go mod tidy -diff && GOWORK=off go vet . && GOWORK=off go build -o clients .)
with_node=true
if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || ! npm --version >/dev/null 2>&1; then
  if [ -n "${CI:-}" ]; then
    echo "the TypeScript client needs Node 20 or newer and npm, and there is none here" >&2
    exit 1
  fi
  echo "skipped: the TypeScript client needs Node 20 or newer and npm, and there is none here"
  with_node=false
fi
if $with_node; then
  (cd "$work/typescript" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
  (cd "$work/typescript" && npx --no-install openapi-typescript "$document" -o api.d.ts >/dev/null && npx --no-install tsc)
fi

data=$(mktemp -d)
: >"$data/ready"
API_ADDR=127.0.0.1:0 NATS_ADDR=127.0.0.1:0 DATA_DIR=$data/data LOG_LEVEL=error "$bin/standalone" >"$data/ready" &
standalone=$!
trap 'kill $standalone 2>/dev/null && wait $standalone || true; rm -rf "$data"' EXIT
until grep -q ready "$data/ready"; do
  kill -0 $standalone # it has ended by itself otherwise, and said why
  sleep 0.1
done
"$work/go/clients" <"$data/ready"
if $with_node; then node "$work/typescript/out/main.js" <"$data/ready"; fi
