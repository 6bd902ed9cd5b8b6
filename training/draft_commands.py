"""The sub-commands about impressions: their weights, their scores, who judges them, and reports written from them.
Imports nothing heavy until a command runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.options import Corpus, JsonFile, Model, Out, Recipe, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from training.impressions import Case
    from training.texts import Metric

Split = Annotated[Literal["held_out", "dev", "train"], typer.Option(help="Which reports")]
Findings = Annotated[
    Literal["extracted", "gold"], typer.Option(help="What is drafted from: the service's own reading, or the marks")
]


Similarity = Annotated[
    bool, typer.Option("--similarity", help="Also the cosine of sentence embeddings: pip install 'gamut[similarity]'")
]
BertScore = Annotated[
    Path | None,
    typer.Option(
        help="Also BERTScore with the encoder in this folder: pip install 'gamut[bertscore]'; fetches nothing"
    ),
]


def register(train: typer.Typer, measure: typer.Typer) -> None:
    """Mount the commands on `gamut train` and `gamut train evaluate`."""
    train.command()(salience)
    train.command()(drafts)
    measure.command()(impressions)
    measure.command()(judge)
    train.command()(report)
    measure.command()(reports)


def salience(
    corpus: Corpus = None,
    out: Annotated[Path | None, typer.Option(help="JSON to write; the shipped one if not given")] = None,
) -> None:
    """Learn from the train reports which findings an impression names; a second's work."""
    from models.salience import WEIGHTS
    from training.corpus import CORPUS, load_corpus
    from training.impressions import cases, learn_salience, learn_telling

    reports = load_corpus("train", corpus or CORPUS)
    learnt = {"salience": learn_salience(list(cases(reports))), "telling": learn_telling(reports)}
    place = out or WEIGHTS
    place.write_text(json.dumps(learnt, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(f"{place}: {len(learnt['salience'])} features, {len(learnt['telling'])} words")


def drafts(
    split: Split = "held_out",
    count: Annotated[int, typer.Option(help="How many")] = 50,
    seed: Annotated[int, typer.Option(help="Draws the reports")] = 0,
    corpus: Corpus = None,
    model: Model = None,
) -> None:
    """Print drafts beside their reports, drawn by a seed, to be read by people (dev/impressions.md)."""
    import random

    from training.impressions import show_draft
    from training.readers import model_settings, opened

    some = _cases(split, corpus)
    drawn = random.Random(seed).sample(some, min(count, len(some)))
    with opened(model_settings(model)) as analyzer:
        for case in drawn:
            typer.echo(show_draft(case, analyzer))


def impressions(
    split: Split = "held_out",
    findings: Findings = "extracted",
    corpus: Corpus = None,
    model: Model = None,
    believed: Annotated[
        float | None, typer.Option(help="Least belief of what is drafted from, to see what it does")
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(help="Instead of the corpus a CSV: uid, split, MeSH, indication, findings, impression (or gzip)"),
    ] = None,
    similarity: Similarity = False,
    bert_score: BertScore = None,
    json_file: JsonFile = None,
) -> None:
    """Measure drafts against radiologists' impressions, beside lists of findings and the best choice there is.

    Of --reports those of the split `valid`, beside the nearest neighbour in the split `train`; options of the corpus do
    not go with it.
    """
    from models.impression import BELIEVED_FROM
    from training.impressions import evaluate_impressions
    from training.readers import model_settings, opened

    metrics = _metrics(similarity, bert_score)
    if reports is not None:
        if corpus or believed is not None or (split, findings) != ("held_out", "extracted"):
            raise typer.BadParameter(
                "--reports: the options --split, --findings, --corpus and --believed are of the corpus"
            )
        _radiographs(reports, model, metrics, json_file)
        return
    some = _cases(split, corpus)
    least = BELIEVED_FROM if believed is None else believed
    if findings == "gold":
        rows = evaluate_impressions(some, believed_from=least, metrics=metrics)
    else:
        with opened(model_settings(model)) as analyzer, progress_bar(len(some)) as advance:
            rows = evaluate_impressions(some, analyzer, advance, least, metrics)
    told = {name: row.as_json() for name, row in rows.items()}
    _tell(told, {f"{len(some)} reports, {split}, {findings} findings": told}, json_file)


def _radiographs(reports: Path, model: Path | None, metrics: Mapping[str, Metric], json_file: Path | None) -> None:
    """Impressions of a CSV's reports: a table for each group."""
    from training.radiograph_drafts import evaluate_drafts, read_radiographies
    from training.readers import IN_FLIGHT, model_settings, opened

    some, pool = (read_radiographies(reports, name) for name in ("valid", "train"))
    with opened(model_settings(model)) as analyzer, progress_bar(len(some)) as advance:
        groups = evaluate_drafts(some, pool, analyzer, IN_FLIGHT, advance, metrics)
    told = {group: {name: row.as_json() for name, row in rows.items()} for group, rows in groups.items()}
    _tell(told, {f"{reports.name}, valid: {group}": rows for group, rows in told.items()}, json_file)


def judge(
    split: Split = "held_out",
    findings: Findings = "extracted",
    corpus: Corpus = None,
    model: Model = None,
    json_file: JsonFile = None,
) -> None:
    """Measure whether the judge tells impressions from the same ones spoilt on purpose; strange words are of train."""
    from dataclasses import asdict

    from training.corpus import CORPUS, load_corpus
    from training.judging import judged_pairs, summary
    from training.readers import model_settings, opened

    reports, others = (load_corpus(name, corpus or CORPUS) for name in (split, "train"))
    if findings == "gold":
        pairs = list(judged_pairs(reports, others))
    else:
        with opened(model_settings(model)) as analyzer, progress_bar(len(reports)) as advance:
            pairs = list(judged_pairs(reports, others, analyzer, advance))
    rows = {name: asdict(told) for name, told in summary(pairs).items()}
    _tell(rows, {f"{len(reports)} reports, {split}, {findings} findings": rows}, json_file)


def report(
    base: Annotated[Path, typer.Argument(help="Hugging Face folder to fine-tune, or a GGUF such as the shipped one")],
    recipe: Recipe = "report-s",
    corpus: Corpus = None,
    out: Out = Path("build/report"),
) -> None:
    """Fine-tune a base to write a report's findings from its impression, in Alpaca form; no part of the service."""
    from training.corpus import CORPUS, load_corpus
    from training.qlora import QloraRecipe
    from training.recipes import load_recipe
    from training.report_task import train_reports

    settings = load_recipe(recipe, "qlora", QloraRecipe)
    typer.echo(str(train_reports(base, load_corpus("train", corpus or CORPUS), settings, out)))


def reports(
    base: Annotated[Path, typer.Argument(help="Base that was fine-tuned, a folder or a GGUF")],
    trained: Annotated[Path, typer.Argument(help="What `gamut train report` made of it: an adapter or a model")],
    split: Split = "dev",
    count: Annotated[int, typer.Option(min=1, help="How many reports at most, drawn by the seed")] = 50,
    seed: Annotated[int, typer.Option(help="Draws the reports")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of prompt and answer together")] = 768,
    corpus: Corpus = None,
    model: Model = None,
    similarity: Similarity = False,
    bert_score: BertScore = None,
    json_file: JsonFile = None,
) -> None:
    """Measure findings written from impressions: ROUGE, BLEU, F1, and the judge, by the report's own findings."""
    import random

    from training.corpus import CORPUS, load_corpus
    from training.readers import IN_FLIGHT, model_settings, opened
    from training.report_task import evaluate_reports, exchanges, write_reports
    from training.unpack import unpack

    metrics = _metrics(similarity, bert_score)
    base = unpack(base, trained.parent / "base") if base.is_file() else base
    some = list(exchanges(load_corpus(split, corpus or CORPUS)))
    some = random.Random(seed).sample(some, min(count, len(some)))
    with progress_bar(4 * len(some)) as advance, opened(model_settings(model)) as analyzer:
        written = write_reports(base, trained, some, max_tokens, advance)
        rows = evaluate_reports(some, written, analyzer, IN_FLIGHT, advance, metrics)
    told = {name: row.as_json() for name, row in rows.items()}
    _tell(told, {f"{len(some)} reports, {split}": told}, json_file)


def _tell(
    told: Mapping[str, object], tables: Mapping[str, Mapping[str, Mapping[str, float]]], json_file: Path | None
) -> None:
    """Write the figures where that was asked for, and print them as tables by their titles."""
    from rich.console import Console

    if json_file:
        json_file.write_text(json.dumps(told, indent=1), encoding="utf-8")
    for title, rows in tables.items():
        Console().print(_table(title, rows))


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    from rich.table import Table

    table = Table("", *rows, title=title)
    for name in next(iter(rows.values())):
        table.add_row(
            name, *(f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for row in rows.values())
        )
    return table


def _metrics(similarity: bool, bert_score: Path | None) -> dict[str, Metric]:
    """The further metrics that were asked for."""
    if not similarity and bert_score is None:
        return {}
    from training import similarity as meaning

    metrics = {"similarity": meaning.embedding_similarity()} if similarity else {}
    return metrics | ({"bert_score": meaning.bert_score(bert_score)} if bert_score else {})


def _cases(split: Split, corpus: Path | None) -> Sequence[Case]:
    from training.corpus import CORPUS, load_corpus
    from training.impressions import cases

    return list(cases(load_corpus(split, corpus or CORPUS)))
