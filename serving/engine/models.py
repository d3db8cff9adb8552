"""How an engine's models are served unless they say otherwise."""

from __future__ import annotations

from typing import Any

from serving.engine.config import EngineConfig
from serving.server.config import CatalogueConfig, ModelConfig, ServerConfig


def engine_models(config: EngineConfig) -> EngineConfig:
    """The config with what is left out of its models.

    What a request lacks is null there, and their items are those of the engine's catalogue, computed ahead.
    """
    made = [_served(model, config) for model in config.models]
    return config.model_copy(update={"models": made})


def _served(model: ModelConfig, config: EngineConfig) -> ModelConfig:
    more: dict[str, Any] = {}
    for key in ("bad_values", "missing_columns"):
        if key not in model.model_fields_set:
            more[key] = "default"
    if "unknown_columns" not in model.model_fields_set:
        more["unknown_columns"] = "ignore"
    if model.catalogue is None and _scores_items(model, config):
        shelf = config.catalogue
        more["catalogue"] = CatalogueConfig(source=shelf.source, key=shelf.key, refresh_s=shelf.refresh_s)
    return model.model_copy(update=more)


def _scores_items(model: ModelConfig, config: ServerConfig) -> bool:
    """Whether a stage scores items by the model: a tower of users has none."""
    assert isinstance(config, EngineConfig)
    return any(
        stage.model == model.name and stage.items is None for scene in config.scenes for _, stage in scene.scorers()
    )
