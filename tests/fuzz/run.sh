#!/bin/sh
# run.sh [SECONDS [TARGET...]]: builds the fuzz targets and runs each (default: 30 s of all) over
# its seeds and all earlier finds. Fails if one finds something; the input is then in finds/TARGET/.
# A new target is a file in targets/, its entry in Cargo.toml and, if the media fixtures are no
# seeds for it, a folder seeds/TARGET/.
set -eu
cd "$(dirname "$0")"
seconds=${1:-30}
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then
    for file in targets/*.rs; do
        set -- "$@" "$(basename "$file" .rs)"
    done
fi

# What cargo-fuzz sets when asked for no sanitizer; works on the stable toolchain. With --target the
# flags stay away from build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
cargo build --locked --release --target "$host" --bins

for target in "$@"; do
    seeds=seeds/$target
    [ -d "$seeds" ] || seeds=../../media-fixtures
    mkdir -p "finds/$target" "target/corpus/$target"
    "target/$host/release/$target" -max_total_time="$seconds" -max_len=65536 -timeout=5 \
        -rss_limit_mb=512 -verbosity=0 -print_final_stats=1 -artifact_prefix="finds/$target/" \
        "target/corpus/$target" "$seeds" "finds/$target"
done
