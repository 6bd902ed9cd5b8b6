"""Makes a GGUF smaller, through llama.cpp itself. Used at export time only; what serves never comes here.

Knows files and kinds of quantization; no prompt, no report.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp as ll

from models.errors import ModelNotFound, ModelUnusable

KINDS = {
    "F16": ll.LLAMA_FTYPE_MOSTLY_F16,
    "Q8_0": ll.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q6_K": ll.LLAMA_FTYPE_MOSTLY_Q6_K,
    "Q5_K_M": ll.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q4_K_M": ll.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q4_0": ll.LLAMA_FTYPE_MOSTLY_Q4_0,
}
"""The kinds on offer. K kinds need rows of a multiple of 256 weights; a small model keeps its answers only at Q8_0."""

_SILENCE = ll.llama_log_callback(lambda level, text, data: None)


def quantize(source: Path, target: Path, kind: str = "Q8_0", threads: int = 1) -> None:
    """Write `target`, a quantized copy of the unquantized GGUF `source`. Raises ModelNotFound, ModelUnusable."""
    if kind not in KINDS:
        raise ModelUnusable(f"no quantization {kind}: choose one of {', '.join(KINDS)}")
    if not source.is_file():
        raise ModelNotFound(f"no model file {source.name} to quantize")
    ll.llama_log_set(_SILENCE, ctypes.c_void_p(0))
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.nthread = KINDS[kind], threads
    if ll.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)):
        target.unlink(missing_ok=True)
        raise ModelUnusable(f"{source.name} cannot be quantized to {kind}: it is no whole GGUF, or its rows do not fit")
