"""A FHIR terminology server as another source, played by a loopback server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models.report import Certainty, Coding, StudyContext
from models.terminology import Terminology
from models.terminology.settings import TerminologySettings

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
CHEST = StudyContext(modality="CT", body_part="chest")
UNKNOWN_HERE = "zebra stripe artefactoid"


class Server:
    """What the server answers, and all it was sent."""

    def __init__(self) -> None:
        self.matches: list[tuple[str, str, str]] = [("equivalent", "http://hospital.example/codes", "Z1")]
        self.known, self.status, self.asked = True, 200, list[tuple[str, str]]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.asked.append((self.path, body))
                answer = json.dumps(outer.answer(self.path)).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/fhir"

    def answer(self, path: str) -> dict[str, Any]:
        if path.endswith("$validate-code"):
            return {"resourceType": "Parameters", "parameter": [{"name": "result", "valueBoolean": self.known}]}
        parts = [
            {
                "name": "match",
                "part": [
                    {"name": "equivalence", "valueCode": equivalence},
                    {"name": "concept", "valueCoding": {"system": system, "code": code, "display": "Zebra"}},
                ],
            }
            for equivalence, system, code in self.matches
        ]
        return {"resourceType": "Parameters", "parameter": [{"name": "result", "valueBoolean": bool(parts)}, *parts]}


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.http.shutdown()
    started.http.server_close()


def opened(url: str | None, timeout: float = 5.0) -> Terminology:
    return Terminology.open(
        settings=TerminologySettings(
            terms=None, icd10cm_uncertain="outpatient", terms_server=url, terms_server_timeout_seconds=timeout
        )
    )


def test_a_server_codes_what_the_tables_do_not_know(server: Server) -> None:
    with closing(opened(server.url)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST) == (
            Coding("http://hospital.example/codes", "Z1", "Zebra", "translated", 1.0),
        )


def test_only_the_findings_words_are_sent(server: Server) -> None:
    with closing(opened(server.url)) as terminology:
        terminology.code(UNKNOWN_HERE, StudyContext(modality="CT", body_part="chest", sex="F", age=61))
    translate, validate = server.asked
    assert translate[0] == "/fhir/ConceptMap/$translate"
    assert json.loads(translate[1])["parameter"] == [
        {"name": "codeableConcept", "valueCodeableConcept": {"text": UNKNOWN_HERE}}
    ]
    assert validate[0] == "/fhir/CodeSystem/$validate-code"
    assert UNKNOWN_HERE not in validate[1]


def test_the_same_words_are_asked_once(server: Server) -> None:
    with closing(opened(server.url)) as terminology:
        for _ in range(3):
            terminology.code(UNKNOWN_HERE, CHEST)
    assert [path for path, _ in server.asked].count("/fhir/ConceptMap/$translate") == 1


def test_the_tables_go_before_the_server(server: Server) -> None:
    server.matches = [("equivalent", ICD, "J99")]
    with closing(opened(server.url)) as terminology:
        assert {c.code for c in terminology.code("pneumonia", CHEST) if c.system == ICD} == {"J18.9"}


@pytest.mark.parametrize(("equivalence", "match"), [("wider", "broader"), ("narrower", None), ("unmatched", None)])
def test_only_what_says_no_more_than_the_words_is_taken(server: Server, equivalence: str, match: str | None) -> None:
    server.matches = [(equivalence, "http://hospital.example/codes", "Z1")]
    with closing(opened(server.url)) as terminology:
        assert [coding.match for coding in terminology.code(UNKNOWN_HERE, CHEST)] == ([match] if match else [])


def test_a_code_the_server_does_not_know_is_not_taken(server: Server) -> None:
    server.known = False
    with closing(opened(server.url)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST) == ()


def test_a_servers_billing_code_obeys_the_rule_for_suspected_conditions(server: Server) -> None:
    server.matches = [("equivalent", ICD, "J99")]
    with closing(opened(server.url)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST, Certainty.POSSIBLE) == ()


@pytest.mark.parametrize("status", [404, 500])
def test_a_failing_server_is_left_alone_and_costs_no_report(server: Server, status: int) -> None:
    server.status = status
    with closing(opened(server.url)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST) == ()
        assert terminology.code("another " + UNKNOWN_HERE, CHEST) == ()
        assert terminology.code("pneumonia", CHEST)
    assert len(server.asked) == 1


def test_a_server_that_is_away_costs_no_report() -> None:
    with closing(opened("http://127.0.0.1:9/fhir", timeout=0.2)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST) == ()


def test_no_server_is_asked_by_default(server: Server) -> None:
    with closing(opened(None)) as terminology:
        assert terminology.code(UNKNOWN_HERE, CHEST) == ()
    assert server.asked == []
