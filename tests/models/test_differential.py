from models.differential import group_differential
from models.report import Certainty, DifferentialGroup, Finding, Span
from models.sections import split_sections


def findings(text: str, *marked: tuple[str, Certainty]) -> list[Finding]:
    found, at = [], 0
    for quote, certainty in marked:
        start = text.index(quote, at)
        at = start + len(quote)
        section = next(s.kind for s in split_sections(text) if s.span.start <= start < s.span.end)
        found.append(Finding(certainty, quote, Span(start, at), section, 1.0))
    return found


def groups(text: str, *marked: tuple[str, Certainty]) -> tuple[DifferentialGroup, ...]:
    return group_differential(text, split_sections(text), findings(text, *marked))


def test_candidates_belong_to_the_present_finding_of_their_sentence() -> None:
    text = "FINDINGS: Consolidation, likely pneumonia, less likely tumor."
    marks = [("Consolidation", Certainty.PRESENT), ("pneumonia", Certainty.PROBABLE), ("tumor", Certainty.POSSIBLE)]
    assert groups(text, *marks) == (DifferentialGroup(0, (1, 2)),)


def test_a_semicolon_ends_no_sentence() -> None:
    text = "FINDINGS: Opacities, favouring edema; pneumonitis is possible."
    marks = [("Opacities", Certainty.PRESENT), ("edema", Certainty.PROBABLE), ("pneumonitis", Certainty.POSSIBLE)]
    assert groups(text, *marks) == (DifferentialGroup(0, (1, 2)),)


def test_without_a_present_finding_in_their_sentence_they_belong_to_the_sentence_before() -> None:
    text = "FINDINGS: Nodule and cyst. This may be a metastasis."
    marks = [("Nodule", Certainty.PRESENT), ("cyst", Certainty.PRESENT), ("metastasis", Certainty.POSSIBLE)]
    assert groups(text, *marks) == (DifferentialGroup(1, (2,)),)


def test_two_sentences_back_is_too_far() -> None:
    text = "FINDINGS: Nodule. Clear bases. This may be a metastasis."
    assert groups(text, ("Nodule", Certainty.PRESENT), ("metastasis", Certainty.POSSIBLE)) == (
        DifferentialGroup(None, (1,)),
    )


def test_the_findings_of_one_section_do_not_explain_the_next_section() -> None:
    text = "FINDINGS: Nodule.\nIMPRESSION: Possible metastasis."
    assert groups(text, ("Nodule", Certainty.PRESENT), ("metastasis", Certainty.POSSIBLE)) == (
        DifferentialGroup(None, (1,)),
    )


def test_what_is_denied_is_no_candidate_and_explains_nothing() -> None:
    text = "FINDINGS: No effusion. Possible pneumonia."
    assert groups(text, ("effusion", Certainty.ABSENT), ("pneumonia", Certainty.POSSIBLE)) == (
        DifferentialGroup(None, (1,)),
    )
