"""The ground floor: values, language model, vocabulary. Says radiology and language; knows no FHIR and no Celery."""
