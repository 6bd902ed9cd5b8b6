"""Readers of the open sources, each to the same plain concepts; runs when the tables are built, never in service.

Knows the files' formats and their quirks; decides nothing of how names are matched.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sources"
SNOMED, ICD10CM, DOID, NCIT = "sct", "icd10cm", "doid", "ncit"
MONDO, OIDM, GAMUTS, RADELEMENT, RADLEX, DICOM = "mondo", "oidm", "gamuts", "radelement", "radlex", "dcm"
_STAGED = re.compile(
    r"\b(stage|ajcc|recurrent|refractory|relapsed|tnm|t\d[a-c]?|n\d|m\d|grade|ctcae|regimen|figo|gleason|pretext)\b",
    re.I,
)
_NO_SITE = re.compile(
    r"effusion|thrombus|tumor|sclerosis|ascit|fluid$|metasta|baffle|phantom|secondary|\bgraft|shunt", re.I
)  # conditions and devices among the anatomy
_ANATOMY_CIDS = (
    *(
        2,
        4,
        3014,
        3015,
        3604,
        3630,
        3829,
        3839,
        3840,
        4009,
        4028,
        4030,
        4031,
        4040,
        4042,
        4209,
        6109,
        6116,
        6117,
        6149,
        6170,
        6171,
    ),
    *(
        6300,
        7192,
        7304,
        7600,
        7601,
        7602,
        8134,
        10001,
        12022,
        12023,
        12104,
        12107,
        12108,
        12109,
        12110,
        12111,
        12112,
        12113,
        12114,
    ),
)
_FINDING_CIDS = (
    3700,
    3711,
    3728,
    3777,
    4405,
    6030,
    6054,
    6056,
    6072,
    6103,
    6104,
    6105,
    6106,
    6201,
    6336,
    7194,
    3491,
    6148,
    4051,
    3113,
    3116,
    3703,
    3810,
    12248,
    12249,
)


@dataclass(slots=True)
class Concept:
    """A thing with names and codes. codes: system to codes, best first; related: names that are not quite synonyms."""

    name: str
    codes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    synonyms: list[str] = field(default_factory=list)
    related: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)  # keys of other concepts

    def add(self, system: str, code: str) -> None:
        """A further code, once."""
        if code not in self.codes[system]:
            self.codes[system].append(code)


def read_diseases() -> dict[str, Concept]:
    """Disease Ontology (names of 2026, synonyms of 2018), joined with Mondo and NCIt by declared exact matches."""
    concepts: dict[str, Concept] = {}
    by_label: dict[str, str] = {}
    parent_labels: dict[str, list[str]] = defaultdict(list)
    for doid, label, parent in _rows("HumanDO.tsv.gz"):
        concept = concepts.setdefault(doid, Concept(label))
        concept.add(DOID, doid)
        by_label[label] = doid
        parent_labels[doid].append(parent)
    for doid, labels in parent_labels.items():
        concepts[doid].parents = [by_label[label] for label in labels if label in by_label]
    _add_xrefs(concepts)
    _add_old_synonyms(concepts)
    _add_mondo(concepts)
    _add_ncit(concepts)
    return {key: concept for key, concept in concepts.items() if not concept.name.casefold().startswith("obsolete")}


def _rows(name: str) -> Iterator[list[str]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as lines:
        reader = csv.reader(lines, delimiter="\t")
        next(reader)
        yield from (row for row in reader if len(row) == 3)


def _add_xrefs(concepts: dict[str, Concept]) -> None:
    for doid, _, xref in _rows("allXREFinDO.tsv.gz"):
        system, _, code = xref.partition(":")
        kind = {"SN": SNOMED, "IC": ICD10CM, "NC": NCIT}.get(system[:2])
        if doid in concepts and kind and (kind != ICD10CM or system == "ICD10CM"):
            concepts[doid].add(kind, code)


def _graph(name: str) -> Any:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as text:
        return json.load(text)["graphs"][0]


def _add_old_synonyms(concepts: dict[str, Concept]) -> None:
    for node in _graph("doid-2018-07-05.json.gz")["nodes"]:
        doid = node["id"].rpartition("/")[2].replace("_", ":")
        if doid in concepts:
            for synonym in node.get("meta", {}).get("synonyms", []):
                exact = synonym["pred"] == "hasExactSynonym"
                name = re.sub(r"\s*\((disorder|finding|morphologic abnormality|disease)\)$", "", synonym["val"])
                (concepts[doid].synonyms if exact else concepts[doid].related).append(name)


def _sssom(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as lines:
        yield from csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")


def _add_mondo(concepts: dict[str, Concept]) -> None:
    """Mondo's own curated exact matches go before Disease Ontology's cross-references, which are looser."""
    at: dict[str, Concept] = {}
    for row in _sssom("mondo_exactmatch_doid.sssom.tsv.gz"):
        if row["object_id"] in concepts:
            at[row["subject_id"]] = concepts[row["object_id"]]
            at[row["subject_id"]].synonyms.append(row["subject_label"])
            at[row["subject_id"]].add(MONDO, row["subject_id"])
    for name, system in (("sctid", SNOMED), ("icd10cm", ICD10CM), ("ncit", NCIT)):
        for row in _sssom(f"mondo_exactmatch_{name}.sssom.tsv.gz"):
            mondo = row["subject_id"]
            concept = at.get(mondo)
            if concept is None:
                concept = at[mondo] = concepts[mondo] = Concept(row["subject_label"])
                concept.add(MONDO, mondo)
            code = row["object_id"].partition(":")[2]
            concept.codes[system] = [code]


def _add_ncit(concepts: dict[str, Concept]) -> None:
    """NCIt's disorders and findings; a concept that Mondo or DO says is the same one only lends its names."""
    graph = _graph("ncit-disease-2018-06-08.json.gz")
    parents: dict[str, list[str]] = defaultdict(list)
    for edge in graph["edges"]:
        if edge["pred"] == "is_a":
            parents[_ncit(edge["sub"])].append(_ncit(edge["obj"]))
    known = {concept.codes[NCIT][0]: concept for concept in concepts.values() if concept.codes.get(NCIT)}
    for node in graph["nodes"]:
        code, label = _ncit(node["id"]), node.get("lbl") or ""
        if not label or _STAGED.search(label) or "C7057" not in _ancestors(code, parents):
            continue
        concept = known.get(code) or concepts.setdefault(f"NCIT:{code}", Concept(label))
        concept.add(NCIT, code)
        concept.synonyms += [label, *(s["val"] for s in node.get("meta", {}).get("synonyms", []))]
        if code not in known:
            concept.parents = [f"NCIT:{parent}" for parent in parents[code]]


def _ncit(iri: str) -> str:
    return iri.rpartition("NCIT_")[2]


def _ancestors(code: str, parents: dict[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [code]
    while todo:
        todo += [p for p in parents[todo.pop()] if p not in seen and not seen.add(p)]  # type: ignore[func-returns-value]
    return seen


def read_findings() -> dict[str, Concept]:
    """Open Imaging Data Model: imaging findings and diagnoses with Radiology Gamuts and RadElement ids."""
    systems = {"GAMUTS": GAMUTS, "RADELEMENT": RADELEMENT, "RADLEX": RADLEX, "SNOMEDCT": SNOMED}
    concepts = {}
    with gzip.open(FOLDER / "oidm_finding_models.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            concept = concepts[row["oifm_id"]] = Concept(row["name"], synonyms=row["synonyms"] or [])
            concept.add(OIDM, row["oifm_id"])
            for index in row["index_codes"] or []:
                if index["system"] in (GAMUTS.upper(), RADELEMENT.upper()):  # others name the organ, not the finding
                    concept.add(systems[index["system"]], index["code"])
    return concepts


def read_icd() -> dict[str, Concept]:
    """ICD-10-CM's tabular list without external causes and without encounter extensions (seventh characters)."""
    import simple_icd_10_cm as icd  # build time only

    concepts = {}
    for code in icd.get_all_codes(True):
        if not icd.is_category_or_subcategory(code) or code[0] in "VWXYU" or icd.is_extended_subcategory(code):
            continue
        plain = code.rstrip("X") if "." in code and code.endswith("X") else code
        concept = concepts[f"ICD:{code}"] = Concept(icd.get_description(code))
        concept.add(ICD10CM, plain)
        concept.synonyms = list(icd.get_inclusion_term(code))
        concept.parents = [f"ICD:{icd.get_parent(code)}"]
    return concepts


def read_dicom() -> tuple[dict[str, Concept], dict[str, Concept]]:
    """SNOMED CT concepts that DICOM uses: body sites and findings, by context group."""
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts as meanings

    snomed: dict[str, dict[str, tuple[str, list[int]]]] = meanings["SCT"]  # type: ignore[assignment]

    def group(cids: tuple[int, ...]) -> dict[str, Concept]:
        out: dict[str, Concept] = {}
        for cid in cids:
            for keyword in cid_concepts.get(cid, {}).get("SCT", ()):
                for code, (meaning, used) in snomed.get(keyword, {}).items():
                    if cid in used:
                        concept = out.setdefault(f"SCT:{code}", Concept(str(meaning)))
                        concept.add(SNOMED, str(code))
                        concept.synonyms = sorted({*concept.synonyms, concept.name, str(meaning)}, key=len)
                        concept.name = concept.synonyms[0]
        return out

    sites = {
        key: concept for key, concept in group(_ANATOMY_CIDS).items() if not any(map(_NO_SITE.search, concept.synonyms))
    }
    found = {
        key: concept
        for key, concept in group(_FINDING_CIDS).items()
        if key not in sites and not concept.name.startswith("Normal")
    }
    return sites, found
