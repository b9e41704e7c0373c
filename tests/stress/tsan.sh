#!/bin/sh
# The thread scenarios under ThreadSanitizer, in a copy of the tree, and then the proof that it would have seen a
# fault: each release or acquire below is broken on purpose in turn, and the run must report it.
#   tests/stress/tsan.sh [folder] [events]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d)}
events=${2:-100000}
python=${PYTHON:-$root/.venv/bin/python}
tsan=$(cc -print-file-name=libtsan.so)

build() {
    (cd "$1" && BOT4_BENCH=1 BOT4_PROFILE=thread "$python" setup.py build_ext --inplace >build.log 2>&1) ||
        { tail -20 "$1/build.log"; exit 1; }
}

# The interpreter is not instrumented: the report is about our modules, and setarch -R because the sanitizer's shadow
# memory does not fit every randomised address layout.
run() {
    (cd "$1" && setarch -R env LD_PRELOAD="$tsan" TSAN_OPTIONS="exitcode=66 halt_on_error=0 report_thread_leaks=0" \
        PYTHONPATH="$1" timeout 900 "$python" -m tests.stress.ring_threads "$2" >run.log 2>&1) || return $?
}

copy() {
    mkdir -p "$1"
    (cd "$root" && find setup.py pyproject.toml README.md engine bench tests -type f \
        ! -name '*.so' ! -path '*/__pycache__/*' | tar cf - -T -) | tar xf - -C "$1"
}

copy "$work/whole"
build "$work/whole"
if run "$work/whole" "$events"; then
    cat "$work/whole/run.log"
    echo "ThreadSanitizer: no report"
else
    tail -60 "$work/whole/run.log"
    echo "ThreadSanitizer: reports on the whole code"
    exit 1
fi

# One line each: file, the text, what it becomes.
broken() {
    cp "$work/whole/$1" "$work/kept"
    sed "s/$2/$3/" "$work/kept" >"$work/whole/$1"
    cmp -s "$work/kept" "$work/whole/$1" && { echo "nothing to break: $2"; exit 1; }
    build "$work/whole"
    if run "$work/whole" 20000; then
        echo "NOT SEEN: $2 -> $3"
        exit 1
    fi
    echo "seen: $2 -> $3 ($(grep -c 'WARNING: ThreadSanitizer' "$work/whole/run.log") reports)"
    cp "$work/kept" "$work/whole/$1"
}

broken engine/_core/ring.pxd 'store_release(&r.published, seq + n)' 'store_relaxed(\&r.published, seq + n)'
broken engine/_core/ring.pxd 'store_release(&c.cursor, load_relaxed(&c.cursor) + n)' 'store_relaxed(\&c.cursor, load_relaxed(\&c.cursor) + n)'
broken engine/_core/ring.pyx 'load_acquire_u32(ring_stamp(r, limit))' 'load_relaxed_u32(ring_stamp(r, limit))'
