from pathlib import Path

import pytest

from models.engine import Engine
from models.errors import ModelUnusable
from models.forms import ChatForm, OwnForm, form_for
from models.prompt import write_window
from models.settings import SHIPPED_MODEL


def test_the_shipped_model_is_asked_in_the_form_it_was_trained_on() -> None:
    engine = Engine(SHIPPED_MODEL)
    form = form_for(engine)
    assert isinstance(form, OwnForm)
    text = "Small left effusion."
    prompt, _ = form.extraction(" CT | chest | ? | findings\n", write_window(text, 0, len(text)))
    said = b"".join(engine.pieces[token] for token in prompt.tokens).decode()
    assert said == "<report> CT | chest | ? | findings\n Small left effusion.<labels>"
    engine.close()


def test_another_model_is_asked_in_its_chat_template(foreign_model: Path) -> None:
    engine = Engine(foreign_model)
    form = form_for(engine)
    assert isinstance(form, ChatForm)
    prompt, _ = form.extraction(" CT | chest | ? | findings\n", write_window("Cyst.", 0, 5))
    said = b"".join(engine.pieces[token] for token in prompt.tokens).decode()
    assert said.index("<|im_start|>") < said.index("You read one part") < said.index("Cyst.") < said.index("<|im_end|>")
    assert said.rstrip().endswith("assistant")
    engine.close()


def test_a_foreign_model_without_a_chat_template_is_refused_with_the_cure(plain_model: Path) -> None:
    engine = Engine(plain_model)
    with pytest.raises(ModelUnusable, match="instruction-tuned"):
        form_for(engine)
    engine.close()
