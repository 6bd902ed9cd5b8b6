"""The sub-commands of this room: corpora, training, scores and export. Imports nothing heavy until a command runs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training import draft_commands
from training.options import Corpus, JsonFile, Model, Out, Recipe, progress_bar

if TYPE_CHECKING:
    from training.labelled import Labelled
    from training.readers import Teacher
    from training.tables import Json

Radiographs = Annotated[Path, typer.Option(help="CSV of reports: uid, findings, impression ... (plain or gzip)")]
Radiographs14 = Annotated[Path, typer.Option(help="CSV of their labels: uid and a column a label")]

TeacherOption = Annotated[
    Literal["rules", "both"] | None, typer.Option(help="Measure the rule teacher instead of the model, or both joined")
]

train = typer.Typer(no_args_is_help=True, help="From marked-up reports to a GGUF: corpus, base, qlora, export, scores.")
measure = typer.Typer(no_args_is_help=True, help="Measure what is shipped: the service's own reading, scored.")


def register(app: typer.Typer) -> None:
    """Mount this room's commands on `gamut`."""
    draft_commands.register(train, measure)
    train.add_typer(measure, name="evaluate")
    app.add_typer(train, name="train")
    app.command()(bench)


def bench(
    model: Model = None,
    reports: Annotated[int, typer.Option(min=1, help="Fictional reports, drawn from the train corpus")] = 40,
    in_flight: Annotated[int, typer.Option(min=1, help="Reports in the engine at once")] = 8,
    systems: Annotated[
        str, typer.Option(help="With which to compare, with blanks between")
    ] = "grammar free transformers bare int8",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table")] = False,
) -> None:
    """Measure reports a second, side by side: this engine, llama-cpp-python's own class, transformers, the ceiling."""
    import json

    from models.tuning import tuned
    from training import bench
    from training.readers import model_settings

    settings = model_settings(model)
    measured = bench.bench(settings.model, reports, tuned(settings), in_flight, systems.split())
    if as_json:
        typer.echo(json.dumps(measured.as_json(), indent=1))
    else:
        bench.show(measured)


@train.command()
def corpus(folder: Annotated[Path | None, typer.Argument(help="Folder of marked-up reports")] = None) -> None:
    """Check every marked-up report and the lists of splits; name file, line and cure of what is wrong."""
    from training.corpus import CORPUS
    from training.duplicates import check_corpus

    train, dev, held = check_corpus(folder or CORPUS)
    typer.echo(
        f"{train} reports to train on, {dev} for choices, {held} held out; no report repeats one of another split"
    )


@train.command()
def eda(
    folder: Annotated[Path | None, typer.Argument(help="Folder of marked-up reports")] = None,
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path("corpus.html"),
) -> None:
    """Look at a corpus: lengths, missing parts, outliers, labels and certainties by modality, as one HTML page."""
    from training.corpus import CORPUS, load_corpus, load_listed
    from training.eda import render, survey

    place = folder or CORPUS
    out.write_text(render(survey(load_corpus("train", place), load_listed("held_out", place))), encoding="utf-8")
    typer.echo(str(out))


@train.command("import")
def import_(
    files: Annotated[list[Path] | None, typer.Argument(help="CSV or JSON lines: text, labels, patient ... ")] = None,
    chart: Annotated[
        str | None, typer.Option(help="Also the reports of the chart that this search of DiagnosticReport finds")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the corpus that is made")] = Path("build/corpus"),
    held_out: Annotated[float, typer.Option(min=0, max=1, help="Share of the patients to measure on")] = 0.1,
    dev: Annotated[float, typer.Option(min=0, max=1, help="Share of the patients to choose on")] = 0.05,
) -> None:
    """Make a corpus of a hospital's own reports, split by patient, without repeats across the splits."""
    from itertools import chain
    from urllib.parse import parse_qsl

    from connector.fhir.client import FhirClient
    from connector.reports import ReportSettings
    from connector.settings import FhirSettings
    from models.settings import load
    from training.chart import ChartReader
    from training.importing import import_examples, read_examples

    examples = list(chain.from_iterable(map(read_examples, files or [])))
    if chart is not None:
        with FhirClient(load(FhirSettings)) as client:
            reader = ChartReader(client, load(ReportSettings))
            examples += reader.examples(dict(parse_qsl(chart)))
        for reason, count in sorted(reader.left_out.items()):
            typer.echo(f"left out, {reason}: {count}", err=True)
    done = import_examples(examples, out, held_out, dev)
    typer.echo(
        f"{out}: {done.train} reports to train on, {done.dev} for choices, {done.held_out} held out; "
        f"{done.unlabelled} without labels, for `gamut train label`; {done.repeats} repeats left out"
    )


@train.command()
def label(
    folder: Annotated[Path | None, typer.Argument(help="Folder of reports in the corpus form, labelled or not")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the labelled copy; a run that was stopped there goes on")] = Path(
        "build/labelled"
    ),
    url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint in the house, as far as /v1; without it rules label")
    ] = None,
    model: Annotated[str, typer.Option(help="The endpoint's name of its model")] = "default",
    runs: Annotated[int, typer.Option(min=1, help="Answers a section; what more than half of them say is kept")] = 3,
    token: Annotated[
        str | None, typer.Option(envvar="GAMUT_TEACHER_TOKEN", help="Bearer token of the endpoint")
    ] = None,
) -> None:
    """Have a teacher label the train split: rules, or any language model in the house. Each label says what made it."""

    from models.terminology import Terminology
    from training.corpus import CORPUS, load_corpus
    from training.endpoint_teacher import EndpointTeacher
    from training.rule_teacher import RuleTeacher
    from training.weak import label_reports

    reports = load_corpus("train", folder or CORPUS)
    with closing(Terminology.open()) as terminology, progress_bar(len(reports), "labelling") as advance:
        teacher = EndpointTeacher(url, model, runs, token) if url else RuleTeacher(terminology)
        count = label_reports(teacher, reports, out, advance)
    dropped = f", {teacher.dropped} lines dropped" if isinstance(teacher, EndpointTeacher) else ""
    typer.echo(f"{out}: {len(reports)} reports, {count} labels{dropped}")


@train.command()
def base(recipe: Recipe = "base-s", corpus: Corpus = None, out: Out = Path("build/base")) -> None:
    """Train tokenizer and base of the shipped model from scratch, or go on with it."""
    from training.base import BaseRecipe, train_base
    from training.corpus import CORPUS, load_corpus
    from training.recipes import load_recipe

    train_base(load_corpus("train", corpus or CORPUS), load_recipe(recipe, "base", BaseRecipe), out)
    typer.echo(str(out))


@train.command()
def qlora(
    base: Annotated[Path, typer.Argument(help="Hugging Face folder to fine-tune, or a GGUF such as the shipped one")],
    recipe: Recipe = "qlora-s",
    corpus: Corpus = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Only reports of this DICOM modality, for an adapter of its own; repeat it")
    ] = None,
    out: Out = Path("build/qlora"),
) -> None:
    """Fine-tune a base on the marked-up reports, or go on with it; the recipe's `method` is qlora, lora or full.

    Several GPUs: `accelerate launch --num_processes N -m gamut train qlora ...`.
    """
    from training.corpus import CORPUS, load_corpus, of_modalities
    from training.qlora import QloraRecipe, fine_tune
    from training.recipes import load_recipe

    settings = load_recipe(recipe, "qlora", QloraRecipe)
    reports = load_corpus("train", corpus or CORPUS)
    reports = of_modalities(reports, modality) if modality else reports
    typer.echo(str(fine_tune(base, reports, settings, out)))


@train.command()
def sweep(
    base: Annotated[Path, typer.Argument(help="Hugging Face folder or GGUF to fine-tune again and again")],
    recipe: Recipe = "qlora-s",
    corpus: Corpus = None,
    trials: Annotated[int, typer.Option(min=1, help="Fine-tunings in all")] = 12,
    out: Out = Path("build/sweep"),
) -> None:
    """Search for a better recipe near the given one by the dev split's loss, and print every trial."""
    from rich.console import Console

    from training.corpus import CORPUS, load_corpus
    from training.qlora import QloraRecipe
    from training.recipes import load_recipe
    from training.sweep import sweep, table

    place = corpus or CORPUS
    settings = load_recipe(recipe, "qlora", QloraRecipe)
    Console().print(table(sweep(base, load_corpus("train", place), load_corpus("dev", place), settings, out, trials)))


@train.command()
def export(
    model: Annotated[Path, typer.Argument(help="Folder of the unquantized model")],
    out: Annotated[Path, typer.Option(help="GGUF to write; what it is goes beside it, as JSON")],
    adapter: Annotated[Path | None, typer.Option(help="Folder of the adapter to merge in")] = None,
    name: Annotated[str, typer.Option(help="Name that stands on every result")] = "gamut-small",
    version: Annotated[str, typer.Option(help="Version that stands on every result")] = "0.1.0",
    kind: Annotated[str, typer.Option(help="Quantization: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 or F16")] = "Q8_0",
    converter: Annotated[Path | None, typer.Option(help="Checkout of llama.cpp; else its source is fetched")] = None,
) -> None:
    """Merge, convert, quantize, and compare with the original."""
    from training.export import export

    done = export(model, out, name=name, version=version, adapter=adapter, kind=kind, converter=converter)
    same = done.agreement
    typer.echo(f"{out}  sha256 {done.sha256}  {done.size / 1e6:.1f} MB")
    typer.echo(
        f"greedy answers equal to the unquantized model's: {same.equal} of {same.prompts} ({same.tokens:.0%} of tokens)"
    )


@train.command()
def calibrate(
    gguf: Annotated[Path, typer.Argument(help="GGUF that export wrote; the table is written into it")],
    corpus: Corpus = None,
) -> None:
    """Measure on the dev reports how often findings of each probability are right, for the confidence in the chart."""
    from models.analyze import open_analyzer
    from training.corpus import CORPUS, load_corpus
    from training.errors import ExportError
    from training.evaluate import answers, judged
    from training.export import calibrate
    from training.labelled import labelled_from_marked
    from training.readers import IN_FLIGHT, model_settings

    labelled = list(labelled_from_marked(load_corpus("dev", corpus or CORPUS)))
    with closing(open_analyzer(model_settings(gguf))) as reader, progress_bar(len(labelled)) as advance:
        if reader.is_calibrated:
            raise ExportError(f"{gguf.name} has its table already; export it again before it is calibrated anew")
        read = answers(reader, labelled, IN_FLIGHT, advance)
    typer.echo(f"{gguf}  sha256 {calibrate(gguf, judged(read)).sha256}")


@train.command("export-adapter")
def export_adapter(
    model: Annotated[Path, typer.Argument(help="Folder of the base that the adapter was trained on")],
    adapter: Annotated[Path, typer.Argument(help="Folder of the adapter")],
    beside: Annotated[Path, typer.Option(help="GGUF of the base, beside which alone it will be loaded")],
    out: Annotated[Path, typer.Option(help="GGUF of the adapter to write")],
    converter: Annotated[Path | None, typer.Option(help="Checkout of llama.cpp; else its source is fetched")] = None,
) -> None:
    """Write an adapter alone as a GGUF, to be loaded beside the GGUF of its base."""
    from training.converter import convert_adapter, find_converter

    convert_adapter(find_converter(converter), model, adapter, out, beside)
    typer.echo(f"{out}  {out.stat().st_size / 1e6:.1f} MB")


@train.command()
def card(
    gguf: Annotated[Path, typer.Argument(help="GGUF that export wrote")],
    stage: Annotated[list[Path], typer.Option(help="Folder that a stage wrote, the base's first; repeat it")],
    figures: Annotated[list[Path] | None, typer.Option(help="JSON of an evaluation; repeat it")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; beside the GGUF if not given")] = None,
) -> None:
    """Write the model card: data, licences, settings, figures and limits."""
    from training.card import card

    place = out or gguf.with_suffix(".md")
    place.write_text(card(gguf, stage, _evaluations(figures or [])), encoding="utf-8")
    typer.echo(str(place))


@train.command()
def converter() -> None:
    """Fetch llama.cpp's converter for the installed llama-cpp-python (once), and say where it lies."""
    from training.converter import find_converter

    typer.echo(str(find_converter()))


@train.command()
def table(figures: Annotated[list[Path], typer.Argument(help="JSON files that evaluate wrote")]) -> None:
    """Print the README's table: a row for each evaluation, in the order given."""
    from training.tables import markdown

    typer.echo(markdown(_evaluations(figures)), nl=False)


@train.command()
def compare(
    one: Annotated[Path, typer.Argument(help="JSON that evaluate wrote")],
    other: Annotated[Path, typer.Argument(help="JSON of the same reports, read by something else")],
    json_file: JsonFile = None,
) -> None:
    """Put two evaluations side by side: size, times, every metric, and the paired interval of each difference."""
    import json

    from rich.console import Console

    from training.compare import compare, comparison

    first, second = _evaluations([one, other])
    found = compare(first, second)
    if json_file:
        json_file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    Console().print(comparison(found))


@measure.command()
def marked(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of marked-up reports; the project's own if not given")
    ] = None,
    split: Annotated[Literal["held_out", "dev", "train", "all"], typer.Option(help="Which reports")] = "held_out",
    section: Annotated[
        Literal["findings", "impression", "narrative", "addendum"] | None,
        typer.Option(help="Show and score this part of each report alone"),
    ] = None,
    context: Annotated[bool, typer.Option(help="Show the model the study's modality and body part")] = True,
    teacher: TeacherOption = None,
    model: Model = None,
    json_file: JsonFile = None,
) -> None:
    """Measure on marked-up reports: F1 with intervals, by modality, certainty and length, and calibration."""
    from models.report import SectionKind
    from training.corpus import CORPUS, load_corpus
    from training.labelled import labelled_from_marked

    kind = SectionKind(section) if section else None
    place = folder or CORPUS
    seen = {m.quote for r in load_corpus("train", place) for m in r.labels} if split in ("held_out", "dev") else set()
    _measure(list(labelled_from_marked(load_corpus(split, place), context, kind)), seen, model, json_file, teacher)


@measure.command()
def lines(
    gold: Annotated[Path, typer.Argument(help="Label lines: `##### id`, then `certainty: mention`")],
    source: Annotated[Path, typer.Argument(help="Their reports: a folder of id.txt, or a file of `##### id` and text")],
    model: Model = None,
    json_file: JsonFile = None,
) -> None:
    """Measure on reports with label lines, as annotation.md writes them."""
    from training.labelled import labelled_from_lines

    _measure(list(labelled_from_lines(gold, source)), set(), model, json_file)


@measure.command()
def readers(
    second: Annotated[Path | None, typer.Argument(help="Folder that another person marked; else second_reader")] = None,
    corpus: Corpus = None,
) -> None:
    """Measure how far two people agree on the held-out reports: what a system can be held to."""
    from dataclasses import asdict

    from rich.console import Console

    from training.corpus import CORPUS, SECOND_READER, load_corpus
    from training.evaluate import agreement
    from training.tables import figures

    first = load_corpus("held_out", corpus or CORPUS)
    both, found = agreement(first, load_corpus("all", second or SECOND_READER))
    Console().print(figures(f"two readers, {both} reports", {name: asdict(one) for name, one in found.items()}))


@measure.command()
def labels14(
    reports: Radiographs,
    labels: Radiographs14,
    split: Annotated[str | None, typer.Option(help="Only reports whose column `split` says so")] = None,
    teacher: TeacherOption = None,
    model: Model = None,
) -> None:
    """Measure the 14 CheXpert labels that findings give a chest radiograph; JSON alone on standard output."""
    import json

    from models.terminology import Terminology
    from training.labels14 import findings_of, measure14, read_rules
    from training.radiographs import read_radiographs
    from training.readers import IN_FLIGHT, model_settings, opened

    rules, settings = read_rules(), model_settings(model)
    rows = read_radiographs(reports, labels, rules, split)
    with (
        closing(Terminology.open()) as terminology,
        opened(settings, teacher) as reader,
        progress_bar(len(rows)) as advance,
    ):
        found = findings_of(reader, rows, IN_FLIGHT, advance)
        typer.echo(json.dumps(measure14(rows, found, terminology, rules, reader.identity), indent=1))


@measure.command()
def heads(reports: Radiographs, model: Model = None) -> None:
    """Measure how many MeSH heads of indexed radiographs the codes of their findings reach; a head a line, then all."""
    from models.terminology import Terminology
    from models.terminology.recall import told
    from training.heads import heads_reached, read_indexed
    from training.readers import IN_FLIGHT, model_settings, opened

    indexed = read_indexed(reports)
    with (
        closing(Terminology.open()) as terminology,
        opened(model_settings(model)) as reader,
        progress_bar(len(indexed)) as advance,
    ):
        found = heads_reached(reader, indexed, terminology, IN_FLIGHT, advance)
    for line in told(found):
        typer.echo(line)


@measure.command()
def folds14(
    base: Annotated[Path, typer.Argument(help="Base of our own form, a folder or a GGUF")],
    reports: Radiographs,
    labels: Radiographs14,
    recipe: Recipe = "openi",
    corpus: Corpus = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts; each is labelled by a model trained on the others")] = 5,
    out: Out = Path("build/folds14"),
) -> None:
    """Train the label task beside extraction, fold by fold, and measure it; JSON alone on standard output."""
    import json
    import sys
    from contextlib import redirect_stdout

    from training.corpus import CORPUS, load_corpus
    from training.label_task import cross_validate
    from training.labels14 import read_rules, scores14
    from training.qlora import QloraRecipe
    from training.radiographs import read_radiographs
    from training.recipes import load_recipe

    rules, settings = read_rules(), load_recipe(recipe, "qlora", QloraRecipe)
    rows = read_radiographs(reports, labels, rules)
    marked = load_corpus("train", corpus or CORPUS)
    # The trainer prints its losses.
    with redirect_stdout(sys.stderr), progress_bar(len(rows), "labelling") as advance:
        read, given = cross_validate(base, rows, marked, rules, settings, out, folds, advance)
    typer.echo(json.dumps(scores14(read, given, rules.names), indent=1))


def _measure(
    labelled: list[Labelled], seen: set[str], model: Path | None, json_file: Path | None, teacher: Teacher | None = None
) -> None:
    """Composition root of both measurements: a reader, as the service opens it."""
    import json

    from rich.console import Console

    from models.terminology import Terminology
    from training.conditions import condition_of
    from training.evaluate import answers, evaluate
    from training.readers import IN_FLIGHT, model_settings, opened
    from training.tables import overview, weights

    settings = model_settings(model)
    with (
        closing(Terminology.open()) as terminology,
        opened(settings, teacher) as reader,
        progress_bar(len(labelled)) as advance,
    ):
        read = answers(reader, labelled, IN_FLIGHT, advance)
        found = evaluate(
            read, reader.identity, seen, condition=condition_of(terminology), tokens=reader.tokens_written
        ).as_json()
    found |= weights(settings.model) if teacher != "rules" else {}
    if json_file:
        json_file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    Console().print(overview(found))


def _evaluations(files: list[Path]) -> list[tuple[str, Json]]:
    import json

    from training.errors import LabelsError

    try:
        return [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in files]
    except (OSError, json.JSONDecodeError):
        raise LabelsError(
            "a file of figures is missing or no JSON: `gamut train evaluate … --json FILE` writes them"
        ) from None
