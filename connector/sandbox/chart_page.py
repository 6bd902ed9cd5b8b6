"""The chart page. Knows what stands in the resources and nothing else."""

from fastapi import APIRouter

from connector.sandbox.store import Store


def router(store: Store) -> APIRouter:
    """All paths below `/chart`."""
    return APIRouter(prefix="/chart")
