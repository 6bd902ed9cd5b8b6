"""The README keeps what it promises: every setting stands in its table."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

ROOMS = ("models", "connector", "workers")
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def settings_classes() -> set[type[BaseSettings]]:
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(module.name)
    return {cls for cls in BaseSettings.__subclasses__() if cls.__module__.split(".")[0] in ROOMS}


@pytest.mark.parametrize("cls", sorted(settings_classes(), key=lambda cls: cls.__name__))
def test_every_setting_stands_in_the_readme(cls: type[BaseSettings]) -> None:
    prefix = str(cls.model_config["env_prefix"])
    missing = [name for field in cls.model_fields if (name := f"`{prefix}{field}`".upper()) not in README]
    assert not missing


@pytest.mark.parametrize("cls", sorted(settings_classes(), key=lambda cls: cls.__name__))
def test_every_setting_says_what_it_is(cls: type[BaseSettings]) -> None:
    assert all(field.description for field in cls.model_fields.values())
