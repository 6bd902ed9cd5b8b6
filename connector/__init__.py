"""The hospital's side: FHIR, HTTP, DICOMweb and the chart's pages. Never reaches llama.cpp or torch."""
