"""Features: a registry row or a block that cannot be made."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import CapacityError


class FeatureError(Bot4Error, ValueError):
    code = "BOT4-1500"
    sentence = "A feature cannot be computed as it was asked for."
    remedy = "`bot4 features list` shows every feature with its parameters and bounds."


class FeatureBadConfig(FeatureError):
    code = "BOT4-1501"
    sentence = "A feature's parameter is out of range."
    status = Status.FEATURE_BAD_CONFIG


class FeatureUnknown(FeatureError, LookupError):
    code = "BOT4-1502"
    sentence = "There is no feature of that name."
    status = Status.FEATURE_UNKNOWN


class FeatureFull(FeatureError, CapacityError):
    code = "BOT4-1503"
    sentence = "The feature block has no room for another feature."
    status = Status.FEATURE_FULL
