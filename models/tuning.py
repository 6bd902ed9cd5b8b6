"""How this machine is best used for this model: measured once in a process of its own, then remembered.

Tried are llama.cpp's kernels over repacked weights (which crash on some builds, hence the process) and without, several
contexts of one thread or one of several, and how many sequences share a decode. A large model is not measured: one
context with all processors, since its weights are read from memory once for all sequences. Knows nothing of reports.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from importlib.metadata import distribution
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.batch import Prompt
from models.constraint import Constraint, Logits, best
from models.engine import Engine, Tuning, digest_of
from models.errors import DeadlineExceeded, ModelNotFound
from models.settings import ModelSettings

_LARGE = 150_000_000
"""Bytes of a model that is not measured: two seconds would not decode enough of it."""
_SECONDS = 0.25
_PROBE_LIMIT = 60.0
_SAME = 0.99
_FORM = 1


def tuned(settings: ModelSettings) -> Tuning:
    """The best way to use the machine, with what the settings say in its place. Raises ModelNotFound."""
    if not settings.model.is_file():
        raise ModelNotFound(f"no model file {settings.model.name}: set GAMUT_MODEL to a GGUF file")
    found = remembered(settings.model, _cache(), settings.model_gpu_layers)
    return replace(
        found,
        contexts=settings.model_contexts or found.contexts,
        threads=settings.model_threads or found.threads,
        sequences=settings.model_sequences or found.sequences,
    )


def remembered(model: Path, cache: Path, gpu_layers: int = -1) -> Tuning:
    """What was measured before for this model, machine and build of llama.cpp; else measured now, and kept in `cache`
    where that can be written.
    """
    key = f"{_key(model)} {gpu_layers}"
    known = _read(cache)
    if key not in known:
        known[key] = asdict(measure(model, gpu_layers))
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            part = cache.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known), encoding="utf-8")
            part.replace(cache)
        except OSError:
            pass  # A read-only disk: measured again at the next start.
    return Tuning(**known[key])


def measure(model: Path, gpu_layers: int = -1) -> Tuning:
    """Try each kind of kernels in a process of its own, and give the fastest that answers as the plain one does."""
    first = replace(_first(model), gpu_layers=gpu_layers)
    plain, packed = _probe(model, first), _probe(model, replace(first, packed=True))
    if plain is None:
        return first
    if packed is None or packed.rate < plain.rate or not _agree(packed.logits, plain.logits):
        return plain.tuning
    return packed.tuning


class Probe(NamedTuple):
    """What a process of its own found: the best shape, the prompts it answers a second, and some logits."""

    tuning: Tuning
    rate: float
    logits: list[float]


def _probe(model: Path, first: Tuning) -> Probe | None:
    """None where llama.cpp did not survive it, or took far too long."""
    command = [sys.executable, "-m", "models.tuning", str(model), json.dumps(asdict(first))]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True, timeout=_PROBE_LIMIT
        )
        tuning, rate, logits = json.loads(done.stdout)
        return Probe(Tuning(**tuning), rate, logits)
    except (subprocess.SubprocessError, ValueError):
        return None


def _agree(one: list[float], other: list[float]) -> bool:
    return float(np.corrcoef(one, other)[0, 1]) > _SAME


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first(model: Path) -> Tuning:
    """What is right without measuring."""
    if model.stat().st_size > _LARGE:
        return Tuning(contexts=1, threads=_processors(), sequences=8)
    return Tuning(contexts=_processors(), threads=1, sequences=16)


class _Eight(Constraint):
    """Eight tokens, each one of some: as much work as a window's answer usually is."""

    def __init__(self) -> None:
        self.left = 8
        self.logits: list[float] = []

    def choose(self, logits: Logits) -> int | None:
        """See Constraint."""
        self.logits = self.logits or logits[:64].tolist()
        self.left -= 1
        return best(logits, range(20, 60))[0] if self.left >= 0 else None


def _prompts(vocabulary: int, count: int) -> list[Prompt]:
    """Prompts of the usual length, a third of it shared."""
    rng = np.random.default_rng(0)
    most = min(vocabulary, 4000)
    start = rng.integers(20, most, 14).tolist()
    return [Prompt([*start, *rng.integers(20, most, 26).tolist()], len(start)) for _ in range(count)]


def _rate(engine: Engine) -> float:
    """Prompts answered a second; 0 where a round takes far too long, as threads do that wait for a busy processor."""
    prompts = _prompts(engine.vocabulary_size, 32)
    began, answered = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < _SECONDS:
        try:
            engine.write_all([(prompt, _Eight()) for prompt in prompts], time.monotonic() + 8 * _SECONDS)
        except DeadlineExceeded:
            return 0.0
        answered += len(prompts)
    return answered / taken


def try_all(model: Path, first: Tuning) -> Probe:
    """What the process of its own does. Raises ModelUnusable."""
    engine, asked = Engine(model, first), _Eight()
    engine.write(_prompts(engine.vocabulary_size, 1)[0].tokens, asked)
    rates: dict[Tuning, float] = {}
    if model.stat().st_size > _LARGE:
        began = time.perf_counter()
        engine.write(_prompts(engine.vocabulary_size, 2)[1].tokens, _Eight())
        rates[first] = 1 / (time.perf_counter() - began)
    else:
        cores = _processors()
        for contexts, sequences in dict.fromkeys(product((cores, 1), (8, 16, 32))):
            shape = replace(first, contexts=contexts, threads=cores // contexts, sequences=sequences)
            engine.reopen(shape)
            rates[shape] = _rate(engine)
    engine.close()
    fastest = max(rates, key=lambda shape: rates[shape])
    return Probe(fastest, rates[fastest], asked.logits)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gamut" / "tuning.json"


def _key(model: Path) -> str:
    machine = f"{platform.machine()} {_processor_name()} {_processors()}"
    return f"{_FORM} {digest_of(model)} {machine} {_build()}"


def _build() -> str:
    """Which llama.cpp: of one version there may be several builds, and only some of them crash."""
    found = distribution("llama-cpp-python")
    return f"{found.version} {Path(str(found.locate_file('llama_cpp/lib'))).stat().st_mtime_ns}"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return " ".join(line.partition(":")[2].strip() for line in lines[:30] if line.startswith(("model", "flags")))


def _read(cache: Path) -> dict[str, dict[str, Any]]:
    try:
        return dict(json.loads(cache.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    found = try_all(Path(sys.argv[1]), Tuning(**json.loads(sys.argv[2])))
    print(json.dumps([asdict(found.tuning), found.rate, found.logits]))
