"""A small real FHIR server on SQLite, with a chart page: for demos and tests, never for a hospital's data.

Knows FHIR as servers of the field speak it, with their faults as switches. Refuses to know anything of our own
processing: what the page shows is what stands in the resources.
"""
