#!/bin/sh
# Holds what is posted into Teams against Microsoft's own reader: run.sh WORK, where
# everything that it fetches goes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || ! npm --version >/dev/null 2>&1; then
  if [ -n "${CI:-}" ]; then
    echo "the reader of cards needs Node 20 or newer and npm, and there is none here" >&2
    exit 1
  fi
  echo "skipped: the reader of cards needs Node 20 or newer and npm, and there is none here"
  exit 0
fi
mkdir -p "$1"
cp "$here/package.json" "$here/package-lock.json" "$here/teams.mjs" "$1"
cd "$1"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
node teams.mjs "$here/../../pkg/payload/chat/testdata/teams"
