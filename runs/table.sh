#!/usr/bin/env bash
# Every row of the comparison: runs/table.sh FOLDER, the folder of runs/small.sh. SPLIT=dev while choosing, held_out (the default) to report.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
run=${1:-build/small}
split=${SPLIT:-held_out}
corpus=${CORPUS:+--corpus $CORPUS}
out=$run/table-$split
mkdir -p "$out"

measure() { # NAME GGUF OPTION...
    local name=$1 model=$2
    shift 2
    [ -s "$out/$name.json" ] || gamut train evaluate marked ${CORPUS:-} --split "$split" --model "$model" --json "$out/$name.json" "$@"
}

shipped=$run/gamut-small.Q8_0.gguf
[ -s "$run/base.gguf" ] || gamut train export "$run/base" --out "$run/base.gguf"
for method in lora full; do
    trained=$(gamut train qlora "$run/base" --recipe "$method-s" $corpus --out "$run/$method" | tail -n 1)
    if [ "$method" = full ]; then model=$trained adapter=; else model=$run/base adapter="--adapter $trained"; fi
    [ -s "$run/$method.gguf" ] || gamut train export "$model" $adapter --out "$run/$method.gguf"
done
measure rules "$shipped" --teacher rules
measure qlora "$shipped"
measure both "$shipped" --teacher both
measure base "$run/base.gguf"
measure lora "$run/lora.gguf"
measure full "$run/full.gguf"
measure no-context "$shipped" --no-context
measure impression "$shipped" --section impression
gamut train table "$out"/{rules,qlora,both,base,lora,full,no-context,impression}.json
gamut train compare "$out/rules.json" "$out/qlora.json"
gamut train compare "$out/qlora.json" "$out/both.json"
gamut train compare "$out/base.json" "$out/qlora.json"
