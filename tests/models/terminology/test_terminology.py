"""The shipped tables through their public door."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import TerminologyError
from models.report import StudyContext
from models.terminology import Terminology

SNOMED = "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
DOID = "http://purl.obolibrary.org/obo/doid.owl"
CHEST_CT = StudyContext(modality="CT", body_part="chest")


@pytest.fixture(scope="module")
def terminology() -> Iterator[Terminology]:
    opened = Terminology.open()
    yield opened
    opened.close()


def codes(terminology: Terminology, mention: str, context: StudyContext = CHEST_CT) -> dict[str, str]:
    return {coding.system: coding.code for coding in terminology.code(mention, context)}


def test_a_disease_has_a_code_in_each_system(terminology: Terminology) -> None:
    found = codes(terminology, "pneumonia")
    assert found[ICD] == "J18.9"
    assert found[SNOMED] == "233604007"
    assert found[DOID] == "DOID:552"


@pytest.mark.parametrize(
    ("mention", "code"),
    [
        ("fracture of the left distal radius", "S52.502"),
        ("left distal radius fractures", "S52.502"),
        ("spiculated left upper lobe nodule", "R91.1"),
        ("right pleural effusion", "J90"),
        ("acute appendicitis", "K35.80"),
        ("pulmonary oedema", "J81.0"),
    ],
)
def test_word_order_side_plural_and_spelling_do_not_matter(terminology: Terminology, mention: str, code: str) -> None:
    assert codes(terminology, mention)[ICD].startswith(code[:3])


def test_an_abbreviation_is_read_by_its_study(terminology: Terminology) -> None:
    assert codes(terminology, "PE", CHEST_CT)[ICD] == "I26.99"
    assert ICD not in codes(terminology, "PE", StudyContext())


def test_at_most_one_coding_a_system(terminology: Terminology) -> None:
    systems = [coding.system for coding in terminology.code("acute cholecystitis")]
    assert len(systems) == len(set(systems))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\x1b[31m",
        "x" * 10_000,
        "fracture " * 2000,
        "肺炎",
        "перелом",
        "'; DROP TABLE name; --",
        "%_%",
        "…",
        "\ud800",
    ],
)
def test_text_that_is_no_mention_has_no_codes_and_no_error(terminology: Terminology, text: str) -> None:
    assert terminology.code(text, CHEST_CT) == ()
    assert terminology.site(text) is None


def test_a_place_alone_is_no_condition(terminology: Terminology) -> None:
    assert terminology.code("right upper lobe", CHEST_CT) == ()


def test_the_site_stands_as_the_mention_says_it(terminology: Terminology) -> None:
    text, coding = terminology.site("mass in the right kidney") or ("", None)
    assert text == "right kidney"
    assert coding is not None
    assert (coding.system, coding.code) == (SNOMED, "64033007")


def test_missing_damaged_or_old_tables_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError):
        Terminology.open(tmp_path / "none.sqlite")
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"not a database, just bytes" * 100)
    with pytest.raises(TerminologyError):
        Terminology.open(damaged)


def test_the_tables_agree_with_the_word_data_beside_them(terminology: Terminology) -> None:
    assert terminology.problems() == []


def test_it_opens_in_a_tenth_of_a_second() -> None:
    best = 9.0
    for _ in range(5):
        start = time.perf_counter()
        Terminology.open().close()
        best = min(best, time.perf_counter() - start)
    assert best < 0.1


def test_threads_share_it(terminology: Terminology) -> None:
    expected = terminology.code("hepatic steatosis")
    seen: list[object] = []

    def look() -> None:
        for number in range(50):
            terminology.code(f"hepatic steatosis {number}")
        seen.append(terminology.code("hepatic steatosis"))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 4
