"""Trained models that cannot be used."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class ModelError(Bot4Error, ValueError):
    code = "BOT4-2040"
    sentence = "A trained model cannot be used."


class ModelUnreadable(ModelError):
    code = "BOT4-2041"
    sentence = "A model file is not whole, or says something that no model is."
    remedy = "Write it again with `bot4 model fit` or `bot4 model import`; nothing is repaired by guessing."


class ModelMismatch(ModelError):
    code = "BOT4-2042"
    sentence = "A model was trained on other features than these."
    remedy = "Train it again on the features that the strategy asks for: on others its answers mean nothing."


class ModelForeign(ModelError):
    code = "BOT4-2043"
    sentence = "Another library's model has a part that is not computed here."
    remedy = "The detail names the part; train without it, or bring the model as one of the forms that are read."
