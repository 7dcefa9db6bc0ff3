#!/bin/sh
# Runs one of the project's own scripts, or any program, on the project's Node after set-up; npm's scripts start here, since
# the Node that npm runs on may be older.
# Usage: run.sh [--tests] SCRIPT.ts [argument …]
set -eu

root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
option=
if [ "${1-}" = --tests ]; then
  option=$1
  shift
fi
[ "${VIV_SKIP_SETUP-}" = 1 ] || sh "$root/scripts/setup/setup.sh" ${option:+"$option"}

export VIV_SYSTEM_PATH="${VIV_SYSTEM_PATH:-$PATH}"
export PATH="$root/.viv/node/bin:$root/node_modules/.bin:$PATH"
export VIV_ASSETS="${VIV_ASSETS:-$root/.viv/assets}"
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/.viv/compile-cache}"
cd "$root"
exec node --disable-warning=ExperimentalWarning "$@"
