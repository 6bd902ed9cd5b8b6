"""`gamut serve` as a process: what it needs to start, how it ends, and that it never repeats what it was told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

DATA = Path(__file__).parent / "data" / "notifications"
SECRET = {"X-Gamut-Secret": "a secret of the tests"}
NAMES = ("Canarius", "Vogelbauer")


class Served:
    """A `gamut serve` and everything it has written."""

    def __init__(self, port: int, variables: dict[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        command = [sys.executable, "-m", "gamut", "serve", "--port", str(port)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GAMUT_")}
        with log.open("wb") as sink:
            self.process = subprocess.Popen(command, env=clean | variables, stdout=sink, stderr=sink)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=90)


@pytest.fixture
def serve(
    empty_broker_url: str, tmp_path: Path, free_port: Callable[[], int], until: Callable[..., None]
) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(**variables: str) -> Served:
        given = {
            "GAMUT_BROKER_URL": empty_broker_url,
            "GAMUT_FHIR_BASE_URL": f"http://127.0.0.1:{free_port()}/fhir",
            "GAMUT_NOTIFY_HEADER_SECRET": SECRET["X-Gamut-Secret"],
        }
        started.append(Served(free_port(), given | variables, tmp_path / f"{len(started)}.log"))
        until(started[-1].healthy, 150)
        return started[-1]

    yield start
    for served in started:
        served.process.kill()
        served.process.wait()


def _keys(broker_url: str) -> str:
    """All that stands in the broker, as text."""
    client = redis.Redis.from_url(broker_url)
    return repr([(key, client.dump(key)) for key in client.scan_iter()]) + repr(client.lrange("gamut", 0, -1))


def test_a_patients_name_leaves_no_trace_in_log_queue_answer_or_metric(
    serve: Callable[..., Served], empty_broker_url: str
) -> None:
    served = serve(GAMUT_NOTIFY_MAX_BYTES="5000")
    url = f"{served.url}/fhir-notify"
    bodies = [path.read_bytes() for path in sorted(DATA.glob("*.json"))]
    assert any(name.encode() in body for body in bodies for name in NAMES)
    with httpx.Client(trust_env=False) as client:
        answers = [client.post(url, content=body, headers=SECRET) for body in bodies]
        answers += [
            client.post(url, content=bodies[-1]),
            client.post(url, content=b'{"resourceType": "Canarius Vogelbauer"', headers=SECRET),
            client.post(url, content=b"Canarius Vogelbauer" * 500, headers=SECRET),
            client.post(
                url, content=b'{"resourceType": "DiagnosticReport", "id": "Canarius Vogelbauer"}', headers=SECRET
            ),
            client.put(f"{url}/Patient/Canarius Vogelbauer", headers=SECRET),
            client.get(f"{served.url}/Vogelbauer?name=Canarius"),
            client.post(
                f"{url}?name=Vogelbauer", headers=SECRET | {"X-Medplum-Deleted-Resource": "Canarius/Vogelbauer/1"}
            ),
            client.get(f"{served.url}/metrics"),
        ]
    assert {answer.status_code for answer in answers} == {200, 400, 401, 404, 413}
    assert served.end() == 0
    written = [served.log, _keys(empty_broker_url), *(answer.text for answer in answers)]
    written += [str(answer.headers) for answer in answers]
    assert not [name for name in NAMES for text in written if name in text]


def test_every_line_of_the_log_is_json_and_says_which_process_wrote_it(serve: Callable[..., Served]) -> None:
    served = serve()
    httpx.post(
        f"{served.url}/fhir-notify", content=(DATA / "r4-id-only.json").read_bytes(), headers=SECRET, trust_env=False
    )
    assert served.end() == 0
    lines = [json.loads(line) for line in served.log.splitlines()]
    assert {line["process"] for line in lines} == {"connector"}
    [taken] = [line for line in lines if line.get("message") == "notification taken"]
    assert (taken["kind"], taken["count"], taken["subscription"]) == ("event-notification", 1, "admission")


def test_taking_notifications_from_anybody_is_logged_at_start(serve: Callable[..., Served]) -> None:
    served = serve(GAMUT_ALLOW_UNSIGNED="1", GAMUT_NOTIFY_HEADER_SECRET="")
    assert "notifications are taken from anybody" in served.log
    assert httpx.post(f"{served.url}/fhir-notify", trust_env=False).status_code == 200


def test_secrets_can_come_from_files(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "gamut_notify_header_secret").write_text("a secret in a file\n")
    served = serve(GAMUT_SECRETS_DIR=str(tmp_path), GAMUT_NOTIFY_HEADER_SECRET="")
    url = f"{served.url}/fhir-notify"
    assert httpx.post(url, headers={"X-Gamut-Secret": "a secret in a file"}, trust_env=False).status_code == 200
    assert httpx.post(url, headers=SECRET, trust_env=False).status_code == 401


@pytest.mark.parametrize("missing", ["GAMUT_NOTIFY_HEADER_SECRET", "GAMUT_FHIR_BASE_URL"])
def test_a_wrong_process_dies_at_start_and_names_the_variable(missing: str, empty_broker_url: str) -> None:
    given = {
        "GAMUT_BROKER_URL": empty_broker_url,
        "GAMUT_FHIR_BASE_URL": "http://127.0.0.1:1/fhir",
        "GAMUT_NOTIFY_HEADER_SECRET": "a secret of the tests",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAMUT_")}
    given.pop(missing)
    done = subprocess.run(
        [sys.executable, "-m", "gamut", "serve"],
        env=clean | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 2
    assert missing in done.stderr
    assert "Traceback" not in done.stderr
