"""A teacher that is a language model behind any OpenAI-compatible endpoint in the house: several answers, then a vote.

It answers in `certainty: mention` lines; a mention that does not stand in the report is dropped. No text of a report is
in any error. Knows HTTP and lines; no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

import models
from models.lines import LinesError, parse_lines
from models.prompt import context_line
from models.report import Mention, Report, Section, Span
from models.sections import READ, split_sections
from training.errors import TeacherError
from training.weak import WeakLabel, majority

_TASK = Path(models.__file__).parent / "instructions" / "extraction.txt"
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class EndpointTeacher:
    """Labels reports by asking `POST {url}/chat/completions` `runs` times a section.

    url: as far as `/v1`. transport: for tests. A wait of `seconds` for each answer; four tries while it is busy.
    """

    def __init__(
        self,
        url: str,
        model: str,
        runs: int = 3,
        token: str | None = None,
        seconds: float = 120.0,
        first_wait: float = 1.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(headers=headers, timeout=seconds, transport=transport)
        self._url, self._model, self._runs, self._first_wait = url.rstrip("/"), model, runs, first_wait
        self._task = _TASK.read_text(encoding="utf-8").strip()
        self.dropped = 0
        """Lines that were no label, or whose mention does not stand in the report."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def label(self, report: Report) -> list[WeakLabel]:
        """What more than half of the runs say of each section. Raises TeacherError."""
        return [
            label
            for section in split_sections(report.text)
            if section.kind in READ
            for label in majority([list(self._run(report, section, n)) for n in range(self._runs)], self._model)
        ]

    def _run(self, report: Report, section: Section, number: int) -> Iterator[WeakLabel]:
        head = context_line(report.context, section.kind).strip()
        answer = self._ask(f"{head}\n{report.text[section.span.start : section.span.end]}", number)
        taken = [Span(section.span.start, section.span.start)]
        for mention in self._mentions(answer):
            span = _ground(report.text, mention.quote, section.span, taken)
            if span is None:
                self.dropped += 1
                continue
            taken.append(span)
            yield WeakLabel(mention.certainty, span, section.kind, "")

    def _mentions(self, answer: str) -> Iterator[Mention]:
        for line in answer.splitlines():
            try:
                yield from parse_lines(line.strip(" -*`"))
            except LinesError:
                self.dropped += 1

    def _ask(self, content: str, number: int) -> str:
        """One answer; each run has its own seed, and warmth enough to differ."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": f"{self._task}\n\n{content}"}],
            "temperature": 0.7 if self._runs > 1 else 0.0,
            "seed": number,
        }
        tries = Retrying(
            stop=stop_after_attempt(4),
            wait=wait_exponential(multiplier=self._first_wait),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            answer = tries(self._post, body)
            return str(answer["choices"][0]["message"]["content"])
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise TeacherError(f"the teacher refused with HTTP {status}: check URL, model and token") from None
        except httpx.HTTPError as error:
            raise TeacherError(f"the teacher cannot be reached ({type(error).__name__}): check its URL") from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise TeacherError("the teacher's answer is no chat completion: give the URL as far as /v1") from None

    def _post(self, body: dict[str, Any]) -> Any:
        return self._client.post(f"{self._url}/chat/completions", json=body).raise_for_status().json()


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)


def _ground(text: str, quote: str, within: Span, taken: Sequence[Span]) -> Span | None:
    """The quote's first place as whole words after the mention before it, else its first one that is free.

    White space and letter case may differ.
    """
    words = r"\s+".join(map(re.escape, quote.split()))
    pattern = re.compile(rf"(?<![^\W_]){words}(?![^\W_])", re.IGNORECASE)
    for start in (taken[-1].end, within.start):
        for match in pattern.finditer(text, start, within.end):
            if not any(span.start < match.end() and match.start() < span.end for span in taken):
                return Span(*match.span())
    return None
