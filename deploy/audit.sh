#!/bin/sh
# Looks up every pinned package in the databases of known vulnerabilities, with pip-audit in a virtual
# environment of its own. For a scheduled job of CI on a machine that can reach them.
set -eu
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pip-audit
"$place/venv/bin/pip-audit" --require-hashes --disable-pip -r requirements.txt
