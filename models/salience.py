"""How likely a finding is one, and how likely a radiologist's impression names it: two small models over its words.

Its weights (salience.json) are learnt from the train reports by training/impressions.py. Critical conditions
(salience.toml) belong into every impression. Knows no impression and no language model.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.conclusion import condition_key
from models.measures import sizes
from models.report import Certainty, DifferentialGroup, Finding, Section, SectionKind, Span
from models.windows import sentence_at, sentences

WEIGHTS = Path(__file__).with_name("salience.json")
_VOCABULARY = Path(__file__).with_name("salience.toml")
_SIZE_STEPS = (0.0, 5.0, 10.0, 20.0, 40.0)
"""Millimetres."""
_UNKNOWN = 0.5
"""How telling a word is that the train reports do not hold often enough."""


def salience(
    text: str, sections: Sequence[Section], findings: Sequence[Finding], differential: Sequence[DifferentialGroup]
) -> tuple[float, ...]:
    """The probability of each finding, in [0, 1]. findings: those that a draft may stand on, in reading order."""
    weights = _weights().salience
    return tuple(
        _logistic(sum(weights.get(name, 0.0) * value for name, value in one.items()))
        for one in features(text, sections, findings, differential)
    )


def is_critical(finding: Finding) -> bool:
    """Whether a conclusion must not leave the finding out: a critical condition, not denied and not long settled."""
    words = frozenset(condition_key(finding.quote).split())
    if finding.certainty is Certainty.ABSENT or words & _vocabulary().settled:
        return False
    return any(condition <= words for condition in _vocabulary().critical)


def belief(finding: Finding) -> float:
    """How likely the finding is one, in [0, 1]: the model's confidence, times how telling its most telling word is."""
    words = [word for word in condition_key(finding.quote).split() if not word.isdigit()]
    return finding.confidence * max(map(telling, words), default=0.0)


def telling(word: str) -> float:
    """How often a word, as `condition_key` writes it, belongs to a mention in the train reports ("fracture" 0.97,
    "ovary" 0.10).
    """
    return _weights().telling.get(word, _UNKNOWN)


def features(
    text: str, sections: Sequence[Section], findings: Sequence[Finding], differential: Sequence[DifferentialGroup]
) -> tuple[Mapping[str, float], ...]:
    """What is known of each finding, by name; the weights are of the same names."""
    asked = " ".join(text[s.span.start : s.span.end] for s in sections if s.kind is SectionKind.INDICATION)
    scene = _Scene(
        text=text,
        sentences=tuple(s for section in sections for s in sentences(text, section.span)),
        findings=findings,
        words=tuple(_words(f.quote) for f in findings),
        asked=_words(asked),
        grounds={g.finding: len(g.candidates) for g in differential if g.finding is not None},
        offered=frozenset(c for g in differential for c in g.candidates),
    )
    return tuple({**dict(_of_place(scene, i)), **dict(_of_words(scene, i))} for i in range(len(findings)))


@dataclass(frozen=True, slots=True)
class _Weights:
    """salience: of features, by name. telling: of words, the share of their occurrences that stand in a mention."""

    salience: Mapping[str, float]
    telling: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    critical: tuple[frozenset[str], ...]
    settled: frozenset[str]
    cues: Mapping[str, re.Pattern[str]]


@dataclass(frozen=True, slots=True)
class _Scene:
    """A report's findings and all that is asked of them. grounds: how many candidates are offered for each."""

    text: str
    sentences: tuple[Span, ...]
    findings: Sequence[Finding]
    words: tuple[frozenset[str], ...]
    asked: frozenset[str]
    grounds: Mapping[int, int]
    offered: frozenset[int]


def _of_place(scene: _Scene, index: int) -> Iterator[tuple[str, float]]:
    """How sure it is, where it stands among the others, and what is offered for it."""
    sure, count = scene.findings[index].certainty, len(scene.findings)
    equals = [i for i, f in enumerate(scene.findings) if f.certainty is sure]
    yield "always", 1.0
    yield f"sure {sure}", 1.0
    yield f"place {min(index, 5)}", 1.0
    yield "place of all", index / count
    yield "last", float(index == count - 1)
    yield "findings", math.log(count)
    yield f"findings {sure}", math.log(len(equals))
    yield "said again", float(any(i != index and scene.words[i] & scene.words[index] for i in equals))
    yield "ground", float(index in scene.grounds)
    yield "grounds", float(scene.grounds.get(index, 0))
    yield "offered", float(index in scene.offered)


def _of_words(scene: _Scene, index: int) -> Iterator[tuple[str, float]]:
    """Its own words, the words and sizes of its sentence, and whether the indication asks for it."""
    finding, words = scene.findings[index], scene.words[index]
    sentence = sentence_at(scene.sentences, finding.span.start) or finding.span
    said = scene.text[sentence.start : sentence.end]
    largest = max((side for size in sizes(said) for side in size.sides), default=0.0)
    yield f"asked {finding.certainty}", len(words & scene.asked) / max(1, len(words))
    yield f"critical {finding.certainty}", float(is_critical(finding))
    yield "words", float(len(words))
    for name, pattern in _vocabulary().cues.items():
        yield f"beside {name}", float(bool(pattern.search(said)))
        yield f"in {name}", float(bool(pattern.search(finding.quote)))
    yield from ((f"size {step:g}", float(largest > step)) for step in _SIZE_STEPS)
    kind = "no" if finding.certainty is Certainty.ABSENT else "word"
    yield from ((f"{kind} {word}", 1.0) for word in words)


def _words(text: str) -> frozenset[str]:
    return frozenset(condition_key(text).split())


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, value))))


@cache
def _weights() -> _Weights:
    return _Weights(**json.loads(WEIGHTS.read_text(encoding="utf-8")))


@cache
def _vocabulary() -> _Vocabulary:
    table = tomllib.loads(_VOCABULARY.read_text(encoding="utf-8"))
    return _Vocabulary(
        critical=tuple(_words(condition) for condition in table["critical"]["conditions"]),
        settled=frozenset(table["critical"]["settled"]),
        cues={name: re.compile(rf"(?i)\b(?:{'|'.join(words)})\b") for name, words in table["cues"].items()},
    )
