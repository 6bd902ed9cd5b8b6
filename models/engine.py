"""llama.cpp, and nothing above it: loads a GGUF, and decodes many prompts side by side under their constraints.

The only module of the service that imports llama_cpp. Knows prompts as token ids; no report, no certainty, no text but
what a tokenizer needs.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import llama_cpp as ll
import numpy as np

from models.batch import Prompt, Running, Waiting, check_length
from models.calibration import CALIBRATION, Calibration
from models.constraint import Constraint, Logits
from models.errors import AdapterUnusable, ModelNotFound, ModelUnusable, PromptTooLong
from models.report import ModelIdentity

ADAPTER_BASE = "gamut.base.sha256"
"""Metadata of an adapter's GGUF: SHA-256 of the model's GGUF that it is for."""
MAX_CONTEXT = 4096
"""Tokens of prompt and answer of one sequence; a window is far shorter."""

_SILENCE = ll.llama_log_callback(lambda level, text, data: None)
_BATCH = 512
_PREFIXES = 4
_USUAL = 160
"""Cells that a sequence usually takes: a window of 140 characters and its answer."""
_TURN = 8
"""Decodes of one adapter before another's sequences have theirs: llama.cpp plans anew after each change."""
_ABORTED = 2
_NO_ROOM = 1
# llama.cpp asks between any two operations whether to stop. C's strlen answers that from one byte of ours, without
# waking Python several hundred times a decode: an empty string is "go on".
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, ll.ggml_abort_callback)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the machine is used. contexts: decode side by side, each with so many threads and sequences.

    guesses: tokens that are guessed at once; small: decodes of fewer tokens than this are filled up with guesses.
    packed: weights rearranged for the processor's best kernels, which crash on some builds (models/tuning.py tries).
    gpu_layers: how many are put on a GPU, where llama.cpp was built for one; -1 for all.
    """

    contexts: int = 1
    threads: int = 1
    sequences: int = 16
    guesses: int = 4
    small: int = 8
    packed: bool = False
    gpu_layers: int = -1


class Engine:
    """A loaded model and its contexts. Thread-safe: prompts of all callers are decoded side by side."""

    def __init__(self, path: Path, tuning: Tuning = Tuning(), adapters: Mapping[str, Path] | None = None) -> None:
        """adapters: LoRA GGUFs of this model by name. Raises ModelNotFound, ModelUnusable, AdapterUnusable."""
        if not path.is_file():
            raise ModelNotFound(f"no model file {path.name}: set GAMUT_MODEL to a GGUF file")
        adapters = adapters or {}
        for file in adapters.values():
            if not file.is_file():
                raise AdapterUnusable(f"no adapter file {file.name}: GAMUT_MODEL_ADAPTERS names GGUF files")
        ll.llama_log_set(_SILENCE, ctypes.c_void_p(0))
        ll.llama_backend_init()
        params = ll.llama_model_default_params()
        # Among them AMX, which crashes where GCC compiled it (ggml-org/llama.cpp#26954, deploy/amx.h).
        params.use_extra_bufts = tuning.packed
        params.n_gpu_layers = tuning.gpu_layers
        self._model = ll.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelUnusable(
                f"{path.name} cannot be loaded: no GGUF, damaged, of an unknown kind, or too large for memory"
            )
        self.identity = _identity(path, self._meta("general.name"), self._meta("general.version"))
        self.calibration = Calibration.read(self._meta(CALIBRATION))
        self.identities: dict[str | None, ModelIdentity] = {None: self.identity}
        self._adapters: dict[str, ll.llama_adapter_lora_p] = {}
        for name, file in adapters.items():
            self.identities[name] = _with_adapter(self.identity, file)
            self._adapters[name] = self._load_adapter(file)
        self._vocab = ll.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(ll.llama_vocab_n_tokens(self._vocab))
        self.pieces = [self._piece(token) for token in range(self.vocabulary_size)]
        self.ends = frozenset(t for t in range(self.vocabulary_size) if ll.llama_vocab_is_eog(self._vocab, t))
        self.written = 0
        self._contexts: list[_Context] = []
        self._open(tuning)

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (Jinja), or None for a model without one."""
        found = ll.llama_model_chat_template(self._model, None)
        return found.decode() if found else None

    @property
    def decoding_seconds(self) -> float:
        """CPU seconds that the contexts' own threads spent inside of llama.cpp."""
        return sum(context.seconds for context in self._contexts)

    @property
    def waiting(self) -> int:
        """Prompts that no context has begun."""
        return len(self._waiting)

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        return int(ll.llama_model_n_params(self._model))

    def token(self, piece: str) -> int | None:
        """Id of a special token by its text, or None where the vocabulary has none."""
        ids = self.tokenize(piece, special=True)
        return ids[0] if len(ids) == 1 and self.pieces[ids[0]] == piece.encode() else None

    def tokenize(self, text: str, special: bool = False, begin: bool = False) -> list[int]:
        """Token ids. special: read special tokens in it; begin: add what the vocabulary wants at the beginning."""
        raw = text.encode()
        room = len(raw) + 8
        ids = (ll.llama_token * room)()
        count = ll.llama_tokenize(self._vocab, raw, len(raw), ids, room, begin, special)
        return list(ids[:count])

    def write(self, prompt: Sequence[int], constraint: Constraint, deadline: float | None = None) -> list[int]:
        """Decode one prompt's answer; see write_all."""
        return self.write_all([(Prompt(prompt), constraint)], deadline)[0]

    def write_all(self, asked: Sequence[tuple[Prompt, Constraint]], deadline: float | None = None) -> list[list[int]]:
        """Decode greedily, each prompt under its constraint, until all are complete; gives the tokens of each answer.

        deadline: a `time.monotonic()` value. Raises PromptTooLong, AdapterUnusable, DeadlineExceeded, ModelUnusable.
        """
        for prompt, _ in asked:
            check_length(prompt, self._contexts[0].longest)
            if prompt.adapter not in self.identities:
                raise AdapterUnusable(f"no adapter {prompt.adapter} is loaded: name its GGUF in GAMUT_MODEL_ADAPTERS")
        answers = [running.written for running in self._waiting.answer(asked, deadline)]
        self.written += sum(map(len, answers))
        return answers

    def reopen(self, tuning: Tuning) -> None:
        """Use the machine otherwise, with the weights as they are. Ends what is being written."""
        self._close_contexts()
        self._open(tuning)

    def close(self) -> None:
        """Free contexts, model and its adapters; the engine cannot be used afterwards."""
        self._close_contexts()
        if self._model:
            ll.llama_model_free(self._model)
            self._model = None

    def _load_adapter(self, file: Path) -> ll.llama_adapter_lora_p:
        """Load an adapter once for all contexts; the model frees it. llama.cpp itself takes one of any base that has
        the same shape, which would read wrongly under a good name.
        """
        adapter = ll.llama_adapter_lora_init(self._model, str(file).encode())
        buffer = ctypes.create_string_buffer(65)
        if adapter:
            ll.llama_adapter_meta_val_str(adapter, ADAPTER_BASE.encode(), buffer, len(buffer))
        if buffer.value == self.identity.sha256.encode():
            return adapter
        ll.llama_model_free(self._model)
        raise AdapterUnusable(
            f"{file.name} is no adapter of this model: no GGUF of a LoRA adapter, damaged, or exported for other "
            "weights; `gamut train export-adapter` makes one for the GGUF that it is given"
        )

    def _open(self, tuning: Tuning) -> None:
        self._waiting = Waiting(tuning.contexts, self._interrupt)
        for number in range(tuning.contexts):
            context = _Context(self._model, self._adapters, self.vocabulary_size, tuning, number, self._waiting)
            self._contexts.append(context)
        for context in self._contexts:
            context.start()

    def _close_contexts(self) -> None:
        self._waiting.close()
        self._interrupt()
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def _interrupt(self) -> None:
        for context in self._contexts:
            context.interrupt()

    def _meta(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(4096)
        size = ll.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if size > 0 else ""

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        size = ll.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:size] if size > 0 else b""


class _Context:
    """One llama.cpp context, and the thread that decodes in it what waits."""

    def __init__(
        self,
        model: ll.llama_model_p,
        adapters: Mapping[str, ll.llama_adapter_lora_p],
        vocabulary_size: int,
        tuning: Tuning,
        number: int,
        waiting: Waiting,
    ) -> None:
        self.longest = min(MAX_CONTEXT, int(ll.llama_model_n_ctx_train(model)))
        self.seconds = 0.0
        self._number, self._waiting, self._tuning = number, waiting, tuning
        self._adapters = adapters
        self._adapter: str | None = None
        self._turn_left = 0
        self._vocabulary_size = vocabulary_size
        params = ll.llama_context_default_params()
        params.n_ctx = max(self.longest, tuning.sequences * _USUAL)
        params.n_batch = params.n_ubatch = _BATCH
        params.n_seq_max = tuning.sequences + _PREFIXES
        params.n_outputs_max_per_seq = 0
        # One pool of cells for all: a long prompt takes what short ones leave, and shared beginnings cost nothing.
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = tuning.threads
        params.no_perf = True
        self._context = ll.llama_init_from_model(model, params)
        if not self._context:
            raise ModelUnusable("the model was loaded but there is no memory for a context: lower GAMUT_MODEL_CONTEXTS")
        self._memory = ll.llama_get_memory(self._context)
        self._cells = int(ll.llama_n_ctx(self._context))
        self._stop = ctypes.create_string_buffer(2)
        ll.llama_set_abort_callback(self._context, _STRLEN, ctypes.cast(self._stop, ctypes.c_void_p))
        self._batch = _Batch(tuning.sequences + _PREFIXES)
        self._free = list(range(tuning.sequences))
        self._active: list[Running] = []
        self._prefixes = _Prefixes(range(tuning.sequences, tuning.sequences + _PREFIXES))
        self._logits: tuple[int, Logits] | None = None
        self._thread = threading.Thread(target=self._run, name=f"decode-{number}", daemon=True)

    def start(self) -> None:
        """Begin to decode what waits."""
        self._thread.start()

    def interrupt(self) -> None:
        """Leave the decode that is going on; what is still wanted of it is decoded again."""
        self._stop[0] = b"!"

    def close(self) -> None:
        """Wait for the thread, and free the context."""
        if self._thread.is_alive():
            self._thread.join()
        ll.llama_free(self._context)

    def _run(self) -> None:
        while (joined := self._waiting.take(self._number, self._active, self._has_room)) is not None:
            self._stop[0] = b"\0"
            for running in joined:
                running.seq = self._free.pop()
                self._active.append(running)
                self._go_on(running, lambda one: one.look_ahead(self._guesses(one)))
            for running in [one for one in self._active if one.group.over]:
                self._leave(running)
            if self._active:
                self._decode()
        for running in self._active:
            running.group.fail(ModelUnusable("the engine was closed"))

    def _has_room(self, running: Running, before: Sequence[Running]) -> bool:
        """Whether one more may join after these. The cells are counted too high, and llama.cpp has the last word."""
        cells = sum(len(one.tokens) for one in (*self._active, *before)) + self._prefixes.cells
        return len(self._free) > len(before) and (
            not (self._active or before) or cells + len(running.tokens) + _USUAL // 2 <= self._cells
        )

    def _guesses(self, running: Running) -> int:
        """How many tokens are guessed of each sequence: none where the decode is large enough without."""
        beside = sum(one.adapter == running.adapter for one in self._active)
        return min(self._tuning.guesses, self._tuning.small // max(1, beside))

    def _decode(self) -> None:
        self._batch.clear()
        turn = self._next_turn()
        fresh = self._share_beginnings(turn)
        parts = []
        # The shortest first: those that write go on while a long prompt is read piece by piece.
        for running in sorted(turn, key=lambda one: len(one.tokens) - one.cached):
            tokens, rows = running.planned()
            whole = len(tokens) <= self._batch.room
            if not whole:
                tokens = tokens[: self._batch.room]
                rows = [False] * len(tokens)
            if tokens:
                self._batch.add(tokens, running.cached, [running.seq], rows)
                parts.append(_Part(running, len(tokens), sum(rows), whole))
        began = time.thread_time()
        status = ll.llama_decode(self._context, self._batch.filled())
        self.seconds += time.thread_time() - began
        if status:
            self._undo(parts, fresh)
            self._give_way(status, parts)
        else:
            self._settle(parts)

    def _next_turn(self) -> list[Running]:
        """The sequences of one adapter, which holds for a whole decode; the adapters take turns of some decodes."""
        names = sorted({one.adapter or "" for one in self._active})
        self._turn_left -= 1
        if self._turn_left < 0 or (self._adapter or "") not in names:
            self._turn_left = _TURN
            self._use(next((name for name in names if name > (self._adapter or "")), names[0]) or None)
        return [one for one in self._active if one.adapter == self._adapter]

    def _use(self, adapter: str | None) -> None:
        if adapter == self._adapter:
            return
        used = [] if adapter is None else [self._adapters[adapter]]
        pointers, scales = (
            (ll.llama_adapter_lora_p_ctypes * len(used))(*used),
            (ctypes.c_float * len(used))(*[1.0] * len(used)),
        )
        if ll.llama_set_adapters_lora(self._context, pointers, len(used), scales):
            raise ModelUnusable("llama.cpp could not put an adapter before the model")
        self._adapter = adapter

    def _share_beginnings(self, turn: Sequence[Running]) -> dict[_Beginning, list[Running]]:
        """Copy the beginnings that stand in memory; put the others into the batch once, for all that begin so."""
        fresh: dict[_Beginning, list[Running]] = {}
        for running in turn:
            if running.shared <= 0 or running.cached:
                continue
            beginning = _Beginning(running.adapter, tuple(running.tokens[: running.shared]))
            if (seq := self._prefixes.find(beginning)) is not None:
                ll.llama_memory_seq_cp(self._memory, seq, running.seq, 0, running.shared)
                running.cached = running.shared
            elif beginning in fresh or len(fresh) < _PREFIXES:
                fresh.setdefault(beginning, []).append(running)
        for beginning, sharing in list(fresh.items()):
            if len(beginning.tokens) > self._batch.room:
                del fresh[beginning]
                continue
            seq = self._prefixes.claim(beginning)
            ll.llama_memory_seq_rm(self._memory, seq, -1, -1)
            seqs = [seq, *(running.seq for running in sharing)]
            self._batch.add(beginning.tokens, 0, seqs, [False] * len(beginning.tokens))
            for running in sharing:
                running.cached = running.shared
        return fresh

    def _settle(self, parts: Sequence[_Part]) -> None:
        logits, at = self._read_logits(), 0
        for part in parts:
            if part.whole:
                self._go_on(part.running, partial(self._take, rows=logits[at : at + part.rows], tokens=part.tokens))
            else:
                part.running.cached += part.tokens
            at += part.rows

    def _take(self, running: Running, rows: Logits, tokens: int) -> bool:
        """Take what the logits say; True at the end. Guesses that were wrong leave the memory again."""
        decoded = running.cached + tokens
        if running.settle(rows):
            return True
        if running.cached < decoded:
            ll.llama_memory_seq_rm(self._memory, running.seq, running.cached, -1)
        return running.look_ahead(self._guesses(running))

    def _go_on(self, running: Running, step: Callable[[Running], bool]) -> None:
        """Let a sequence take a step, and leave when it has ended or failed."""
        try:
            ended = step(running)
            if not ended and len(running.tokens) + len(running.steps) >= self.longest:
                raise PromptTooLong(
                    f"an answer to {running.prompt_length} tokens did not end within the context of {self.longest}"
                )
        except Exception as error:
            # Whatever it is, it is the caller's who gave this constraint; the other sequences go on.
            running.group.fail(error)
            ended = True
        else:
            if ended:
                running.group.finish_one()
        if ended:
            self._leave(running)

    def _leave(self, running: Running) -> None:
        ll.llama_memory_seq_rm(self._memory, running.seq, -1, -1)
        self._free.append(running.seq)
        self._active.remove(running)

    def _undo(self, parts: Sequence[_Part], fresh: dict[_Beginning, list[Running]]) -> None:
        """Forget what a decode that failed may have left in memory."""
        for part in parts:
            ll.llama_memory_seq_rm(self._memory, part.running.seq, part.running.cached, -1)
        for beginning, sharing in fresh.items():
            ll.llama_memory_seq_rm(self._memory, self._prefixes.forget(beginning), -1, -1)
            for running in sharing:
                ll.llama_memory_seq_rm(self._memory, running.seq, -1, -1)
                running.cached = 0

    def _give_way(self, status: int, parts: Sequence[_Part]) -> None:
        """After a decode that failed: stopped by us, out of cells, or for good."""
        if status == _ABORTED:
            return
        if status == _NO_ROOM and self._prefixes.cells:
            for seq in self._prefixes.clear():
                ll.llama_memory_seq_rm(self._memory, seq, -1, -1)
        elif status == _NO_ROOM and len(self._active) > 1:
            last = self._active[-1]
            self._leave(last)
            last.cached = 0
            self._waiting.put_back(last)
        else:
            error = ModelUnusable(f"llama.cpp could not decode {self._batch.size} tokens (status {status})")
            for part in parts:
                part.running.group.fail(error)

    def _read_logits(self) -> Logits:
        """The rows that the last decode computed, in the order of the batch: llama.cpp's own memory, not copied."""
        found = ll.llama_get_logits(self._context)
        address = ctypes.addressof(found.contents) if found else 0
        if self._logits is None or self._logits[0] != address:
            shape = (_BATCH if found else 0, self._vocabulary_size)
            self._logits = address, np.ctypeslib.as_array(found, shape) if found else np.empty(shape, np.float32)
        return self._logits[1]


class _Part(NamedTuple):
    """What a decode holds of one sequence: so many tokens, so many rows of logits; whole: all that was planned."""

    running: Running
    tokens: int
    rows: int
    whole: bool


class _Beginning(NamedTuple):
    """First tokens of a prompt, as one adapter reads them."""

    adapter: str | None
    tokens: tuple[int, ...]


class _Prefixes:
    """Which beginnings of prompts stand in which sequence; the one used longest ago makes room."""

    def __init__(self, seqs: Iterable[int]) -> None:
        self._free = list(seqs)
        self._known: OrderedDict[_Beginning, int] = OrderedDict()

    @property
    def cells(self) -> int:
        """Cells they take."""
        return sum(len(beginning.tokens) for beginning in self._known)

    def find(self, beginning: _Beginning) -> int | None:
        """The sequence that holds it."""
        if beginning in self._known:
            self._known.move_to_end(beginning)
        return self._known.get(beginning)

    def claim(self, beginning: _Beginning) -> int:
        """A sequence to hold it, whose old content must go."""
        seq = self._free.pop() if self._free else self._known.popitem(last=False)[1]
        self._known[beginning] = seq
        return seq

    def forget(self, beginning: _Beginning) -> int:
        """Take one back."""
        seq = self._known.pop(beginning)
        self._free.append(seq)
        return seq

    def clear(self) -> list[int]:
        """Take all back."""
        return [self.forget(beginning) for beginning in list(self._known)]


class _Batch:
    """llama.cpp's batch over arrays of our own, filled a sequence at a time."""

    def __init__(self, sequences: int) -> None:
        self.size = 0
        self._token, self._pos, self._count = (np.zeros(_BATCH, np.int32) for _ in range(3))
        self._seq, self._logits = np.zeros((_BATCH, sequences), np.int32), np.zeros(_BATCH, np.int8)
        pointer = ctypes.POINTER(ctypes.c_int32)
        rows = [row.ctypes.data_as(pointer) for row in self._seq]
        self._rows = (pointer * _BATCH)(*rows)
        self._batch = ll.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(pointer),
            embd=None,
            pos=self._pos.ctypes.data_as(pointer),
            n_seq_id=self._count.ctypes.data_as(pointer),
            seq_id=self._rows,
            logits=self._logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return _BATCH - self.size

    def clear(self) -> None:
        """Begin anew."""
        self.size = 0

    def add(self, tokens: Sequence[int], at: int, seqs: Sequence[int], rows: Sequence[bool]) -> None:
        """Append tokens from position `at`, each to all of these sequences; rows: of which the logits are wanted."""
        here = slice(self.size, self.size + len(tokens))
        self._token[here] = tokens
        self._pos[here] = range(at, at + len(tokens))
        self._count[here] = len(seqs)
        self._seq[here, : len(seqs)] = seqs
        self._logits[here] = rows
        self.size = here.stop

    def filled(self) -> ll.llama_batch:
        """The batch as llama.cpp takes it."""
        self._batch.n_tokens = self.size
        return self._batch


def _identity(path: Path, name: str, version: str) -> ModelIdentity:
    """Name and version as the GGUF says them (the file's name and the digest where it does not), and the file's
    SHA-256.
    """
    digest = digest_of(path)
    return ModelIdentity(name or path.stem, version or digest[:12], digest)


def _with_adapter(base: ModelIdentity, file: Path) -> ModelIdentity:
    """Taken when the adapter is loaded: the file may change while the process runs."""
    digest = digest_of(file)
    return ModelIdentity(f"{base.name} + {file.stem}", f"{base.version}+{digest[:12]}", base.sha256, digest)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; a file that did not change is read once a process, for a model may be large."""
    found = path.stat()
    return _digest(path, found.st_mtime_ns, found.st_size)


@lru_cache
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
