#!/usr/bin/env bash
# Fuzz the parser: tests/fuzz/run.sh SECONDS [libFuzzer options]
#
# Compiles the kernels that it needs with clang (coverage counters, AddressSanitizer) into a build of their own under build/fuzz,
# links the target with libFuzzer and runs it. New inputs are kept in build/fuzz/corpus; `run.sh merge` reduces
# them into the committed corpus. Needs clang with its runtime (Debian: clang libclang-rt-14-dev) and a shared libpython.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
seconds=${1:?usage: tests/fuzz/run.sh SECONDS | merge}
shift
clang=${CLANG:-$(command -v clang || command -v clang-14 || true)}
[ -n "$clang" ] || { echo "clang is missing: apt-get install clang libclang-rt-14-dev" >&2; exit 1; }
python=$root/.venv/bin/python
out=$root/build/fuzz
mkdir -p "$out/tree/tests/fuzz" "$out/tree/tests/support" "$out/corpus"

# A tree of its own, so that the instrumented modules never stand beside the ones users run.
rsync_like() { mkdir -p "$2"; (cd "$1" && tar cf - --exclude='*.so' --exclude='__pycache__' .) | (cd "$2" && tar xf -); }
rsync_like engine "$out/tree/engine"
cp setup.py pyproject.toml README.md "$out/tree/"
cp tests/__init__.py "$out/tree/tests/"
cp tests/fuzz/*.py "$out/tree/tests/fuzz/"
cp tests/support/*.py "$out/tree/tests/support/"
# Only the kernels that the target loads: the others have nothing to say here, and take the compiler an hour.
loaded=$("$python" -c "
import sys, tests.fuzz.target
print(*(m.__file__.split('/engine/')[1].split('.')[0] for n, m in sys.modules.items()
        if n.startswith('engine.') and m.__file__.endswith('.so')))")
find "$out/tree/engine" -name '*.pyx' | while read -r source; do
    stem=${source#"$out/tree/engine/"}
    case " $loaded " in *" ${stem%.pyx} "*) ;; *) rm -f "$source" ;; esac
done
flags="-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address -DBOT4_DEBUG=1 -Wno-unused-command-line-argument"
(cd "$out/tree" && BOT4_BENCH= CC="$clang" LDSHARED="$clang -shared" CFLAGS="$flags" LDFLAGS="-fsanitize=fuzzer-no-link" \
    "$python" setup.py --quiet build_ext --inplace >"$out/build.log" 2>&1) || { tail -30 "$out/build.log"; exit 1; }

include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
library=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
version=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LDVERSION"))')
"$clang" -O1 -g -fsanitize=fuzzer,address -I"$include" tests/fuzz/fuzz_parse.c -o "$out/fuzz_parse" \
    -L"$library" -Wl,-rpath,"$library" -Wl,--export-dynamic -lpython"$version"

export PYTHONPATH=$out/tree:$("$python" -c 'import site; print(site.getsitepackages()[0])')
export PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:handle_abort=1:allocator_may_return_null=1
cd "$out"
if [ "$seconds" = merge ]; then
    mkdir -p merged
    ./fuzz_parse -set_cover_merge=1 -max_len=1024 merged "$root/tests/fuzz/corpus" corpus
    exit
fi
exec nice -n 15 ./fuzz_parse corpus "$root/tests/fuzz/corpus" -dict="$root/tests/fuzz/frames.dict" \
    -max_total_time="$seconds" -timeout=10 -max_len=2048 -print_final_stats=1 "$@"
