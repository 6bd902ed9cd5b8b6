"""The sub-commands of this room: serve, sandbox and subscribe. Imports nothing heavy until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    app.command()(serve)
    app.command()(sandbox)
    app.command()(subscribe)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, in place of GAMUT_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port, in place of GAMUT_PORT", min=1, max=65_535)] = None,
) -> None:
    """Take the FHIR server's notifications and queue what they name.

    Reads GAMUT_FHIR_*, GAMUT_BROKER_URL, the secrets of GAMUT_NOTIFY_*, and GAMUT_NOTIFY_PATH. Shows /healthz,
    /readyz, /metrics.
    """
    from connector.serve import serve

    serve(host, port)


def sandbox(
    host: Annotated[str | None, typer.Option(help="Address to listen on, in place of GAMUT_SANDBOX_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port, in place of GAMUT_SANDBOX_PORT", min=1, max=65_535)] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of the chart's file, in place of GAMUT_SANDBOX_STATE")
    ] = None,
) -> None:
    """Serve a chart to try things on: FHIR at /fhir, a page at /chart, its faults at /sandbox/switches.

    For fictional patients only: it asks nobody who they are.
    """
    from connector.sandbox.serve import serve

    serve(host, port, state)


def subscribe() -> None:
    """Create or renew the Subscription on the configured FHIR server; asking twice changes nothing.

    Reads GAMUT_FHIR_*, GAMUT_SUBSCRIPTION_* and the secrets of GAMUT_NOTIFY_*.
    """
    from connector.fhir.client import FhirClient
    from connector.settings import FhirSettings
    from connector.signatures import SignatureSettings
    from connector.subscriptions import SubscriptionSettings, describe, ensure_subscription
    from models.settings import load

    wanted, signatures = load(SubscriptionSettings), load(SignatureSettings)
    with FhirClient(load(FhirSettings)) as client:
        typer.echo(describe(ensure_subscription(client, wanted, signatures)))
