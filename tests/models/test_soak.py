"""Ten thousand reports through one process: its memory does not grow with them, and stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.settings import SHIPPED_MODEL

REPORTS, CONTEXTS = 10_000, 2
# In a process of its own: the peak of this one belongs to other tests.
READ = f"""
import json, resource
from concurrent.futures import ThreadPoolExecutor
from models.analyze import open_analyzer
from models.report import Report
from models.settings import ModelSettings

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

before = memory()
analyzer = open_analyzer(ModelSettings(model_contexts={CONTEXTS}, model_threads=1, model_sequences=16))
sites = ["left", "right", "bilateral", "small", "old", "no", "possible"]
texts = [f"FINDINGS: There is a {{a}} pleural effusion, {{n}} mm. {{b}} renal cyst. No pneumothorax."
         for n in range(60) for a in sites for b in sites]
seen = []
with ThreadPoolExecutor(4) as pool:
    for number in range(0, {REPORTS}, {REPORTS} // 20):
        some = [Report(str(n), texts[n % len(texts)]) for n in range(number, number + {REPORTS} // 20)]
        found = sum(len(analysis.findings) for analysis in pool.map(analyzer.analyze, some))
        assert found > len(some)
        seen.append(memory() - before)
analyzer.close()
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory is read from Linux's /proc")
def test_memory_is_flat_over_ten_thousand_reports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    weights = SHIPPED_MODEL.stat().st_size / 1e6
    cache = CONTEXTS * 2560 * 384 * 8 * 2 * 2 / 1e6
    assert seen[-1] - seen[1] < 5
    assert max(seen) < weights + cache + 100, seen
