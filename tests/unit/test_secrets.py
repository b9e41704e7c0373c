"""Secrets: their sources, the keystore, sealed settings, and that no sink shows one."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import traceback
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine.cli.keys import secrets_of
from engine.cli.main import cli, main
from engine.cli.run import read_settings
from engine.errors import (
    KeystoreBadFile,
    KeystoreLocked,
    KeystoreNameTaken,
    SecretExposed,
    SecretMissing,
    SettingsError,
    SettingsSealed,
)
from engine.safety.audit import Entry, body_of
from engine.safety.audit import Kind as AuditKind
from engine.settings.keystore import Keystore
from engine.settings.load import load
from engine.settings.redact import MARK, RedactingFilter, Redactor
from engine.settings.seal import open_bytes, open_sealed, seal
from engine.settings.secrets import Secret, Secrets
from tests.support.hand import Hand

NOW = 1_700_000_000_000_000_000
CHEAP = {"log_n": 10}


@pytest.fixture
def store(tmp_path):
    return Keystore(tmp_path / "keystore", "correct horse", **CHEAP)


# ---------------------------------------------------------------------------------------------------------- sealing
def test_what_was_sealed_opens_with_its_passphrase_alone_and_never_looks_the_same():
    one, other = seal(b"content", "a", **CHEAP), seal(b"content", "a", **CHEAP)
    assert open_bytes(one, "a") == open_bytes(other, "a") == b"content"
    assert one != other
    assert open_bytes(one, "b") is None


def test_a_sealed_file_changed_at_any_byte_does_not_open():
    sealed = seal(b"content", "a", **CHEAP)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        try:
            assert open_bytes(bytes(changed), "a") is None, at
        except KeystoreBadFile:
            assert at < 12, "only the head says what is wrong with it"


def test_numbers_of_scrypt_that_ask_for_too_much_or_too_little_are_refused():
    sealed = bytearray(seal(b"content", "a", **CHEAP))
    for log_n in (0, 9, 21, 255):
        sealed[9] = log_n
        with pytest.raises(KeystoreBadFile, match="scrypt"):
            open_bytes(bytes(sealed), "a")


@pytest.mark.parametrize("cut", [0, 5, 12, 40, 55])
def test_a_cut_file_is_no_sealed_file(cut):
    with pytest.raises(KeystoreBadFile):
        open_bytes(seal(b"", "a", **CHEAP)[:cut], "a")


def test_settings_can_be_sealed_and_a_wrong_passphrase_starts_nothing(tmp_path):
    path = tmp_path / "live.sealed"
    path.write_bytes(seal(b"[engine]\nname = 'sealed-one'\n", "pass", **CHEAP))
    assert load([path], unseal=lambda c: open_sealed(c, "pass")).settings.engine.name == "sealed-one"
    with pytest.raises(SettingsSealed):
        load([path], unseal=lambda c: open_sealed(c, "other"))


# --------------------------------------------------------------------------------------------------------- keystore
def test_the_keystore_keeps_what_was_added_and_only_that(store, tmp_path):
    store.add("venue-key", "k1", NOW)
    store.add("venue-secret", "s1", NOW)
    store.rotate("venue-key", "k2", NOW + 5)
    store.remove("venue-secret")
    again = Keystore(tmp_path / "keystore", "correct horse")
    assert again.listing() == [("venue-key", NOW, NOW + 5)]
    assert (again.find("venue-key"), again.find("venue-secret")) == ("k2", None)


def test_a_wrong_passphrase_a_taken_name_a_missing_one_and_a_bad_one_are_refused(store):
    store.add("a", "x" * 8, NOW)
    with pytest.raises(KeystoreLocked):
        Keystore(store.path, "wrong")
    with pytest.raises(KeystoreNameTaken):
        store.add("a", "y", NOW)
    for call in (store.remove, lambda n: store.rotate(n, "x", NOW)):
        with pytest.raises(SecretMissing):
            call("b")
    for name in ("", "../x", "a b", "a" * 65, ".a"):
        with pytest.raises(KeystoreBadFile):
            store.add(name, "x", NOW)


def test_the_keystore_is_private_and_refused_when_it_is_not(store):
    store.add("a", "x" * 8, NOW)
    assert store.path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o660, 0o644):
        store.path.chmod(mode)
        with pytest.raises(SecretExposed):
            Keystore(store.path, "correct horse")


def test_no_value_stands_in_the_file_in_clear(store):
    store.add("a", "very-secret-value", NOW)
    content = store.path.read_bytes()
    assert b"very-secret" not in content
    assert b'"a"' not in content


def test_a_new_passphrase_locks_the_old_one_out(store):
    store.add("a", "x" * 8, NOW)
    store.change_passphrase("battery staple")
    with pytest.raises(KeystoreLocked):
        Keystore(store.path, "correct horse")
    assert Keystore(store.path, "battery staple").find("a") == "x" * 8


# ---------------------------------------------------------------------------------------------------------- sources
def test_systemd_comes_before_the_keystore_and_that_before_the_environment(store, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    environ = {"BOT4_SECRET_A_B": "from-environment", "CREDENTIALS_DIRECTORY": str(folder)}
    secrets = Secrets(environ, lambda: store)
    assert secrets.get("a-b").reveal() == "from-environment"
    store.add("a-b", "from-keystore", NOW)
    assert secrets.get("a-b").reveal() == "from-keystore"
    (folder / "a-b").write_text("from-systemd\n")
    (folder / "a-b").chmod(0o400)
    assert secrets.get("a-b").reveal() == "from-systemd"
    assert secrets.names()["a-b"] == "systemd"
    (folder / "a-b").chmod(0o440)
    with pytest.raises(SecretExposed):
        secrets.get("a-b")


@pytest.mark.parametrize("name", ["../passwd", "/etc/passwd", ".hidden", "none"])
def test_a_name_is_no_path(tmp_path, name):
    (tmp_path / "passwd").write_text("root")
    (tmp_path / "in").mkdir()
    with pytest.raises(SecretMissing):
        Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path / "in")}).get(name)


def test_a_secret_does_not_show_itself():
    secret = Secret("k", "hunter2-hunter2", "keystore")
    error = RuntimeError(f"with {secret}")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>80}", repr([secret])]
    shown += traceback.format_exception(error)
    assert not [text for text in shown if "hunter2" in text]
    for write in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            write(secret)


# -------------------------------------------------------------------------------------------------------- redaction
SECRET = "pa55+w/rd&=öß"


def test_a_known_secret_is_gone_in_each_form_it_is_sent_in():
    redactor = Redactor()
    redactor.learn(SECRET)
    for form in (SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), repr(SECRET)):
        shown = redactor.text(f"GET /x?y={form} ok")
        assert form not in shown
        assert MARK in shown
        assert shown.startswith("GET /x?y=")
        assert shown.endswith(" ok")


@hypothesis_settings(max_examples=50)
@given(st.text(min_size=6, max_size=40).filter(lambda t: t.strip() == t and "\n" not in t), st.text(max_size=20))
def test_no_text_keeps_a_known_secret(secret, around):
    redactor = Redactor()
    redactor.learn(secret)
    shown = redactor.text(f"{around}{secret}{around}")
    # What is left of it could only be what the mark itself, or the text around, happens to spell.
    assert secret not in shown or secret in MARK or secret in around or shown.count(MARK)


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("api_key=AbCdEf123 next", "AbCdEf123"), ('{"secret": "AbCdEf123"}', "AbCdEf123"),
        ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh"), ("postgres://me:s3cretpw@host/x", "s3cretpw"),
        ("https://hooks.slack.com/services/T0/B0/XXXX", "T0/B0"), ("password: 'a b c'", "a b c"),
        ("https://discord.com/api/webhooks/1/abc", "1/abc"), ("signature=deadbeef&x=1", "deadbeef"),
        ("bot123456789:AAF0abcdefghijklmnopqrstuvwxyz012345", "AAF0"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_gone_though_nobody_knew_it(line, gone):
    shown = Redactor().text(line)
    assert gone not in shown
    assert MARK in shown


def test_an_innocent_line_stays_as_it_is():
    line = "fill of 5 at 60000.01 on BTCUSDT, tokens=bucket? no; keyboard: fine, p99 = 12 us"
    assert Redactor().text(line).replace(MARK, "bucket?") == line


def test_a_log_record_is_clean_in_message_arguments_fields_and_traceback(capsys):
    redactor = Redactor()
    redactor.learn("hunter2-hunter2")
    handler = logging.StreamHandler()
    handler.addFilter(RedactingFilter(redactor))
    handler.setFormatter(logging.Formatter("%(message)s %(extra_field)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise RuntimeError("with hunter2-hunter2 inside")
    except RuntimeError:
        log.exception("said %s", "hunter2-hunter2", extra={"extra_field": {"deep": ["hunter2-hunter2"]}})
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert shown.count(MARK) >= 3


def test_neither_the_audit_nor_the_tail_of_events_keeps_a_secret(tmp_path):
    """Whatever an error's text carries: the audit stands for years, the tail goes to page, socket and terminal."""
    said = "the venue said: bad key hunter2-hunter2"
    Secret("venue", "hunter2-hunter2", "keystore")
    body = body_of(1, 0, Entry(AuditKind.CONFIG, "reload", explanation=said))
    assert b"hunter2" not in body
    assert MARK.encode() in body
    hand = Hand(tmp_path / "state")
    try:
        hand.picture.note("venue", 1, said)
        assert hand.picture.latest(1)[-1].text == f"the venue said: bad key {MARK}"
    finally:
        hand.close()


def test_an_error_at_the_command_line_shows_no_secret(monkeypatch, capsys):
    Secret("venue", "hunter2-hunter2", "keystore")

    def refuse() -> None:
        raise SettingsError("hunter2-hunter2 is no key")

    monkeypatch.setattr("engine.cli.main.cli", refuse)
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert MARK in shown


# ----------------------------------------------------------------------------------------------------- bot4 keys
@pytest.fixture
def bot4(tmp_path, monkeypatch):
    (tmp_path / "pass").write_text("correct horse\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("BOT4_PASSPHRASE_FILE", str(tmp_path / "pass"))
    monkeypatch.setattr("engine.settings.seal.LOG_N", 10)

    def run(*words, **kw):
        return CliRunner().invoke(cli, words, catch_exceptions=True, **kw)

    return run


def test_keys_are_added_listed_rotated_and_removed_and_never_shown(bot4, tmp_path):
    where = ("--directory", str(tmp_path))
    shown = bot4("keys", "add", "venue-key", *where, input="the-value-itself").output
    shown += bot4("keys", "rotate", "venue-key", *where, input="the-other-value").output
    listed = bot4("keys", "list", *where).output
    assert "venue-key: keystore, added" in listed
    assert "rotated" in listed
    assert Keystore(tmp_path / "keystore", "correct horse").find("venue-key") == "the-other-value"
    shown += bot4("keys", "remove", "venue-key", *where).output
    assert "no secret is known" in bot4("keys", "list", *where).output
    assert "the-value" not in shown + listed
    assert "the-other" not in shown + listed


def test_a_passphrase_file_that_others_can_read_is_refused(bot4, tmp_path):
    (tmp_path / "pass").chmod(0o644)
    done = bot4("keys", "add", "a", "--directory", str(tmp_path), input="x" * 8)
    assert isinstance(done.exception, SecretExposed)
    assert not (tmp_path / "keystore").exists()


def test_a_settings_file_is_sealed_and_read_by_every_command(bot4, tmp_path):
    plain, sealed = tmp_path / "a.toml", tmp_path / "a.sealed"
    plain.write_text("[engine]\nname = 'quiet'\n")
    assert bot4("keys", "seal", str(plain), str(sealed)).exit_code == 0
    assert b"quiet" not in sealed.read_bytes()
    assert bot4("keys", "unseal", str(sealed)).output == plain.read_text()
    assert 'name = "quiet"' in bot4("config", "show", "engine", "-c", str(sealed)).output
    # And by those that start something: a run, a backtest, a sweep.
    assert read_settings((sealed,), tmp_path).settings.engine.name == "quiet"


# ------------------------------------------------------------------------------------------------- a running engine
def test_the_unit_puts_its_own_name_before_those_of_a_folder_of_credentials(tmp_path):
    for name, value in (("bot4_venue", "of the folder"), ("plain", "of its own")):
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o400)
    secrets = Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert secrets.get("venue").reveal() == "of the folder"
    assert secrets.get("plain").reveal() == "of its own"
    assert secrets.names() == {"venue": "systemd", "plain": "systemd"}


def test_a_running_engine_has_the_keystore_of_its_folder_and_asks_for_it_when_it_is_needed(bot4, tmp_path, monkeypatch):
    bot4("keys", "add", "venue-key", "--directory", str(tmp_path), input="the-value-itself")
    monkeypatch.setenv("BOT4_SECRET_OTHER", "of the environment")
    secrets = secrets_of(tmp_path)
    assert secrets.get("venue-key").reveal() == "the-value-itself"
    assert secrets.get("other").source == "environment"


def test_whoever_watches_is_told_of_each_read_also_of_those_before(tmp_path):
    secrets, told = Secrets({"BOT4_SECRET_A": "a value", "BOT4_SECRET_B": "b value"}), []
    secrets.get("a")
    secrets.watch(lambda secret: told.append((secret.name, secret.source)))
    secrets.get("b")
    assert told == [("a", "environment"), ("b", "environment")]
