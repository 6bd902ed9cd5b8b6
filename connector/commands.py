"""The sub-commands of this room: serve, sandbox and subscribe. Imports nothing heavy until a command runs."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    app.command()(subscribe)


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
