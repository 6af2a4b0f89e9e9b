#!/bin/sh
# run.sh [SECONDS [TARGET]]: builds the fuzz targets and runs one of them (default: 30 s of
# mkv_reader) over the fixtures and all earlier finds. Fails if it finds something; the input is
# then in finds/TARGET/. A new target is a file in targets/, its entry in Cargo.toml and, if the
# media fixtures are no seeds for it, a folder seeds/TARGET/.
set -eu
seconds=${1:-30}
target=${2:-mkv_reader}
cd "$(dirname "$0")"

# What cargo-fuzz sets when asked for no sanitizer; works on the stable toolchain. With --target the
# flags stay away from build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS="$RUSTFLAGS -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
cargo build --locked --release --target "$host" --bin "$target"

seeds=seeds/$target
[ -d "$seeds" ] || seeds=../../media-fixtures
mkdir -p "finds/$target" "target/corpus/$target"
exec "target/$host/release/$target" -max_total_time="$seconds" -max_len=65536 -timeout=5 \
    -rss_limit_mb=512 -print_final_stats=1 -artifact_prefix="finds/$target/" \
    "target/corpus/$target" "$seeds" "finds/$target"
