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


class SweepImpossible(ResearchError):
    code = "BOT4-2005"
    sentence = "A sweep cannot be run like this."


class SweepDiffers(ResearchError):
    code = "BOT4-2006"
    sentence = "The directory holds another sweep."
    remedy = "Repeat the command that began it, or name another directory with --out."


class SweepEmpty(ResearchError):
    code = "BOT4-2007"
    sentence = "No trial of the sweep can be ranked."
    remedy = "Look at the failures in trials/, and whether the strategy trades at all on this data."


class SweepWorkerLost(ResearchError, RuntimeError):
    code = "BOT4-2008"
    sentence = "A worker of the sweep ended without an answer, most likely for want of memory."
    remedy = "Give fewer --workers, or more --memory-mb; the same command goes on where it stopped."


class ExtraMissing(ResearchError, ImportError):
    code = "BOT4-2009"
    sentence = "This needs a package that is not installed with the engine."
    remedy = "Install the extra that is named; nothing else needs it."


class ParityImpossible(ResearchError):
    code = "BOT4-2010"
    sentence = "A session cannot be held against a backtest."


class ParityBroken(ResearchError):
    code = "BOT4-2011"
    sentence = "The recorded session decided otherwise than the engine decides on the same events."
    remedy = (
        "Compare the versions of engine and strategy, and `bot4 journal verify`; until then no backtest speaks of it."
    )


class ScalerMismatch(ResearchError, ValueError):
    code = "BOT4-2012"
    sentence = "A scaler does not belong to these features."
    remedy = "Learn it again on the features that are used; `bot4 features prepare` writes both."
