"""The report task: a model writes a report's findings from its impression, asked in Alpaca form. Trained and measured.

What comes out is made up beyond the impression: it is for experiments and teaching, and no part of the service writes
it into a chart. Knows no GGUF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoTokenizer

from models.consistency import CONCLUDED_FROM, CONCLUDING
from models.judge import judge
from models.report import Mention, Report, Section, SectionKind, StudyContext
from models.sections import split_sections
from training.corpus import MarkedReport, digests
from training.evaluate import Reader, analysis_or_none, side_by_side
from training.qlora import QloraRecipe, as_row, fine_tune_rows, open_trained
from training.task import Example
from training.texts import Metric, TextRow, text_row

_INSTRUCTION = "Write the findings section of the radiology report that has this impression."
_ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{given}\n\n### Response:\n"
)
"""The form of Stanford Alpaca (tatsu-lab/stanford_alpaca, Apache-2.0)."""


class Exchange(NamedTuple):
    """What is asked of one report, and its own findings. labels: what is marked in them."""

    id: str
    context: StudyContext
    indication: str
    impression: str
    findings: str
    labels: tuple[Mention, ...]

    @property
    def prompt(self) -> str:
        """What the model is given: modality, body part, indication and impression, in Alpaca form."""
        lines = {
            "Modality": self.context.modality,
            "Body part": self.context.body_part,
            "Indication": self.indication,
            "Impression": self.impression,
        }
        given = "\n".join(f"{name}: {said}" for name, said in lines.items() if said)
        return _ALPACA.format(instruction=_INSTRUCTION, given=given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow(TextRow):
    """One way to write the findings. f1: against the marks of the report's own; judged: mean score, 0 to 10, of what
    was written as a conclusion from the report's own findings (models/judge.py), 0 where it says nothing to judge.
    """

    judged: float


def exchanges(reports: Iterable[MarkedReport]) -> Iterator[Exchange]:
    """The reports that have both findings and an impression."""
    for report in reports:
        sections = split_sections(report.text)
        findings = [s for s in sections if s.kind in CONCLUDED_FROM]
        impression = _joined(report.text, (s for s in sections if s.kind in CONCLUDING))
        indication = _joined(report.text, (s for s in sections if s.kind is SectionKind.INDICATION))
        if findings and impression:
            inside = [m for m in report.mentions if any(s.span.start <= m.span.start < s.span.end for s in findings)]
            labels = replace(report, mentions=tuple(inside)).labels
            whole = report.as_report()
            yield Exchange(whole.id, whole.context, indication, impression, _joined(report.text, findings), labels)


def train_reports(base: Path, reports: Sequence[MarkedReport], recipe: QloraRecipe, out: Path) -> Path:
    """Fine-tune on the reports, or go on with it; the loss counts on the findings alone. Gives what `fine_tune` gives.

    A report that does not fit into the recipe's max_tokens is left out; its copies and max_chars are of extraction and
    do nothing here. Raises what `fine_tune` raises.
    """

    def rows(tokenizer: Any) -> Iterator[dict[str, list[int]]]:
        for exchange in exchanges(reports):
            written = tokenizer(exchange.findings, add_special_tokens=False)["input_ids"]
            example = Example(tuple(_prompt(exchange, tokenizer)), (*written, tokenizer.eos_token_id))
            if len(example.prompt) + len(example.completion) <= recipe.max_tokens:
                yield as_row(example)

    told = {"task": "report", "reports": {"count": len(reports), "digests": digests(reports)}}
    return fine_tune_rows(base, rows, told, recipe, out)


def write_reports(
    base: Path, trained: Path, some: Iterable[Exchange], max_tokens: int, done: Callable[[], None] = lambda: None
) -> list[str]:
    """The findings that a trained model thinks likeliest, token by token. trained: an adapter of the base, or a whole
    model; max_tokens: of prompt and answer together. What leaves no room for an answer gets none.
    """
    model, tokenizer = open_trained(base, trained), AutoTokenizer.from_pretrained(base)
    written = []
    for exchange in some:
        prompt = _prompt(exchange, tokenizer)
        room = max_tokens - len(prompt)
        ids = torch.tensor([prompt], device=model.device)
        if room > 0:
            with torch.inference_mode():
                answer = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=room,
                    do_sample=False,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.eos_token_id,
                )
            ids = answer
        written.append(tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True).strip())
        done()
    return written


def evaluate_reports(
    some: Sequence[Exchange],
    written: Sequence[str],
    reader: Reader,
    threads: int = 1,
    done: Callable[[], None] = lambda: None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, ReportRow]:
    """Rows of what was written, of the impression put in its place as it stands, and of the report's own findings.

    The findings of every text are those that the reader finds in it, beside the report's own. metrics: further ones
    (training/similarity.py), by name; done: called after each text, three times a report.
    """
    ways = {
        "written": written,
        "the impression again": [one.impression for one in some],
        "the original": [one.findings for one in some],
    }
    rows = {}
    for name, texts in ways.items():
        pairs = list(zip(some, texts, strict=True))
        read = side_by_side(lambda pair: _read(reader, *pair), pairs, threads, done)
        named, scores = [labels for labels, _ in read], [score for _, score in read]
        row = text_row(texts, [one.findings for one in some], named, [one.labels for one in some], metrics or {})
        rows[name] = ReportRow(**asdict(row), judged=float(np.mean(scores)))
    return rows


def _read(reader: Reader, exchange: Exchange, written: str) -> tuple[tuple[Mention, ...], float]:
    """What was written, read as a conclusion from the report's own findings: what it names, and how it is judged.

    The other way round, the impression judged by what was written, thin nonsense would score above the original: it
    leaves nothing to be contradicted or left out.
    """
    text = f"FINDINGS: {exchange.findings}\nIMPRESSION: {written}"
    analysis = analysis_or_none(reader, Report(exchange.id, text, exchange.context))
    if analysis is None:
        return (), 0.0
    found = analysis.findings
    verdict = judge(text, split_sections(text), found)
    named = tuple(Mention(f.certainty, f.quote) for f in found if f.section in CONCLUDING)
    return named, verdict.score if verdict else 0.0


def _prompt(exchange: Exchange, tokenizer: Any) -> list[int]:
    return list(tokenizer(exchange.prompt)["input_ids"])


def _joined(text: str, sections: Iterable[Section]) -> str:
    return " ".join(" ".join(text[s.span.start : s.span.end].split()) for s in sections)
