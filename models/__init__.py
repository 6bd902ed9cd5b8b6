"""The ground floor: values, the language model, the vocabulary. Says radiology and language; knows no FHIR JSON and no Celery."""
