"""How near drafted texts come to people's own: ROUGE, BLEU, the findings that both name, and further metrics.

Knows texts and counts; knows no report and none of this project's models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from models.report import Mention
from training.score import count, intervals, total

Metric = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""A score of each text by its reference, at most 1; 0 for an empty text."""

_ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """One way to write, all figures from 0 to 1. f1, precision, recall: of the findings named, certainty-aware
    (overlap), low and high the 95 % bootstrap interval; words: of a text; further: means of the metrics handed in.
    """

    f1: float
    low: float
    high: float
    precision: float
    recall: float
    rouge1: float
    rouge2: float
    rouge_l: float
    bleu: float
    words: float
    further: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        told = asdict(self)
        further = told.pop("further")
        return {**told, **further}


def text_row(
    texts: Sequence[str],
    references: Sequence[str],
    named: Sequence[Sequence[Mention]],
    wanted: Sequence[Sequence[Mention]],
    metrics: Mapping[str, Metric],
) -> TextRow:
    """Score texts by their references. named: the findings that each text names; wanted: those of its reference.

    ROUGE is the mean F1 of words without their endings, BLEU that of the whole corpus.
    """
    rouge = RougeScorer(_ROUGE, use_stemmer=True)
    scored = [rouge.score(wanted, text) for wanted, text in zip(references, texts, strict=True)]
    one, two, long = np.mean([[s[kind].fmeasure for kind in _ROUGE] for s in scored], axis=0)
    counts = [count(gold, given) for gold, given in zip(wanted, named, strict=True)]
    summed, (low, high) = total(counts)["overlap"], intervals(counts)["overlap"]
    return TextRow(
        f1=summed.f1,
        low=low,
        high=high,
        precision=summed.precision,
        recall=summed.recall,
        rouge1=float(one),
        rouge2=float(two),
        rouge_l=float(long),
        bleu=sacrebleu.corpus_bleu(list(texts), [[" ".join(text.split()) for text in references]]).score / 100,
        words=float(np.mean([len(text.split()) for text in texts])),
        further={name: float(np.mean(metric(texts, references))) for name, metric in metrics.items()},
    )
