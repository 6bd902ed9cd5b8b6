"""Weak labels: a vote over several answers, only what stands in the report, and what made each label beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from models.report import Certainty, Report, SectionKind, Span
from training.corpus import load_corpus, read_marked
from training.endpoint_teacher import EndpointTeacher
from training.errors import LabelsError, TeacherError
from training.weak import PROVENANCE, WeakLabel, label_reports, majority

TEXT = "INDICATION: Mass?\nFINDINGS: Left pleural effusion, likely reactive.\nNo mass.\nIMPRESSION: Effusion."


class House:
    """An OpenAI-compatible endpoint whose answers are known; `busy` times it is busy first."""

    def __init__(self, *answers: str, busy: int = 0) -> None:
        self.app = FastAPI()
        self.asked: list[dict[str, Any]] = []
        self._answers, self._busy = answers, busy
        self.app.post("/v1/chat/completions")(self._answer)

    async def _answer(self, request: Request) -> Any:
        if self._busy:
            self._busy -= 1
            return Response(status_code=503)
        body = await request.json()
        self.asked.append(body)
        content = body["messages"][0]["content"]
        answer = self._answers[body["seed"] % len(self._answers)] if "| findings" in content else ""
        return {"choices": [{"message": {"role": "assistant", "content": answer}}]}


def teacher(url: str, runs: int = 3) -> EndpointTeacher:
    return EndpointTeacher(f"{url}/v1", "tutor", runs, first_wait=0.01)


def test_an_endpoint_is_asked_several_times_and_the_majority_is_kept(listening: Callable[[Any], str]) -> None:
    house = House(
        "present: left pleural  effusion\nabsent: mass",
        "- probable: Left pleural effusion\nabsent: mass\npresent: reactive",
        "present: Left pleural effusion\npresent: pneumothorax\nI hope this helps!",
    )
    asked = teacher(listening(house.app))
    labels = asked.label(Report("r", TEXT))
    assert [(str(x.certainty), TEXT[x.span.start : x.span.end]) for x in labels] == [
        ("present", "Left pleural effusion"),
        ("absent", "mass"),
    ]
    assert [x.rule for x in labels] == ["tutor; 3 of 3 runs", "tutor; 2 of 3 runs"]
    assert asked.dropped == 2
    assert len(house.asked) == 6
    assert all("Mass?" not in body["messages"][0]["content"] for body in house.asked)


def test_a_busy_endpoint_is_asked_again(listening: Callable[[Any], str]) -> None:
    house = House("absent: mass", busy=2)
    assert len(teacher(listening(house.app), runs=1).label(Report("r", TEXT))) == 1


def test_an_endpoint_that_is_none_is_named_without_a_word_of_the_report(listening: Callable[[Any], str]) -> None:
    with pytest.raises(TeacherError, match="HTTP 404") as refused:
        teacher(f"{listening(House('').app)}/elsewhere").label(Report("r", TEXT))
    assert "effusion" not in str(refused.value)


def test_runs_that_disagree_keep_the_least_sure_of_equally_many() -> None:
    def said(certainty: Certainty) -> list[WeakLabel]:
        return [WeakLabel(certainty, Span(3, 7), SectionKind.FINDINGS, "")]

    (kept,) = majority([said(Certainty.PRESENT), said(Certainty.POSSIBLE)], "t")
    assert kept.certainty is Certainty.POSSIBLE
    assert majority([said(Certainty.PRESENT), []], "t") == []


def test_labelled_reports_are_a_corpus_again_with_what_made_each_label(tmp_path: Path) -> None:
    reports = load_corpus("train")[:5]
    counting = _FirstWord()
    count = label_reports(counting, reports, tmp_path)
    again = [report for path in sorted(tmp_path.glob("*.txt")) for report in read_marked(path)]
    assert [report.text for report in again] == [report.text for report in reports]
    assert sum(len(report.mentions) for report in again) == count > 0
    rows = [json.loads(line) for line in (tmp_path / PROVENANCE).read_text().splitlines()]
    assert [row["report"] for row in rows] == [report.id for report in reports]
    assert rows[0]["labels"][0]["rule"] == "first word"


def test_a_stopped_run_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    reports = load_corpus("train")[:5]
    label_reports(_FirstWord(), reports[:3], tmp_path)
    second = _FirstWord()
    label_reports(second, reports, tmp_path)
    assert second.asked == 2
    (tmp_path / PROVENANCE).write_text("{}\n")
    with pytest.raises(LabelsError, match=r"labels\.jsonl, line 1"):
        label_reports(second, reports, tmp_path)


class _FirstWord:
    """Labels the first word of the last line."""

    def __init__(self) -> None:
        self.asked = 0

    def label(self, report: Report) -> list[WeakLabel]:
        self.asked += 1
        start = report.text.rstrip().rfind("\n") + 1
        line = report.text[start:]
        at = start + (line.find(": ") + 2 if ": " in line else 0)
        end = at + len(report.text[at:].split()[0].strip(".,"))
        return [WeakLabel(Certainty.PRESENT, Span(at, end), SectionKind.IMPRESSION, "first word")]
