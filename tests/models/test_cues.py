import pytest

from models.cues import is_general, lowered, names_something
from models.report import Certainty, Span

PRESENT, PROBABLE, POSSIBLE, ABSENT = Certainty


def read(text: str, quote: str, certainty: Certainty = PRESENT) -> Certainty:
    start = text.index(quote)
    return lowered(text, Span(0, len(text)), Span(start, start + len(quote)), certainty)


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("No pneumothorax.", "pneumothorax"),
        ("No effusion, consolidation, or large pneumothorax.", "pneumothorax"),
        ("There is no evidence of acute fracture.", "acute fracture"),
        ("The appendix is normal without abscess.", "abscess"),
        ("A fracture is not seen.", "fracture"),
        ("The effusion has resolved.", "effusion"),
        ("Resolved effusion.", "effusion"),
        ("There is not a fracture.", "fracture"),
        ("No large pleural effusion.", "pleural effusion"),
        ("Pneumothorax: None.", "Pneumothorax"),
        ("Pleural effusion: Absent", "Pleural effusion"),
        ("Consolidation: No.", "Consolidation"),
        ("Neither effusion nor pneumothorax.", "effusion"),
        ("Neither effusion nor pneumothorax.", "pneumothorax"),
        ("Pulmonary embolism has been excluded.", "Pulmonary embolism"),
        ("The nodule is no longer seen.", "nodule"),
        ("No consolidation to suggest pneumonia.", "pneumonia"),
        ("Findings are not consistent with pneumonia.", "pneumonia"),
    ],
)
def test_what_the_report_denies_is_never_said_to_be_there(text: str, quote: str) -> None:
    assert read(text, quote) is ABSENT


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("No change in the left pleural effusion.", "left pleural effusion"),
        ("No effusion but a small pneumothorax.", "pneumothorax"),
        ("Fracture without displacement, joint effusion.", "joint effusion"),
        ("No pneumothorax. Effusion is seen.", "Effusion"),
        ("No effusion, large pneumothorax.", "pneumothorax"),
        ("Nodule is likely a granuloma.", "Nodule"),
        ("Non-displaced fracture.", "displaced fracture"),
        ("No effusion, and a large pneumothorax is seen.", "pneumothorax"),
        ("No worsening of the subdural hematoma.", "subdural hematoma"),
        ("No resolution of the pneumothorax.", "pneumothorax"),
        ("No other fracture than that of the left hip.", "left hip"),
        ("Fracture: no effusion.", "Fracture"),
    ],
)
def test_a_denial_of_something_else_lowers_nothing(text: str, quote: str) -> None:
    assert read(text, quote) is PRESENT


@pytest.mark.parametrize(
    ("text", "quote", "certainty"),
    [
        ("Nodule, likely a granuloma.", "granuloma", PROBABLE),
        ("Opacity, suspicious for early pneumonia.", "pneumonia", PROBABLE),
        ("This may represent a metastasis.", "metastasis", POSSIBLE),
        ("Malignancy cannot be excluded.", "Malignancy", POSSIBLE),
        ("Appearance suggests pneumonia.", "pneumonia", PROBABLE),
        ("Worrisome for malignancy.", "malignancy", PROBABLE),
        ("CT to rule out fracture.", "fracture", POSSIBLE),
        ("Rule out fracture.", "fracture", POSSIBLE),
    ],
)
def test_what_the_report_suspects_is_no_more_than_suspected(text: str, quote: str, certainty: Certainty) -> None:
    assert read(text, quote) is certainty


@pytest.mark.parametrize("certainty", [PROBABLE, POSSIBLE, ABSENT])
def test_a_certainty_is_never_raised(certainty: Certainty) -> None:
    assert read("Likely a granuloma.", "granuloma", certainty) is certainty


@pytest.mark.parametrize("quote", ["Negative", "resolved", "left", "No", "3 cm", "acute"])
def test_cue_words_alone_name_no_condition(quote: str) -> None:
    assert not names_something(quote)


@pytest.mark.parametrize("quote", ["acute cardiopulmonary disease", "active disease", "acute osseous abnormality"])
def test_disease_as_such_is_no_condition_to_deny(quote: str) -> None:
    assert is_general(quote)
    assert not is_general("pleural disease")


def test_a_condition_is_named_with_or_without_its_side() -> None:
    assert names_something("left cyst")
    assert names_something("PE")


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("This may be a cyst, abscess or necrotic tumour.", "necrotic tumour"),
        ("Differential includes lymphoma, sarcoid and tuberculosis.", "tuberculosis"),
        ("MRI for occult fracture or osteonecrosis.", "osteonecrosis"),
        ("Lymphoma, sarcoid and tuberculosis are less likely.", "Lymphoma"),
        ("Abscess or haematoma cannot be excluded.", "Abscess"),
        ("Pneumonia or aspiration.", "Pneumonia"),
        ("Necrotizing fasciitis would show more gas.", "Necrotizing fasciitis"),
        ("Cyst rather than abscess.", "abscess"),
    ],
)
def test_every_member_of_a_list_of_candidates_is_only_possible(text: str, quote: str) -> None:
    assert read(text, quote) is POSSIBLE


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("Thickened wall and narrowed lumen, and the valve cannot be told apart.", "narrowed lumen"),
        ("This may be a cyst, and the effusion has grown.", "effusion"),
        ("Cyst with an abscess, which may be old.", "abscess"),
    ],
)
def test_a_hedge_of_something_else_lowers_nothing(text: str, quote: str) -> None:
    assert read(text, quote) is PRESENT
