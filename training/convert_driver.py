"""Runs one of llama.cpp's own converters in a process of its own: `convert_driver.py SCRIPT PRE ARGUMENTS...`.

The converter knows a BPE tokenizer by a hash of what it makes of a text, and so cannot know one that was trained here:
for such a one it is told the name PRE of the splitting rule instead ("-" for none). Knows nothing of the project.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Put the name in where the converter would give up, and hand over to it."""
    script, pre, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    sys.path[:1] = [str(script.parent), str(script.parent / "gguf-py")]
    if pre != "-":
        _name_unknown_tokenizers(pre)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def _name_unknown_tokenizers(pre: str) -> None:
    from conversion.base import TextModel  # type: ignore[import-not-found]

    known = TextModel.get_vocab_base_pre

    def named(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            return pre

    TextModel.get_vocab_base_pre = named


if __name__ == "__main__":
    main()
