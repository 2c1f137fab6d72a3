#!/usr/bin/env bash
# Fuzzes one target: fuzz/run.sh TARGET SECONDS. Works with the stable toolchain; exits non-zero
# on a finding, which is kept in fuzz/artifacts/TARGET.
set -euo pipefail

version=0.13.2
target=${1:?usage: fuzz/run.sh TARGET SECONDS}
seconds=${2:?usage: fuzz/run.sh TARGET SECONDS}
cd "$(dirname "$0")"

if [ "$(cargo fuzz --version 2>/dev/null || true)" != "cargo-fuzz $version" ]; then
  cargo install cargo-fuzz --version "$version" --locked --force
fi

# The seeds in corpus/ are only read; what the fuzzer finds goes first and is not committed.
found=${CARGO_TARGET_DIR:-target}/found/$target
mkdir -p "$found"

# Sanitizers need a nightly compiler; coverage does not, and safe code has little use for them.
exec cargo fuzz run --fuzz-dir . --sanitizer none "$target" "$found" "corpus/$target" -- \
  -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024
