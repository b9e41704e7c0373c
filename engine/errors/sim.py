"""The embedded venue: what its builder did wrong. What a client does wrong is an answer of the venue, not an error."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class SimError(Bot4Error, ValueError):
    code = "BOT4-1900"
    sentence = "The embedded venue cannot be built or driven like this."
    remedy = "Correct the setting or the call; the detail names it."


class SimBadInstrument(SimError):
    code = "BOT4-1901"
    sentence = "An instrument of the embedded venue is malformed."
    remedy = "Tick times lot must be a whole number of 1e-8 quote units; prices and quantities must fit 63 bits."


class SimUnknownSymbol(SimError, LookupError):
    code = "BOT4-1902"
    sentence = "The embedded venue does not trade this symbol."


class SimUnknownAccount(SimError, LookupError):
    code = "BOT4-1903"
    sentence = "The embedded venue has no such account."


class SimBadAmount(SimError):
    code = "BOT4-1904"
    sentence = "An amount is negative or larger than what is there."


class SimTimeBackwards(SimError):
    code = "BOT4-1905"
    sentence = "The embedded venue was asked to go back in time."
    remedy = "Drive it with times that never decrease; it has no clock of its own."


class SimBadModel(SimError):
    code = "BOT4-1906"
    sentence = "A latency, fill, queue or fault model has a parameter outside its range."


class SimUnbalanced(SimError, RuntimeError):
    code = "BOT4-1907"
    sentence = "The embedded venue's books do not balance."
    remedy = "This is a bug in the venue: keep the seed and report it."


class SimBadCapture(SimError):
    code = "BOT4-1908"
    sentence = "A recording holds nothing that the market model can be fitted to."


class SimServerConfig(SimError):
    code = "BOT4-1920"
    sentence = "The venue's server cannot start with these settings."
