"""llama.cpp's converter from Hugging Face to GGUF: where it comes from, and how it is called.

It is taken from the source distribution of the llama-cpp-python that serves, at export time only. Knows no weights.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import gguf
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from models.engine import ADAPTER_BASE, digest_of
from training.errors import ExportError

SCRIPT = "convert_hf_to_gguf.py"
_ADAPTER_SCRIPT = "convert_lora_to_gguf.py"
_NEEDED = re.compile(r"[^/]+/vendor/llama\.cpp/(convert_[a-z_]+\.py|(?:conversion|gguf-py/gguf)/.+)")
_DRIVER = Path(__file__).parent / "convert_driver.py"
_QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"


def find_converter(given: Path | None = None) -> Path:
    """The folder of the converter: the given one, or the one of the installed llama-cpp-python, fetched once by pip.

    Raises ExportError where the given folder has none, or pip cannot bring it.
    """
    if given is not None:
        if not (given / SCRIPT).is_file():
            raise ExportError(f"{given}: no {SCRIPT}; give a checkout of llama.cpp")
        return given
    installed = version("llama-cpp-python")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gamut" / f"llama-cpp-{installed}"
    if not (cache / SCRIPT).is_file():
        _fetch(installed, cache)
    return cache


def convert(converter: Path, model: Path, target: Path, metadata: Mapping[str, str], outtype: str) -> None:
    """Write `model` (a Hugging Face folder) as an unquantized GGUF. metadata: by GGUF key. Raises ExportError."""
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "metadata.json"
        named.write_text(json.dumps(dict(metadata)), encoding="utf-8")
        arguments = [str(model), "--outfile", str(target), "--outtype", outtype, "--metadata", str(named)]
        _run(converter / SCRIPT, splitting_rule(model) or "-", arguments, target)


def convert_adapter(converter: Path, model: Path, adapter: Path, target: Path, beside: Path) -> None:
    """Write a LoRA adapter as a GGUF of its own in half precision, for one GGUF of its base alone.

    model: its base's folder; beside: the GGUF that it will be loaded with. Raises ExportError.
    """
    if not beside.is_file():
        raise ExportError(f"{beside}: no such file; give the GGUF of the base that serves")
    if not (adapter / "adapter_config.json").is_file():
        raise ExportError(f"{adapter}: no adapter_config.json; give the folder of an adapter that `train qlora` wrote")
    arguments = [str(adapter), "--base", str(model), "--outfile", str(target), "--outtype", "f16"]
    _run(converter / _ADAPTER_SCRIPT, "-", arguments, target)
    stamp(target, ADAPTER_BASE, digest_of(beside))


def stamp(path: Path, key: str, value: str) -> None:
    """Add a line of metadata to a GGUF."""
    part = path.with_suffix(".part")
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(part, reader.get_field(gguf.Keys.General.ARCHITECTURE).contents())
    copy_with_new_metadata(reader, writer, {key: MetadataDetails(gguf.GGUFValueType.STRING, value)}, [])
    part.replace(path)


def _run(script: Path, pre: str, arguments: Sequence[str], target: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(_DRIVER), str(script), pre, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode or not target.is_file():
        raise ExportError(f"{target.name} was not written by {script.name}: {_last_line(done.stderr)}")


def splitting_rule(model: Path) -> str | None:
    """llama.cpp's name for how the tokenizer splits text, told from its rule; None leaves it to the converter.

    `llama-bpe` is never named: it ignores merges. Source: llama.cpp, src/llama-vocab.cpp.
    """
    path = model / "tokenizer.json"
    rule = json.loads(path.read_text(encoding="utf-8")).get("pre_tokenizer") if path.is_file() else None
    if not rule:
        return None
    parts = rule.get("pretokenizers", [rule])
    if [part["type"] for part in parts] == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2"
    patterns = [part["pattern"].get("Regex", "") for part in parts if part["type"] == "Split"]
    return "qwen2" if len(patterns) == 1 and patterns[0].startswith(_QWEN2) else None


def _fetch(installed: str, cache: Path) -> None:
    """Have pip download the source distribution, and keep the converter alone."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python"]
        done = subprocess.run(  # noqa: S603
            [*command, f"llama-cpp-python=={installed}", "--dest", folder], capture_output=True, text=True, check=False
        )
        archives = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not archives:
            raise ExportError(
                f"pip could not fetch the source of llama-cpp-python {installed} for its converter; "
                "give a checkout of llama.cpp with --converter"
            )
        _unpack(archives[0], cache)
    if not (cache / SCRIPT).is_file():
        raise ExportError(f"the source of llama-cpp-python {installed} holds no {SCRIPT}; give --converter")


def _unpack(archive: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as source:
        for member in source:
            needed = _NEEDED.fullmatch(member.name)
            if needed and member.isfile():
                member.name = needed[1]
                source.extract(member, cache, filter="data")


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "the converter said nothing"
