"""llama.cpp, and nothing above it: loads a GGUF, and writes tokens under a constraint, several contexts side by side.

The only module that imports llama_cpp. Knows prompts as token ids; no report, no certainty, no text but what a
tokenizer needs.
"""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue

import llama_cpp as ll
import numpy as np

from models.constraint import Constraint
from models.errors import DeadlineExceeded, ModelNotFound, ModelUnusable, PromptTooLong
from models.report import ModelIdentity

MAX_CONTEXT = 4096
"""Tokens of prompt and answer in one context; a window is far shorter."""

_SILENCE = ll.llama_log_callback(lambda level, text, data: None)
_PREFILL = 512


class Engine:
    """A loaded model and its contexts. Thread-safe: each call of `write` borrows a context; calls beyond their number
    wait.
    """

    def __init__(self, path: Path, contexts: int = 1, threads: int = 1) -> None:
        """Raises ModelNotFound, ModelUnusable."""
        if not path.is_file():
            raise ModelNotFound(f"no model file {path.name}: set GAMUT_MODEL to a GGUF file")
        ll.llama_log_set(_SILENCE, ctypes.c_void_p(0))
        ll.llama_backend_init()
        params = ll.llama_model_default_params()
        # llama.cpp's AMX kernels crash (ggml-org/llama.cpp#26954): weights stay in the form that the others read.
        params.use_extra_bufts = b"AMX_INT8 = 1" not in ll.llama_print_system_info()
        self._model = ll.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelUnusable(
                f"{path.name} cannot be loaded: no GGUF, damaged, of an unknown kind, or too large for memory"
            )
        self.identity = _identity(path, self._meta("general.name"), self._meta("general.version"))
        self._vocab = ll.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(ll.llama_vocab_n_tokens(self._vocab))
        self.pieces = [self._piece(token) for token in range(self.vocabulary_size)]
        self.ends = frozenset(t for t in range(self.vocabulary_size) if ll.llama_vocab_is_eog(self._vocab, t))
        self.written = 0
        self._slots: Queue[_Slot] = Queue()
        self._all: list[_Slot] = []
        for _ in range(contexts):
            self._all.append(_Slot(self._model, threads, self.vocabulary_size))
            self._slots.put(self._all[-1])

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (Jinja), or None for a model without one."""
        found = ll.llama_model_chat_template(self._model, None)
        return found.decode() if found else None

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

    def write(self, prompt: Sequence[int], constraint: Constraint, deadline: float | None = None) -> int:
        """Decode greedily under the constraint until it is complete; gives the number of tokens written.

        deadline: a `time.monotonic()` value. Raises PromptTooLong, DeadlineExceeded.
        """
        slot = self._borrow(deadline)
        try:
            count = slot.write(prompt, constraint, deadline)
        finally:
            self._slots.put(slot)
        self.written += count
        return count

    def close(self) -> None:
        """Free contexts and model; the engine cannot be used afterwards."""
        for slot in self._all:
            slot.close()
        self._all.clear()
        if self._model:
            ll.llama_model_free(self._model)
            self._model = None

    def _borrow(self, deadline: float | None) -> _Slot:
        try:
            return self._slots.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            raise DeadlineExceeded("no context of the model became free before the deadline") from None

    def _meta(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(512)
        size = ll.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if size > 0 else ""

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        size = ll.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:size] if size > 0 else b""


class _Slot:
    """One llama.cpp context. One thread at a time."""

    def __init__(self, model: ll.llama_model_p, threads: int, vocabulary_size: int) -> None:
        params = ll.llama_context_default_params()
        params.n_ctx = min(MAX_CONTEXT, int(ll.llama_model_n_ctx_train(model)))
        params.n_batch = params.n_ubatch = _PREFILL
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self._context = ll.llama_init_from_model(model, params)
        if not self._context:
            raise ModelUnusable("the model was loaded but there is no memory for a context: lower GAMUT_MODEL_CONTEXTS")
        self._size = int(ll.llama_n_ctx(self._context))
        self._vocabulary_size = vocabulary_size
        self._deadline: float | None = None
        self._abort = ll.ggml_abort_callback(self._late)
        ll.llama_set_abort_callback(self._context, self._abort, ctypes.c_void_p(0))

    def write(self, prompt: Sequence[int], constraint: Constraint, deadline: float | None) -> int:
        """See Engine.write."""
        if len(prompt) >= self._size:
            raise PromptTooLong(f"a prompt of {len(prompt)} tokens does not fit the context of {self._size}")
        self._deadline = deadline
        ll.llama_memory_clear(ll.llama_get_memory(self._context), False)
        for at in range(0, len(prompt), _PREFILL):
            self._decode(prompt[at : at + _PREFILL])
        for count in range(self._size - len(prompt)):
            token = constraint.choose(self._logits())
            if token is None:
                return count
            self._decode([token])
        raise PromptTooLong(f"an answer to {len(prompt)} tokens did not end within the context of {self._size}")

    def close(self) -> None:
        """Free the context."""
        ll.llama_free(self._context)

    def _late(self, _: object) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _decode(self, tokens: Sequence[int]) -> None:
        batch = (ll.llama_token * len(tokens))(*tokens)
        status = ll.llama_decode(self._context, ll.llama_batch_get_one(batch, len(tokens)))
        if status == 2 or self._late(None):
            raise DeadlineExceeded("the model was stopped at the deadline of its report")
        if status:
            raise ModelUnusable(f"llama.cpp could not decode {len(tokens)} tokens (status {status})")

    def _logits(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.ctypeslib.as_array(ll.llama_get_logits_ith(self._context, -1), shape=(self._vocabulary_size,))


def _identity(path: Path, name: str, version: str) -> ModelIdentity:
    """Name and version as the GGUF says them (the file's name and the digest where it does not), and the file's
    SHA-256.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelIdentity(name or path.stem, version or digest[:12], digest)
