"""From marked-up reports to a GGUF: corpora, recipes, scores, export. Never imported by what serves."""
