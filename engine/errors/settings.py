"""Settings, tiers and secrets: what was chosen and may not stand."""

from __future__ import annotations

from engine.errors.base import Bot4Error


class SettingsError(Bot4Error, ValueError):
    code = "BOT4-1200"
    sentence = "The settings cannot be used."
    remedy = "Correct the place that the detail names; `bot4 config check` reads them again without starting anything."


class SettingsInvalid(SettingsError):
    code = "BOT4-1201"
    sentence = "The settings hold mistakes, and nothing was started."

    def __init__(self, detail: str = "", problems: tuple[object, ...] = ()) -> None:
        super().__init__(detail)
        self.problems = problems


class SettingsMissing(SettingsError, LookupError):
    code = "BOT4-1202"
    sentence = "A settings file is not there or cannot be read."
    remedy = "Check the path and its permissions."


class SettingsSealed(SettingsError):
    code = "BOT4-1203"
    sentence = "The sealed settings file does not open."
    remedy = "Give the passphrase it was sealed with; a file that was changed afterwards never opens."


class CooldownBadFile(SettingsError, OSError):
    code = "BOT4-1204"
    sentence = "The record of the settings in force cannot be read or written, so nothing starts."
    remedy = "Find out who changed the file before you remove it: without it the next start takes all settings."


class TierError(Bot4Error, ValueError):
    code = "BOT4-1210"
    sentence = "The capital tier does not allow this."
    remedy = "`bot4 tiers` shows what each tier allows and what promotion needs."


class TierForbids(TierError):
    code = "BOT4-1211"
    sentence = "The settings ask for more than the tier grants."


class TierUnknown(TierError, LookupError):
    code = "BOT4-1212"
    sentence = "No tier of this name exists."


class TierTooSmall(TierError):
    code = "BOT4-1213"
    sentence = "The capital is below what live trading needs."
    remedy = "Run on paper until the account holds enough."


class TierBadFile(TierError):
    code = "BOT4-1214"
    sentence = "The tier files or the record of the tier in force do not make a ladder."
    remedy = "Correct the file that the detail names."


class SecretError(Bot4Error, RuntimeError):
    code = "BOT4-1220"
    sentence = "A secret cannot be used."
    remedy = "`bot4 keys list` shows which names are known and where they come from."


class SecretMissing(SecretError, LookupError):
    code = "BOT4-1221"
    sentence = "No secret of this name is known."
    remedy = "Add it with `bot4 keys add NAME`, as a systemd credential, or in the environment."


class SecretExposed(SecretError, PermissionError):
    code = "BOT4-1222"
    sentence = "A file with secrets can be read by others, so it is not read at all."
    remedy = "Take it as known to others: replace the secret at the venue, then `chmod 600` the file."


class KeystoreLocked(SecretError):
    code = "BOT4-1223"
    sentence = "The keystore does not open with this passphrase."
    remedy = "Give the right passphrase; a keystore that was changed from outside does not open either."


class KeystoreBadFile(SecretError, OSError):
    code = "BOT4-1224"
    sentence = "The keystore file is not one that this engine wrote."
    remedy = "Restore it from a copy, or add the keys anew."


class KeystoreNameTaken(SecretError):
    code = "BOT4-1225"
    sentence = "The keystore has a secret of this name already."
    remedy = "Use `bot4 keys rotate NAME` to replace it."
