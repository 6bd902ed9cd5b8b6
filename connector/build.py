"""From a plain description to a resource of the server's FHIR release, through fhir.resources' classes.

Refuses what is not of the release's shape before it is sent. Knows no profile, no code and no server.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from connector.errors import Unbuildable
from connector.fhir import Json
from connector.fhir.capability import Release


def build(resource: Json, release: Release) -> Json:
    """Give back a resource as its release writes it. R4 is built with R4B's classes: what we write is the same in both.

    Raises Unbuildable, which names elements and never their contents.
    """
    if release == "R5":
        from fhir.resources import get_fhir_model_class
    else:
        from fhir.resources.R4B import get_fhir_model_class
    type_ = resource["resourceType"]
    try:
        built = get_fhir_model_class(type_).model_validate(resource)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        places = sorted({".".join(str(part) for part in problem["loc"]) for problem in problems})
        raise Unbuildable(f"{type_} is not of {release}'s shape at {', '.join(places[:5])}") from None
    return dict(json.loads(built.model_dump_json()))
