#!/usr/bin/env bash
# Five-fold evaluation of the label task on a site's labelled radiographs: runs/openi.sh REPORTS.csv LABELS.csv [FOLDER].
# The rules and the model as it is stand beside it. A run that was stopped goes on; its weights must not leave the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
reports=$1 labels=$2 out=${3:-build/openi}
base=${BASE:-models/weights/gamut-small.Q8_0.gguf}

mkdir -p "$out"
gamut train evaluate labels14 --reports "$reports" --labels "$labels" --teacher rules > "$out/rules.json"
gamut train evaluate labels14 --reports "$reports" --labels "$labels" --model "$base" > "$out/model.json"
gamut train evaluate folds14 "$base" --reports "$reports" --labels "$labels" --recipe "${RECIPE:-openi}" --out "$out/folds" > "$out/folds.json"
grep -H -E '"(micro|macro)": [0-9]' "$out"/*.json
