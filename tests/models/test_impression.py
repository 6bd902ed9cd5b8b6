from dataclasses import replace

from models.differential import group_differential
from models.impression import choose, draft_impression
from models.report import Certainty, DifferentialGroup, Finding, SectionKind, Span
from models.sections import split_sections
from training.corpus import load_corpus
from training.impressions import marked_findings


def finding(quote: str, certainty: Certainty) -> Finding:
    return Finding(certainty, quote, Span(0, len(quote)), SectionKind.FINDINGS, 1.0)


def read(text: str, *quotes: tuple[str, Certainty]) -> list[Finding]:
    """The first places of these quotes in a report, as findings of the section that they stand in."""
    sections = split_sections(text)
    found = []
    for quote, certainty in quotes:
        span = Span(text.index(quote), text.index(quote) + len(quote))
        kind = next(s.kind for s in sections if s.span.start <= span.start < s.span.end)
        found.append(Finding(certainty, quote, span, kind, 1.0))
    return found


def drafted(text: str, *quotes: tuple[str, Certainty]) -> str:
    draft = draft_impression(text, split_sections(text), read(text, *quotes), [])
    return draft.text if draft else ""


def test_a_statement_is_the_sentence_as_it_stands_with_its_size_side_and_candidates() -> None:
    text = "FINDINGS: A 12 mm nodule in the left upper lobe, new, probably carcinoma;\ngranuloma is unlikely. No more."
    quotes = ("nodule in the left upper lobe", Certainty.PRESENT), ("carcinoma", Certainty.PROBABLE)
    assert drafted(text, *quotes, ("granuloma", Certainty.POSSIBLE)) == (
        "1. A 12 mm nodule in the left upper lobe, new, probably carcinoma; granuloma is unlikely."
    )


def test_a_sentence_that_leans_on_the_one_before_brings_it_along() -> None:
    text = "FINDINGS: There is a cystic structure in the left adnexa. It most likely is an endometrioma. Uterus normal."
    quotes = (("endometrioma", Certainty.PROBABLE),)
    assert drafted(text, *quotes) == (
        "1. There is a cystic structure in the left adnexa. It most likely is an endometrioma."
    )


def test_a_candidate_brings_the_sentence_of_what_it_may_explain() -> None:
    text = "FINDINGS: Consolidation of the right lower lobe. Pneumonia is likely."
    findings = read(text, ("Consolidation", Certainty.PRESENT), ("Pneumonia", Certainty.PROBABLE))
    draft = draft_impression(text, split_sections(text), findings, [DifferentialGroup(0, (1,))])
    assert draft is not None
    assert draft.statements == ("Consolidation of the right lower lobe. Pneumonia is likely.",)
    assert draft.evidence == ((0, 1),)


def test_a_sentence_keeps_the_organ_under_which_it_stands() -> None:
    text = "FINDINGS:\nLiver: Normal in size. A mass is seen.\nKidneys: No stone."
    assert drafted(text, ("mass", Certainty.PRESENT)) == "1. Liver: A mass is seen."


def test_a_heading_amid_a_line_holds_for_its_own_sentence_alone() -> None:
    text = "FINDINGS: Left: Retention cyst. Mass in the right maxillary sinus. Bone: Intact. No fluid."
    assert drafted(text, ("Mass in the right maxillary sinus", Certainty.PRESENT)) == (
        "1. Mass in the right maxillary sinus."
    )


def test_a_side_that_is_said_once_for_several_sentences_is_not_lost() -> None:
    text = "FINDINGS: Right: Normal. Left: Patent endarterectomy. Restenosis of 60 %."
    assert drafted(text, ("Restenosis", Certainty.PRESENT)) == "1. Left: Patent endarterectomy. Restenosis of 60 %."
    text = "FINDINGS: Left: Normal. Mass of the right kidney."
    assert drafted(text, ("Mass of the right kidney", Certainty.PRESENT)) == "1. Mass of the right kidney."


def test_a_sentence_that_is_none_of_the_findings_is_not_quoted() -> None:
    text = "Lumbar spine. Indication is pain, to exclude cauda equina syndrome. L4-5: Disc extrusion."
    quotes = ("cauda equina syndrome", Certainty.POSSIBLE), ("Disc extrusion", Certainty.PRESENT)
    assert drafted(text, *quotes) == "1. L4-5: Disc extrusion."


def test_a_sentence_does_not_end_with_an_abbreviation() -> None:
    text = "FINDINGS: Tillaux fracture, i.e. Salter-Harris III fracture of the distal tibia."
    assert drafted(text, ("Tillaux fracture", Certainty.PRESENT)) == (
        "1. Tillaux fracture, i.e. Salter-Harris III fracture of the distal tibia."
    )


def test_a_sentence_about_the_same_place_brings_the_one_that_names_it() -> None:
    text = (
        "FINDINGS: There is restricted diffusion of the left insula. FLAIR is bright in the same area, acute infarct."
    )
    assert drafted(text, ("acute infarct", Certainty.PRESENT)) == (
        "1. There is restricted diffusion of the left insula. FLAIR is bright in the same area, acute infarct."
    )


def test_a_denial_that_a_line_end_cuts_is_quoted_with_its_no() -> None:
    text = "FINDINGS: The lungs are clear on both sides and there is no\nPneumothorax or effusion to be seen."
    assert drafted(text, ("Pneumothorax", Certainty.ABSENT)) == (
        "1. The lungs are clear on both sides and there is no Pneumothorax or effusion to be seen."
    )


def test_denials_come_last() -> None:
    text = "INDICATION: Pneumothorax?\nFINDINGS: No pneumothorax. Acute rib fracture."
    assert drafted(text, ("pneumothorax", Certainty.ABSENT), ("Acute rib fracture", Certainty.PRESENT)) == (
        "1. Acute rib fracture.\n2. No pneumothorax."
    )


def test_a_sentence_is_quoted_once_for_all_that_it_names() -> None:
    text = "FINDINGS: Acute appendicitis with appendicolith."
    assert drafted(text, ("Acute appendicitis", Certainty.PRESENT), ("appendicolith", Certainty.PRESENT)) == (
        "1. Acute appendicitis with appendicolith."
    )


def test_nothing_read_is_no_draft() -> None:
    assert drafted("FINDINGS: The heart is normal.") == ""


def test_every_statement_stands_word_for_word_in_the_findings() -> None:
    for report in load_corpus("dev"):
        findings = marked_findings(report)
        sections = split_sections(report.text)
        draft = draft_impression(report.text, sections, findings, group_differential(report.text, sections, findings))
        parts = " ".join(" ".join(report.text[s.span.start : s.span.end] for s in sections).split()).casefold()
        for statement in draft.statements if draft else ():
            label, _, rest = statement.partition(": ")
            words = statement.removesuffix(".").casefold()
            assert words in parts or (label.casefold() in parts and rest.removesuffix(".").casefold() in parts)


def test_the_radiologists_impression_is_no_source_of_a_draft() -> None:
    text = "FINDINGS: Left renal cyst.\nIMPRESSION: Appendicitis."
    assert drafted(text, ("Left renal cyst", Certainty.PRESENT), ("Appendicitis", Certainty.PRESENT)) == (
        "1. Left renal cyst."
    )


def test_what_the_report_takes_back_later_is_not_drafted() -> None:
    text = "FINDINGS: Fracture of the rib.\nADDENDUM: No rib fracture."
    assert drafted(text, ("Fracture of the rib", Certainty.PRESENT), ("rib fracture", Certainty.ABSENT)) != ""
    text = "FINDINGS: Acute rib fracture.\nADDENDUM: No acute rib fracture."
    quotes = ("Acute rib fracture", Certainty.PRESENT), ("acute rib fracture", Certainty.ABSENT)
    assert drafted(text, *quotes) == ""


def test_a_critical_finding_is_named_however_little_salience_it_has() -> None:
    findings = [
        finding(quote, Certainty.PRESENT) for quote in ("hepatic cyst", "small right pneumothorax", "renal cyst")
    ]
    assert choose(findings, [0.9, 0.0, 0.0]) == (0, 1)


def test_of_two_findings_that_say_the_same_the_one_in_more_words_is_named() -> None:
    findings = [finding(quote, Certainty.PRESENT) for quote in ("cysts", "hepatic cysts")]
    assert choose(findings, [0.9, 0.8]) == (1,)


def test_a_side_is_never_merged_into_the_other_one() -> None:
    findings = [finding(quote, Certainty.PRESENT) for quote in ("left renal cyst", "right renal cyst")]
    assert choose(findings, [0.9, 0.8]) == (0, 1)


def test_something_is_named_where_nothing_is_salient() -> None:
    assert choose([finding("renal cyst", Certainty.PRESENT)], [0.0]) == (0,)


def test_what_another_finding_denies_is_struck_and_told() -> None:
    text = "FINDINGS: Pulmonary embolism. Hepatic cyst. The pulmonary arteries show no pulmonary embolism."
    findings = read(text, ("Pulmonary embolism", Certainty.PRESENT), ("Hepatic cyst", Certainty.PRESENT))
    findings += read(text, ("pulmonary embolism", Certainty.ABSENT))
    sections = split_sections(text)
    draft = draft_impression(text, sections, findings[:2], [])
    assert draft is not None
    assert "embolism" in draft.text
    assert draft.struck == ()
    draft = draft_impression(text, sections, findings, [])
    assert draft is not None
    assert "embolism" not in draft.text
    assert draft.struck == ("contradiction",)
    assert draft_impression(text, sections, findings, [], "withhold") is None


def test_less_belief_is_enough_for_a_critical_finding() -> None:
    text = "FINDINGS: Acute appendicitis. Hepatic cyst."
    quotes = ("Acute appendicitis", Certainty.PRESENT), ("Hepatic cyst", Certainty.PRESENT)
    doubtful = [replace(f, confidence=0.45) for f in read(text, *quotes)]
    draft = draft_impression(text, split_sections(text), doubtful, [])
    assert draft is not None
    assert draft.statements == ("Acute appendicitis.",)
