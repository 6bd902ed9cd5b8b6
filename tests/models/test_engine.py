import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.copy_bytes import CopyBytes, Pieces
from models.engine import Engine, Tuning
from models.errors import DeadlineExceeded, ModelNotFound, ModelUnusable, PromptTooLong
from models.settings import SHIPPED_MODEL
from tests.models.conftest import Greedy


def test_a_missing_model_is_named_with_the_setting_that_cures_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="GAMUT_MODEL"):
        Engine(tmp_path / "none.gguf")


def test_a_truncated_model_is_refused_before_any_work(tmp_path: Path, foreign_model: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(foreign_model.read_bytes()[: foreign_model.stat().st_size // 2])
    with pytest.raises(ModelUnusable, match=r"broken\.gguf"):
        Engine(broken)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ModelUnusable):
        Engine(tmp_path / "text.gguf")


def test_a_prompt_longer_than_the_context_is_refused_and_the_engine_goes_on(foreign_model: Path) -> None:
    engine = Engine(foreign_model)
    with pytest.raises(PromptTooLong, match="5000 tokens"):
        engine.write([5] * 5000, Greedy(1))
    assert len(engine.write([5] * 50, Greedy(3))) == 3
    engine.close()


def test_a_deadline_stops_the_writing_and_the_engine_goes_on(foreign_model: Path) -> None:
    engine = Engine(foreign_model)
    with pytest.raises(DeadlineExceeded):
        engine.write([5] * 3000, Greedy(1000), deadline=time.monotonic())
    assert len(engine.write([5, 6], Greedy(3), deadline=time.monotonic() + 60)) == 3
    engine.close()


def test_the_same_prompt_gives_the_same_answer_whatever_is_read_beside_it() -> None:
    engine = Engine(SHIPPED_MODEL, Tuning(contexts=2))
    prompts = [engine.tokenize(f" left pleural effusion number {n} is unchanged.") for n in range(12)]

    def answer(prompt: list[int]) -> list[int]:
        wanted = Greedy(12)
        engine.write(prompt, wanted)
        return wanted.tokens

    alone = [answer(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answer, prompts)) == alone
    engine.close()


def test_the_pieces_of_a_text_make_the_text_again() -> None:
    engine = Engine(SHIPPED_MODEL)
    text = " 3.2 cm, T2-hyperintense; SUVmax 4.5 – “Größe” \n ≥ 5 µm"
    assert b"".join(engine.pieces[token] for token in engine.tokenize(text)) == text.encode()
    engine.close()


def test_a_foreign_vocabulary_can_only_quote_the_report(foreign_model: Path) -> None:
    engine = Engine(foreign_model)
    text = " The left kidney holds a cyst. No stone."
    constraint = CopyBytes(text, Pieces(engine.pieces, engine.ends))
    engine.write(engine.tokenize("Report:" + text, begin=True), constraint)
    assert all(text[q.start : q.end] in text for q in constraint.quotes)
    engine.close()
