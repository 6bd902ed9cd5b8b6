"""What numbers this machine computes well in. Knows no model."""

from __future__ import annotations

import torch


def number_kind() -> torch.dtype:
    """The kind of number to compute in: bfloat16 where the hardware has it; a CPU that imitates it is times slower."""
    if torch.cuda.is_available() or torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.bfloat16
    return torch.float32
