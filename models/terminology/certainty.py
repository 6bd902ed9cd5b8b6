"""Which codings may stand for a finding of a certainty.

ICD-10-CM Official Guidelines for Coding and Reporting, section IV.H (outpatient services, uncertain diagnosis): "Do
not code diagnoses documented as probable, suspected, questionable, rule out, compatible with, consistent with, or
working diagnosis ... Rather, code the condition(s) to the highest degree of certainty for that encounter, such as
symptoms, signs, abnormal test results". So a suspected condition keeps its clinical codes (SNOMED CT and the like,
where certainty stands beside the code) and loses its ICD-10-CM code, unless that code is itself a sign or an abnormal
imaging finding (chapter 18, R00-R99). What is denied has no ICD-10-CM code at all: a claim has no place for "not".
"""

from __future__ import annotations

from models.report import Certainty
from models.terminology.linker import Link


def may_stand(link: Link, certainty: Certainty, rule: str) -> bool:
    """Whether a coding may be written. rule: `outpatient` or `all`, as in `TerminologySettings.icd10cm_uncertain`."""
    if link.system != "icd10cm" or certainty is Certainty.PRESENT or rule == "all":
        return True
    return certainty is not Certainty.ABSENT and link.code.startswith("R")
