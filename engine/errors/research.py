"""Data sets and backtests that cannot be used."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class ResearchError(Bot4Error, ValueError):
    code = "BOT4-2000"
    sentence = "A data set or a backtest cannot be used like this."
    remedy = "The detail names what is wrong; nothing was written."


class DatasetUnreadable(ResearchError):
    code = "BOT4-2001"
    sentence = "A data set is not in a form that this command reads."
    remedy = "Give a recorded capture with --symbol, --tick and --lot, or an .npy or .npz of event records."


class DatasetEmpty(ResearchError):
    code = "BOT4-2002"
    sentence = "A data set holds no market event that a backtest could run on."
    remedy = "Look at what `bot4 data check` says of it."


class BacktestImpossible(ResearchError):
    code = "BOT4-2003"
    sentence = "A backtest cannot be run with these settings."


class LookAheadFound(ResearchError):
    code = "BOT4-2004"
    sentence = "The strategy decides with data from after the decision."
    remedy = "Take from its inputs whatever is not known at that time; until then its result means nothing."
