"""The control socket, the page, metrics, alerts: what a person touches while the engine runs."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class ControlError(Bot4Error, RuntimeError):
    code = "BOT4-1400"
    sentence = "The control socket refused this."
    remedy = "`bot4 --help` lists what an engine may be asked; none of it places a trade."


class ControlUnreachable(ControlError, ConnectionError):
    code = "BOT4-1401"
    sentence = "No engine answers at the control socket."
    remedy = "Start one with `bot4 run`, or name its folder with --directory."


class ControlForbidden(ControlError, PermissionError):
    code = "BOT4-1402"
    sentence = "Only the engine's own user and root may speak to it."
    remedy = "Run the command as the user that the engine runs as."


class ControlTaken(ControlError):
    code = "BOT4-1403"
    sentence = "Another engine answers at this control socket already."
    remedy = "Stop the other engine, or give this one a folder of its own."


class ControlBadRequest(ControlError, ValueError):
    code = "BOT4-1404"
    sentence = "The request is not one that the engine knows."
    remedy = "Use the `bot4` of the same version as the engine."


class ControlBusy(ControlError):
    code = "BOT4-1405"
    sentence = "The control socket serves as many clients as it may."
    remedy = "Close a `bot4 top` or raise control.clients_max."


class ControlBadPath(ControlError, OSError):
    code = "BOT4-1406"
    sentence = "The control socket cannot be made there."
    remedy = "A path of a socket has at most 107 bytes, and its folder must be the engine's own."


class ControlRefused(ControlError):
    code = "BOT4-1407"
    sentence = "The engine refused the command."
    remedy = "`bot4 status` and `bot4 why` show what it stands on."


class DashboardError(Bot4Error, RuntimeError):
    code = "BOT4-1410"
    sentence = "The page cannot be served."
    remedy = "Correct the section [dashboard]; `bot4 config check` reads it without starting anything."


class DashboardExposed(DashboardError, PermissionError):
    code = "BOT4-1411"
    sentence = "Beyond loopback the page is served with a token and TLS only."


class DashboardFilesMissing(DashboardError, LookupError):
    code = "BOT4-1412"
    sentence = "The page's files are not installed."
    remedy = "Install the package anew."


class AlertError(Bot4Error, ValueError):
    code = "BOT4-1420"
    sentence = "An alert rule or sink cannot be used."
    remedy = "Correct the rule or the section [alerts]; the detail names the place."


class AlertUndelivered(AlertError, ConnectionError):
    code = "BOT4-1421"
    sentence = "A sink did not take an alert."
    remedy = "Check its address and secret; the alert went to the other sinks and to the log."


class AlertUnknown(AlertError, LookupError):
    code = "BOT4-1422"
    sentence = "No alert of that group is open."
    remedy = "`bot4 alerts` shows what is open; without a group all of it is acknowledged."


class TracingMissing(Bot4Error, ImportError):
    code = "BOT4-1430"
    sentence = "Traces are switched on and OpenTelemetry is not installed."
    remedy = "Install the extra: pip install 'bot4[trace]', or switch tracing off."
