"""Marked-up reports, from files to frozen values, and the one fence around those that no training may see.

A file holds reports of the form `### CT | chest | F | 64` and a body in which `[mention]` with `+ ~ ? -` is a
label (see corpus/README.md). Knows nothing of models, of tokens or of how a report is changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from models.report import Certainty, Mention, Report, Span, StudyContext
from training.errors import CorpusError

CORPUS = Path(__file__).parent / "corpus"
SECOND_READER = CORPUS / "second_reader"
"""The held-out reports as another person marked them, who had not seen the first one's marks."""
HELD_OUT = "held_out.lst"
DEV = "dev.lst"
SIGNS = {"+": Certainty.PRESENT, "~": Certainty.PROBABLE, "?": Certainty.POSSIBLE, "-": Certainty.ABSENT}
MODALITIES = ("CR", "DX", "CT", "MR", "US", "NM", "PT", "MG", "XA", "RF")
UNKNOWN = "?"
"""Stands in a header for what a hospital does not tell; never guessed."""
Split = Literal["train", "dev", "held_out", "all"]
_LISTS: dict[Split, str] = {"held_out": HELD_OUT, "dev": DEV}

_REPORT = re.compile(r"(?m)^### ")
_MARK = re.compile(r"\[([^\[\]]*)\]([+~?\-])?")
# Only to the end of its line: a report without a heading for its findings goes straight on.
_UNREAD = re.compile(r"(?m)^(?:INDICATION|CLINICAL[^:\n]*|HISTORY|TECHNIQUE|COMPARISON|EXAM[^:\n]*):(.*)$")


class MarkedMention(NamedTuple):
    """A label: how sure the report is, and where the mention stands in its text."""

    certainty: Certainty
    span: Span


@dataclass(frozen=True, slots=True)
class MarkedReport:
    """A report without its brackets, and its labels in reading order. file, index (from 0): where it came from.

    modality, body_part, sex: UNKNOWN where the header does not say; age: in years, None likewise.
    """

    file: str
    index: int
    modality: str
    body_part: str
    sex: str
    age: int | None
    text: str
    mentions: tuple[MarkedMention, ...]

    @property
    def id(self) -> str:
        """The report's name in label files: `chest.txt#12`."""
        return f"{self.file}#{self.index}"

    @property
    def labels(self) -> tuple[Mention, ...]:
        """The labels as people write them: certainty and quote, white space made one space."""
        return tuple(
            Mention(certainty, " ".join(self.text[span.start : span.end].split())) for certainty, span in self.mentions
        )

    @property
    def context(self) -> StudyContext:
        """The study as the header tells it."""
        modality, body_part, sex = (None if x == UNKNOWN else x for x in (self.modality, self.body_part, self.sex))
        return StudyContext(modality=modality, body_part=body_part, sex=sex, age=self.age)

    def as_report(self) -> Report:
        """The same report as the service would be given it, with the study context of its header."""
        return Report(id=self.id, text=self.text, context=self.context)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a file a report's raw body begins, so that every complaint can name its line."""

    file: str
    line: int
    body: str

    def wrong(self, offset: int, what: str) -> CorpusError:
        """The error for what stands `offset` characters into the body."""
        return CorpusError(f"{self.file}, line {self.line + self.body.count(chr(10), 0, offset)}: {what}")


def load_corpus(split: Split = "train", folder: Path = CORPUS) -> tuple[MarkedReport, ...]:
    """Read one split of a corpus folder, files in name order. A folder without lists is all train.

    Choices are made on dev, figures taken from held_out; no training sees either. Raises CorpusError: a wrong file, or
    a listed report that is gone or was edited.
    """
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise CorpusError(f"{folder}: no .txt file with marked-up reports; name the folder that holds them")
    reports = [(report, digest) for path in files for report, digest in _read(path)]
    texts = {(r.file, r.index): digest for r, digest in reports}
    listed: dict[Split, frozenset[tuple[str, int]]] = {
        one: _listed(folder / name, texts) for one, name in _LISTS.items()
    }
    both = listed["held_out"] & listed["dev"]
    if both:
        raise CorpusError(f"{DEV}: {min(both)} stands in {HELD_OUT} too; a report is of one split")
    aside = listed["held_out"] | listed["dev"]
    wanted = listed.get(split, frozenset(texts) - aside if split == "train" else frozenset(texts))
    return _not_empty(tuple(r for r, _ in reports if (r.file, r.index) in wanted), split, folder)


def load_listed(split: Literal["dev", "held_out"], folder: Path) -> tuple[MarkedReport, ...]:
    """The reports of a split that a folder may lack; none where it has no list of it. Raises CorpusError."""
    return load_corpus(split, folder) if (folder / _LISTS[split]).exists() else ()


def of_modalities(reports: Iterable[MarkedReport], modalities: Sequence[str]) -> tuple[MarkedReport, ...]:
    """The reports of some modalities. Raises CorpusError for one that is none, and where no report is left."""
    unknown = set(modalities) - set(MODALITIES)
    if unknown:
        raise CorpusError(f"no modality {min(unknown)}: choose of {', '.join(MODALITIES)}")
    chosen = tuple(report for report in reports if report.modality in modalities)
    if not chosen:
        raise CorpusError(f"no report of {' or '.join(modalities)} among those to train on; name another modality")
    return chosen


def read_marked(path: Path) -> tuple[MarkedReport, ...]:
    """Read every report of one marked-up file. Raises CorpusError with file, line and cure."""
    return tuple(report for report, _ in _read(path))


def parse_marked(raw: str, file: str, index: int = 0, line: int = 1) -> MarkedReport:
    """Make a value of one report: header without `### `, then the body. line: the header's. Raises CorpusError."""
    head, _, body = raw.partition("\n")
    modality, body_part, sex, age = _header(head, file, line)
    lead = len(body) - len(body.lstrip())
    place = _Place(file, line + 1 + body.count("\n", 0, lead), body.strip())
    text, mentions = _unmark(place)
    _check_sections(place)
    return MarkedReport(file, index, modality, body_part, sex, age, text, mentions)


def mark_up(report: MarkedReport) -> str:
    """Write a report back in the marked-up form; `parse_marked` of it gives the same values."""
    sign = {certainty: mark for mark, certainty in SIGNS.items()}
    pieces, at = [], 0
    for certainty, span in report.mentions:
        pieces += [report.text[at : span.start], f"[{report.text[span.start : span.end]}]{sign[certainty]}"]
        at = span.end
    age = UNKNOWN if report.age is None else report.age
    head = f"### {report.modality} | {report.body_part} | {report.sex} | {age}\n"
    return head + "".join(pieces) + report.text[at:]


def write_split(reports: Sequence[MarkedReport], splits: Sequence[Split], folder: Path) -> None:
    """Write reports and the lists that say which split each is of; `load_corpus` reads them back."""
    write_marked(reports, folder)
    for split, list_name in _LISTS.items():
        lines = [
            f"{report.file} {report.index} {_digest(mark_up(report))}\n"
            for report, of in zip(reports, splits, strict=True)
            if of == split
        ]
        (folder / list_name).write_text("".join(lines), encoding="utf-8")


def write_marked(reports: Iterable[MarkedReport], folder: Path) -> None:
    """Write reports into the files that they name, in the order given; a file that is there is replaced."""
    bodies: dict[str, list[str]] = {}
    for report in reports:
        bodies.setdefault(report.file, []).append(mark_up(report))
    folder.mkdir(parents=True, exist_ok=True)
    for name, marked in bodies.items():
        (folder / name).write_text("\n\n".join(marked) + "\n", encoding="utf-8")


def may_be_marked(text: str, span: Span) -> bool:
    """Whether a label may stand there: not in a part that is not read, and within a text without brackets."""
    return not any(section.start(1) < span.end and span.start < section.end(1) for section in _UNREAD.finditer(text))


def digests(reports: Iterable[MarkedReport]) -> str:
    """The start of each marked-up report's SHA-256, in order, so that a run can say which it learnt from."""
    return " ".join(hashlib.sha256(mark_up(report).encode()).hexdigest()[:12] for report in reports)


def _read(path: Path) -> Iterator[tuple[MarkedReport, str]]:
    """Each report of a file and the start of its raw text's SHA-256, as the held-out list writes it."""
    try:
        whole = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None
    before, *raws = _REPORT.split(whole)
    if before.strip() or not raws:
        raise CorpusError(f"{path.name}, line 1: text before the first `### ` header; every report begins with one")
    line = 1 + before.count("\n")
    for index, raw in enumerate(raws):
        yield parse_marked(raw, path.name, index, line), _digest(f"### {raw}")
        line += raw.count("\n")


def _digest(marked: str) -> str:
    """The start of the SHA-256 of a report as it stands in its file, without the marks of its header."""
    return hashlib.sha256(marked.removeprefix("### ").strip().encode()).hexdigest()[:16]


def _header(head: str, file: str, line: int) -> tuple[str, str, str, int | None]:
    parts = [part.strip() for part in head.split("|")]
    if len(parts) != 4:
        raise CorpusError(f"{file}, line {line}: a header is `### modality | body part | sex | age`")
    modality, body_part, sex, age = parts
    if modality not in (*MODALITIES, UNKNOWN):
        raise CorpusError(f"{file}, line {line}: modality must be one of {', '.join(MODALITIES)}, or {UNKNOWN}")
    if not body_part or sex not in ("M", "F", "O", UNKNOWN):
        raise CorpusError(f"{file}, line {line}: a header needs a body part and a sex of M, F or O, or {UNKNOWN}")
    if age != UNKNOWN and (not age.isascii() or not age.isdigit() or int(age) > 120):
        raise CorpusError(f"{file}, line {line}: age is in whole years, 0 to 120, or {UNKNOWN}")
    return modality, body_part, sex, None if age == UNKNOWN else int(age)


def _unmark(place: _Place) -> tuple[str, tuple[MarkedMention, ...]]:
    """Take the brackets out; the spans are in the text without them."""
    pieces: list[str] = []
    mentions: list[MarkedMention] = []
    at = length = 0
    for mark in _MARK.finditer(place.body):
        quote, sign = mark[1], mark[2]
        if sign is None:
            raise place.wrong(mark.start(), "a mention without a certainty; put + ~ ? or - right after its bracket")
        if quote != quote.strip() or not re.search(r"[^\W_]", quote):
            raise place.wrong(mark.start(), "an empty mention, or space at its edge; brackets stand right at the words")
        before = _plain(place, at, mark.start())
        start = length + len(before)
        length, at = start + len(quote), mark.end()
        pieces += [before, quote]
        mentions.append(MarkedMention(SIGNS[sign], Span(start, length)))
    text = "".join([*pieces, _plain(place, at, len(place.body))])
    if not text:
        raise place.wrong(0, "a header without a report; write its text or remove the header")
    return text, tuple(mentions)


def _plain(place: _Place, start: int, end: int) -> str:
    piece = place.body[start:end]
    stray = re.search(r"[\[\]]", piece)
    if stray:
        raise place.wrong(
            start + stray.start(), "a stray or nested bracket; brackets only mark mentions and never nest: remove one"
        )
    return piece


def _check_sections(place: _Place) -> None:
    for section in _UNREAD.finditer(place.body):
        mark = _MARK.search(place.body, section.start(1), section.end(1))
        if mark:
            raise place.wrong(
                mark.start(), "a mention in a section that is not read (indication, technique ...); remove its brackets"
            )


def _listed(path: Path, digests: dict[tuple[str, int], str]) -> frozenset[tuple[str, int]]:
    """Names of the reports of a list; each must still be the text that was drawn."""
    if not path.exists():
        return frozenset()
    held = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        file, index, digest = _list_line(line, path.name, number)
        if digests.get((file, index)) != digest:
            raise CorpusError(
                f"{path.name}, line {number}: report {index} of {file} is not the text that was drawn; "
                "restore the file, and add new reports at its end only"
            )
        held.add((file, index))
    return frozenset(held)


def _list_line(line: str, file: str, number: int) -> tuple[str, int, str]:
    parts = line.split()
    if len(parts) != 3 or not parts[1].isdigit():
        raise CorpusError(f"{file}, line {number}: must be a file, a number from 0 and the start of a SHA-256")
    return parts[0], int(parts[1]), parts[2]


def _not_empty(reports: tuple[MarkedReport, ...], split: Split, folder: Path) -> tuple[MarkedReport, ...]:
    if not reports:
        raise CorpusError(
            f"{folder}: no report in the split {split!r}; list some in {HELD_OUT} or {DEV}, or name another folder"
        )
    return reports
