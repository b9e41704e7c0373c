#!/usr/bin/env bash
# Says in one plain line what this machine lacks, with the command that installs it. Silent when nothing is missing.
set -euo pipefail
python="${1:-python3}"
missing() { echo "bot4: $1  ->  $2" >&2; exit 1; }

command -v "$python" >/dev/null || missing "Python is not installed" "sudo apt-get install -y python3 python3-venv python3-dev"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    missing "Python 3.11 or newer is needed, this is $("$python" -V 2>&1)" "make PYTHON=python3.11 (or newer)"
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing "Python's venv module is not installed" "sudo apt-get install -y python3-venv"
# CC may hold more than a name: `ccache gcc`.
read -r compiler _ <<<"${CC:-cc}"
command -v "$compiler" >/dev/null || missing "no C compiler" "sudo apt-get install -y build-essential"
header="$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h"
[ -f "$header" ] || missing "Python's C headers are not installed" "sudo apt-get install -y python3-dev"
free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_mib" -ge 1500 ] || missing "only $free_mib MiB free on this disk, 1500 are needed" "free some space, or clone to another disk"
