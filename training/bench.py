"""Reports a second, side by side in one run: the service's engine and what it is compared with, on one GGUF.

Each system runs in a process of its own, so that memory and processor time are its own. Knows speed; judges no answer.

- engine: the service's own windows, prompts and constraint, several reports in flight.
- Llama with grammar: llama-cpp-python's high-level class, window after window, `(certainty ": " text newline)*`.
- Llama free: the same without a grammar. Both write as many tokens as the engine wrote for that window, its end
  counted: a window without a mention is read as well, to find that nothing follows.
- transformers: `generate`, one prompt at a time, on the same weights.
- bare decode: llama_decode alone on the same prompt and answer tokens, in the best batches found: the ceiling.
- int8 bound: two operations a parameter and token, at the speed of one large int8 multiplication.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any

import llama_cpp as ll
import numpy as np
from rich.console import Console
from rich.table import Table

from models.engine import Engine, Tuning
from models.forms import form_for
from models.reading import readings
from models.report import Report
from models.sections import split_sections
from training.corpus import load_corpus

# Without an end: the tokens are counted, as many as the engine wrote.
GRAMMAR = r'root ::= ("present" | "probable" | "possible" | "absent") ": " [^\n]+ "\n" root'
_BATCHES = (8, 16, 32, 4, 1)
_TRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Window:
    """What every system is given of a window: the prompt, and the answer that the engine wrote."""

    prompt: list[int]
    answer: list[int]


@dataclass(frozen=True, slots=True)
class Row:
    """One system's figures. overhead: share of the processor's time outside of llama_decode; memory: peak, MB."""

    system: str
    reports_per_second: float
    prompt_tokens_per_second: float
    output_tokens_per_second: float
    p50: float
    p95: float
    seconds: float
    cpu_seconds: float
    memory: float
    overhead: float | None = None
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """All rows, and what was read: reports, windows, tokens of prompts and of answers, parameters of the model."""

    model: str
    parameters: int
    reports: int
    windows: int
    prompt_tokens: int
    output_tokens: int
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


Asked = list[list[Window]]
"""The windows of each report."""


def bench(model: Path, count: int, tuning: Tuning, in_flight: int, systems: Sequence[str] = ()) -> Bench:
    """Measure on `count` reports drawn from the train corpus, the same ones each time. systems: only these."""
    reports = [marked.as_report() for marked in Random(0).sample(load_corpus("train"), count)]
    threads = tuning.contexts * tuning.threads
    row, asked, parameters = _alone(_engine, model, reports, tuning, in_flight)
    others: dict[str, Callable[[], Row]] = {
        "grammar": lambda: _alone(_high_level, model, asked, tuning, True),
        "free": lambda: _alone(_high_level, model, asked, tuning, False),
        "transformers": lambda: _alone(_transformers, model, asked, threads),
        "bare": lambda: _alone(_bare, model, asked, tuning),
        "int8": lambda: _alone(_int8, asked, threads, parameters),
    }
    rows = [row, *(measured() for name, measured in others.items() if not systems or name in systems)]
    windows = [window for report in asked for window in report]
    return Bench(
        model.name,
        parameters,
        count,
        len(windows),
        sum(len(window.prompt) for window in windows),
        sum(len(window.answer) for window in windows),
        rows,
    )


def show(measured: Bench) -> None:
    """Print the rows as a table."""
    print(
        f"{measured.model}: {measured.parameters / 1e6:.0f} M parameters; {measured.reports} reports, "
        f"{measured.windows} windows, {measured.prompt_tokens} prompt and {measured.output_tokens} output tokens"
    )
    table = Table(
        "system",
        "reports/s",
        "a CPU second",
        "of ours",
        "prompt tok/s",
        "output tok/s",
        "p50 s",
        "p95 s",
        "CPU s",
        "MB",
        "",
    )
    for row in measured.rows:
        ratio = measured.rows[0].reports_per_second / row.reports_per_second
        said = row.settings if row.overhead is None else f"{row.settings}; {row.overhead:.1%} outside llama_decode"
        table.add_row(
            row.system,
            f"{row.reports_per_second:.2f}",
            f"{measured.reports / row.cpu_seconds:.2f}",
            f"1 / {ratio:.2f}",
            f"{row.prompt_tokens_per_second:.0f}",
            f"{row.output_tokens_per_second:.0f}",
            f"{row.p50:.3f}",
            f"{row.p95:.3f}",
            f"{row.cpu_seconds:.1f}",
            f"{row.memory:.0f}",
            said,
        )
    Console(width=180).print(table)


def _alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _row(system: str, asked: Asked, taken: Sequence[float], wall: float, cpu: float, **more: Any) -> Row:
    windows = [window for report in asked for window in report]
    return Row(
        system,
        len(asked) / wall,
        sum(len(window.prompt) for window in windows) / wall,
        sum(len(window.answer) for window in windows) / wall,
        float(np.quantile(taken, 0.5)),
        float(np.quantile(taken, 0.95)),
        wall,
        cpu,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **more,
    )


def _engine(model: Path, reports: Sequence[Report], tuning: Tuning, in_flight: int) -> tuple[Row, Asked, int]:
    engine = Engine(model, tuning)
    form = form_for(engine)

    def read(report: Report) -> tuple[list[Window], float]:
        began = time.perf_counter()
        windows = [w for reading in readings(form, report, split_sections(report.text)) for w in reading.windows]
        answers = engine.write_all([(w.prompt, w.constraint) for w in windows])
        said = [Window(list(w.prompt.tokens), a) for w, a in zip(windows, answers, strict=True)]
        return said, time.perf_counter() - began

    read(reports[0])
    decoding, began, cpu = engine.decoding_seconds, time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(in_flight) as pool:
        results = list(pool.map(read, reports))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    asked = [windows for windows, _ in results]
    overhead = 1 - (engine.decoding_seconds - decoding) * tuning.threads / cpu
    shape = (
        f"{tuning.contexts} x {tuning.threads} x {tuning.sequences}, {tuning.guesses} guesses, {in_flight} in flight"
    )
    row = _row("engine", asked, [t for _, t in results], wall, cpu, overhead=overhead, settings=shape)
    parameters = engine.parameters
    engine.close()
    return row, asked, parameters


def _timed(system: str, asked: Asked, answer: Callable[[Window], object], settings: str = "") -> Row:
    """Measure one window after another."""
    answer(asked[0][0])
    taken, began, cpu = [], time.perf_counter(), time.process_time()
    for report in asked:
        at = time.perf_counter()
        for window in report:
            answer(window)
        taken.append(time.perf_counter() - at)
    return _row(system, asked, taken, time.perf_counter() - began, time.process_time() - cpu, settings=settings)


def _high_level(model: Path, asked: Asked, tuning: Tuning, with_grammar: bool) -> Row:
    _load_alike(tuning)
    threads = tuning.contexts * tuning.threads
    llama = ll.Llama(
        str(model),
        n_ctx=2048,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=tuning.gpu_layers,
        verbose=False,
    )
    if not with_grammar:
        row = _timed("Llama free", asked, lambda w: list(islice(llama.generate(w.prompt, temp=0.0), len(w.answer) + 1)))
    else:
        grammar = ll.LlamaGrammar.from_string(GRAMMAR, verbose=False)
        row = _timed(
            "Llama with grammar",
            asked,
            lambda w: llama.create_completion(w.prompt, max_tokens=len(w.answer) + 1, temperature=0.0, grammar=grammar),
        )
    llama.close()
    return row


def _transformers(model: Path, asked: Asked, threads: int) -> Row:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    loaded = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32).eval()

    def answer(window: Window) -> None:
        ids = torch.tensor([window.prompt])
        with torch.inference_mode():
            loaded.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=len(window.answer) + 1,
                min_new_tokens=len(window.answer) + 1,
                do_sample=False,
            )

    return _timed("transformers", asked, answer)


def _bare(model: Path, asked: Asked, tuning: Tuning) -> Row:
    """Try batches of several sizes on some of the reports, and measure all of them with the best."""
    _load_alike(tuning)
    ll.llama_log_set(_SILENCE, ctypes.c_void_p(0))
    ll.llama_backend_init()
    loaded = ll.llama_model_load_from_file(str(model).encode(), ll.llama_model_default_params())
    some = asked[: -(-len(asked) // 8)]
    tries: dict[tuple[int, bool], float] = {}
    for size, unified in product(_BATCHES, (True, False)):
        if sum(tries.values()) < _TRY_SECONDS:
            tries[size, unified] = _decode_all(loaded, some, size, unified, tuning).seconds
    size, unified = min(tries, key=lambda one: tries[one])
    row = _decode_all(loaded, asked, size, unified, tuning)
    ll.llama_model_free(loaded)
    return row


def _decode_all(loaded: Any, asked: Asked, size: int, unified: bool, tuning: Tuning) -> Row:
    windows = [window for report in asked for window in report]
    shares = [windows[number :: tuning.contexts] for number in range(tuning.contexts)]
    cells = -(-max(len(w.prompt) + len(w.answer) for w in windows) // 256) * 256
    contexts = [_context(loaded, size, cells, unified, tuning.threads) for _ in shares]
    batches = [list(_batches(share, size)) for share in shares]
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(_run, contexts, batches))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    for context in contexts:
        ll.llama_free(context)
    kind = "one pool of cells" if unified else "cells apart"
    return _row("bare decode", asked, [wall / len(asked)], wall, cpu, settings=f"{size} sequences, {kind}")


def _context(loaded: Any, size: int, cells: int, unified: bool, threads: int) -> Any:
    params = ll.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.kv_unified = cells * size, size, unified
    params.n_batch = params.n_ubatch = 512
    params.n_outputs_max_per_seq = 0
    params.n_threads = params.n_threads_batch = threads
    params.no_perf = True
    return ll.llama_init_from_model(loaded, params)


def _run(context: Any, batches: Sequence[tuple[Any, bool]]) -> None:
    memory = ll.llama_get_memory(context)
    for batch, first in batches:
        if first:
            ll.llama_memory_clear(memory, False)
        if ll.llama_decode(context, batch):
            raise MemoryError("llama.cpp could not decode a batch of the bench")


def _batches(windows: Sequence[Window], size: int) -> Iterator[tuple[Any, bool]]:
    """Batches of `size` windows: their prompts in pieces, then a token of each at a time."""
    for at in range(0, len(windows), size):
        group = windows[at : at + size]
        prompts = [(t, p, s, p == len(w.prompt) - 1) for s, w in enumerate(group) for p, t in enumerate(w.prompt)]
        for begin in range(0, len(prompts), 512):
            yield _batch(prompts[begin : begin + 512]), begin == 0
        for step in range(max(len(w.answer) for w in group)):
            tokens = [
                (w.answer[step], len(w.prompt) + step, s, True) for s, w in enumerate(group) if step < len(w.answer)
            ]
            yield _batch(tokens), False


def _batch(tokens: Sequence[tuple[int, int, int, bool]]) -> Any:
    batch = ll.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, (token, pos, seq, logits) in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, pos, 1, logits
        batch.seq_id[i][0] = seq
    return batch


def _int8(asked: Asked, threads: int, parameters: int) -> Row:
    import torch

    torch.set_num_threads(threads)
    rows, columns = 512, 4096
    left, right = (torch.randint(-127, 127, shape, dtype=torch.int8) for shape in ((rows, columns), (columns, columns)))
    multiply = torch._int_mm
    multiply(left, right)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(10):
        multiply(left, right)
    wall, cpu = (time.perf_counter() - began) / 10, (time.process_time() - cpu) / 10
    tokens = sum(len(w.prompt) + len(w.answer) for report in asked for w in report)
    share = 2 * parameters * tokens / (2 * rows * columns * columns)
    settings = f"{2 * rows * columns * columns / wall / 1e9:.0f} G operations/s"
    return _row("int8 bound", asked, [wall * share / len(asked)], wall * share, cpu * share, settings=settings)


_SILENCE = ll.llama_log_callback(lambda level, text, data: None)


def _load_alike(tuning: Tuning) -> None:
    """Have every model loaded for the engine's kernels: `Llama` takes AMX even where it crashes (deploy/amx.h)."""
    params = ll.llama_model_default_params()
    params.use_extra_bufts, params.n_gpu_layers = tuning.packed, tuning.gpu_layers
    for module in (ll, ll.llama_cpp):
        module.llama_model_default_params = lambda: params
