"""Where the connector's process is put together: settings read, parts opened, passed on, and closed.

Holds no decision of its own.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from connector.fhir.client import FhirClient
from connector.gaps import EventNumbers, Recovery
from connector.intake import Intake
from connector.metrics import Metrics
from connector.queue import BrokerSettings, ReportQueue, open_redis
from connector.settings import FhirSettings
from connector.signatures import SignatureSettings
from connector.web import WebSettings, create_app
from models.logs import configure_logs
from models.settings import load

log = logging.getLogger("connector.serve")


def serve(host: str | None = None, port: int | None = None) -> None:
    """Run the connector until a signal ends it.

    host, port: in place of GAMUT_HOST and GAMUT_PORT. Raises SettingsError.
    """
    configure_logs("connector")
    web, signatures, broker, fhir = (
        load(WebSettings), load(SignatureSettings), load(BrokerSettings), load(FhirSettings),
    )  # fmt: skip
    web = web.model_copy(update={"host": host or web.host, "port": port or web.port})
    metrics, queue, numbers = Metrics(), ReportQueue.open(broker), EventNumbers(open_redis(broker))
    metrics.watch(metrics.queue_depth, queue.depth)
    client = FhirClient(fhir)
    recovery = Recovery(numbers, queue, client, metrics, web.gap_grace_seconds)
    intake = Intake(queue, numbers, metrics, recovery.wake)
    app = create_app(
        web, signatures, intake, metrics, ready=queue.answers, while_running=_running(recovery, queue, client)
    )
    if signatures.allow_unsigned:
        log.warning("notifications are taken from anybody", extra={"setting": "GAMUT_ALLOW_UNSIGNED"})
    log.info("the connector starts", extra={"host": web.host, "port": web.port})
    # uvicorn ends in order at SIGTERM and then raises the signal again: a clean end is no death by signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(app, host=web.host, port=web.port, log_config=None, access_log=False, server_header=False)


@contextmanager
def _running(recovery: Recovery, queue: ReportQueue, client: FhirClient) -> Iterator[None]:
    recovery.start()
    try:
        yield
    finally:
        recovery.close()
        queue.close()
        client.close()
