"""A person's word for what is at stake: wanted, missing, late, or not theirs."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class ApprovalError(Bot4Error, PermissionError):
    code = "BOT4-1360"
    sentence = "What was asked for needs a person's signed word."
    remedy = "`bot4 approve` lists what waits for one; who says nothing within the time has said no."


class ApprovalWanted(ApprovalError):
    code = "BOT4-1361"
    sentence = "This waits for a signed word."


class ApprovalUnknown(ApprovalError, LookupError):
    code = "BOT4-1362"
    sentence = "No request of this number waits for a word."
    remedy = "`bot4 approve` lists those that do; a request that ran out of time was a no and is asked anew."


class ApprovalBadSignature(ApprovalError):
    code = "BOT4-1363"
    sentence = "The signature is not the operator's over this very request."
    remedy = "Sign the request as `bot4 approve` shows it now, with the key whose public half stands in the settings."


class ApprovalNoKey(ApprovalError):
    code = "BOT4-1364"
    sentence = "No operator's key is known here, so nobody can approve."
    remedy = "`bot4 keys operator FILE` makes one; its public half goes into approval.key of the settings."
