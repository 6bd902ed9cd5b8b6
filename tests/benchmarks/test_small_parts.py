"""The engine's small parts, timed by `make bench`; `make test` runs each once, without a clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from models.batch import Prompt
from models.constraint import Constraint, Logits
from models.copy_bytes import CopyBytes, Pieces
from models.cues import lowered
from models.engine import Engine, Tuning
from models.forms import form_for
from models.prompt import write_window
from models.reading import readings
from models.report import Certainty, Report, Span
from models.sections import split_sections
from models.settings import SHIPPED_MODEL
from models.terminology import Terminology

TEXT = (
    "FINDINGS: Small left pleural effusion with adjacent compressive atelectasis, slightly larger than before. "
    "No pneumothorax, consolidation or pulmonary oedema. A 6 mm nodule in the right upper lobe is unchanged; it may "
    "represent a granuloma or, less likely, a metastasis. Heart size normal.\nIMPRESSION: Left effusion, larger."
)
LOGITS = np.random.default_rng(0).normal(size=4096).astype(np.float32)


class First(Constraint):
    """Ends at once: what is timed is the decode of the prompt and all around it."""

    def choose(self, logits: Logits) -> int | None:
        return None


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(SHIPPED_MODEL, Tuning(contexts=1, threads=1))
    yield engine
    engine.close()


def test_a_report_becomes_windows_and_prompts(benchmark: BenchmarkFixture, engine: Engine) -> None:
    form = form_for(engine)
    made = benchmark(lambda: readings(form, Report("1", TEXT), split_sections(TEXT)))
    assert sum(len(reading.windows) for reading in made) > 3


def test_a_window_is_written_under_the_constraint_over_tokens(benchmark: BenchmarkFixture, engine: Engine) -> None:
    form, window = form_for(engine), write_window(TEXT, 0, 105)

    def write() -> int:
        constraint, written = form.extraction(" CT | chest | ? | findings\n", window)[1], 0
        while written < 40 and constraint.choose(LOGITS) is not None:
            written += 1
        return written

    assert benchmark(write) > 0


def test_a_window_is_written_under_the_constraint_over_bytes(benchmark: BenchmarkFixture, engine: Engine) -> None:
    pieces = Pieces(engine.pieces, engine.ends)

    def write() -> int:
        constraint, written = CopyBytes(TEXT[:105], pieces), 0
        while written < 40 and constraint.choose(LOGITS) is not None:
            written += 1
        return written

    assert benchmark(write) > 0


def test_sixteen_prompts_are_decoded(benchmark: BenchmarkFixture, engine: Engine) -> None:
    prompts = [Prompt(list(range(20 + n, 60 + n))) for n in range(16)]
    assert benchmark(lambda: engine.write_all([(p, First()) for p in prompts])) == [[]] * 16


def test_a_certainty_is_lowered_by_cues(benchmark: BenchmarkFixture) -> None:
    at = TEXT.index("granuloma")
    sentence, span = Span(TEXT.index("A 6 mm"), TEXT.index(" Heart")), Span(at, at + len("granuloma"))
    assert benchmark(lambda: lowered(TEXT, sentence, span, Certainty.PRESENT)) is Certainty.POSSIBLE


def test_a_finding_is_coded(benchmark: BenchmarkFixture) -> None:
    terminology, context = Terminology.open(), Report("1", "x").context
    found = benchmark(lambda: terminology.code("small left pleural effusion", context, Certainty.PRESENT))
    assert found
    terminology.close()
