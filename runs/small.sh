#!/usr/bin/env bash
# The shipped model, from data to GGUF, on two CPU cores: runs/small.sh [FOLDER]. A run that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-build/small}
base=${BASE_RECIPE:-base-s}
qlora=${QLORA_RECIPE:-qlora-s}
corpus=${CORPUS:+--corpus $CORPUS}

gamut train corpus ${CORPUS:-}
gamut train eda ${CORPUS:-} --out "$out.html"
gamut train base --recipe "$base" $corpus --out "$out/base"
gamut train qlora "$out/base" --recipe "$qlora" $corpus --out "$out/qlora"
gamut train export "$out/base" --adapter "$out/qlora/adapter" --out "$out/gamut-small.Q8_0.gguf"
# A model of the smoke test reads nothing, and has no confidence to calibrate.
[ "$base" = base-smoke ] || gamut train calibrate "$out/gamut-small.Q8_0.gguf" $corpus
gamut train evaluate marked ${CORPUS:-} --model "$out/gamut-small.Q8_0.gguf" --json "$out/held-out.json"
gamut train card "$out/gamut-small.Q8_0.gguf" --stage "$out/base" --stage "$out/qlora" --figures "$out/held-out.json"
gamut train table "$out/held-out.json"
