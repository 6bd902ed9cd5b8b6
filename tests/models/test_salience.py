from models.report import Certainty, DifferentialGroup, Finding, SectionKind, Span
from models.salience import belief, features, is_critical, salience
from models.sections import split_sections

TEXT = """INDICATION: Chest pain, rule out pneumothorax.
FINDINGS: Large left pneumothorax with a 4 cm apical gap. Incidental hepatic cyst. No pleural effusion."""
QUOTES = (
    ("left pneumothorax", Certainty.PRESENT),
    ("hepatic cyst", Certainty.PRESENT),
    ("pleural effusion", Certainty.ABSENT),
)
FINDINGS = [
    Finding(sure, q, Span(TEXT.index(q), TEXT.index(q) + len(q)), SectionKind.FINDINGS, 1.0) for q, sure in QUOTES
]


def critical(quote: str, certainty: Certainty = Certainty.PRESENT) -> bool:
    return is_critical(Finding(certainty, quote, Span(0, len(quote)), SectionKind.FINDINGS, 1.0))


def test_what_threatens_is_more_salient_than_what_is_incidental() -> None:
    pneumothorax, cyst, effusion = salience(TEXT, split_sections(TEXT), FINDINGS, [])
    assert pneumothorax > cyst > effusion


def test_a_condition_is_critical_in_any_order_of_its_words_and_in_the_plural() -> None:
    assert critical("Acute pulmonary emboli of the right lower lobe")
    assert critical("dissection of the aorta") is False
    assert critical("Aortic type A dissection")
    assert critical("hepatic cysts") is False


def test_what_is_denied_or_long_settled_is_not_critical() -> None:
    assert not critical("pneumothorax", Certainty.ABSENT)
    assert not critical("chronic subdural hematoma")


def test_words_of_the_sentence_its_sizes_and_the_question_are_seen() -> None:
    of_pneumothorax, of_cyst, _ = features(TEXT, split_sections(TEXT), FINDINGS, [DifferentialGroup(0, (1,))])
    assert of_pneumothorax["beside grave"] == of_pneumothorax["size 20"] == of_pneumothorax["ground"] == 1.0
    assert of_pneumothorax["asked present"] == 0.5
    assert of_cyst["beside aside"] == of_cyst["offered"] == 1.0
    assert of_cyst["size 0"] == 0.0


def test_a_quote_without_a_telling_word_is_hardly_believed() -> None:
    ovary, cyst = (
        belief(Finding(Certainty.PRESENT, q, Span(0, len(q)), SectionKind.FINDINGS, 0.9))
        for q in ("left ovary", "ovarian cyst")
    )
    assert ovary < 0.6 < cyst


def test_a_number_alone_is_not_believed() -> None:
    assert belief(Finding(Certainty.PRESENT, "12", Span(0, 2), SectionKind.FINDINGS, 1.0)) == 0.0
