"""Connections and venues: what goes wrong between our bytes and theirs."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class NetError(Bot4Error, OSError):
    code = "BOT4-1800"
    sentence = "A connection to a venue failed."
    remedy = "The engine reconnects by itself with growing pauses; `bot4 status` shows the connection."


class RateDenied(NetError, BlockingIOError):
    code = "BOT4-1801"
    sentence = "The rate budget does not allow this request now."
    remedy = "It is not sent; the detail says which limit and when there is room again."


class VenueBanned(NetError, PermissionError):
    code = "BOT4-1802"
    sentence = "The venue has banned this address for a while."
    remedy = "Nothing is sent until the ban ends; find out what used the limit up."


class ConnectFailed(NetError, ConnectionError):
    code = "BOT4-1803"
    sentence = "A connection could not be opened."
    remedy = "Check the address, the certificate store and the firewall; the detail has the cause."


class CertificateRefused(ConnectFailed):
    code = "BOT4-1804"
    sentence = "The venue's certificate is not one that this machine trusts."
    remedy = "Never switch the check off: find out who answers at this address."


class FrameRefused(NetError, ValueError):
    code = "BOT4-1805"
    sentence = "A message broke the protocol or its limits, and its connection was closed."
    remedy = "The engine reconnects; if it happens again, keep the message and compare it with the venue's manual."


class ClockUnsure(NetError, RuntimeError):
    code = "BOT4-1806"
    sentence = "The clock is too far from the venue's, or the distance is not known well enough: nothing is signed."
    remedy = "Start the system's time synchronisation; signing resumes when the measured distance is inside its limit."


class ReplyUnknown(NetError, LookupError):
    code = "BOT4-1807"
    sentence = "An answer belongs to no request of ours."
    remedy = "It is counted and dropped; many of them mean that another program uses this connection's key."


class VenueRefused(NetError, ValueError):
    code = "BOT4-1808"
    sentence = "The venue refused a request."
    remedy = "The detail has its code and text; the page of the venue explains them."


class VenueUnsure(NetError, TimeoutError):
    code = "BOT4-1809"
    sentence = "The venue does not say whether the request was carried out."
    remedy = "The order stays UNKNOWN at its worst case until the venue is asked by client id."


class InstrumentRefused(NetError, ValueError):
    code = "BOT4-1810"
    sentence = "The venue's description of an instrument cannot be used."
    remedy = "Leave the instrument out, or read the detail: a step or a limit is missing or contradicts another."


class StartRefused(NetError, RuntimeError):
    code = "BOT4-1811"
    sentence = "The live driver is not ready: data, user stream, clock and reconciliation come first."
    remedy = "The detail names what is missing; it becomes ready by itself when that arrives."


class VenueNotSupported(NetError, LookupError):
    code = "BOT4-1812"
    sentence = "This venue, or this of its services, is not supported."
    remedy = "docs/venues lists what is; the ccxt bridge takes most others at its own speed."
