#!/usr/bin/env bash
# The same way in five minutes, with tiny sizes: runs/smoke.sh [FOLDER]. Its model reads nothing; only the way is tried.
set -euo pipefail
cd "$(dirname "$0")/.."
BASE_RECIPE=base-smoke QLORA_RECIPE=qlora-smoke OMP_NUM_THREADS=1 exec runs/small.sh "${1:-build/smoke}"
