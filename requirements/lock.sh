#!/usr/bin/env bash
# Rewrites the lock files from the .in files. Hashes, no index addresses, one set for Python 3.11 to 3.13.
# Needs `uv` on PATH; UV names another one.
set -euo pipefail
cd "$(dirname "$0")"
for name in run build dev peers docs; do
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --upgrade "$name.in" --output-file "$name.txt"
done
