"""`bot4 approve`: what waits for a person's word, and the word itself, signed here and checked by the engine."""

from __future__ import annotations

from pathlib import Path

import click

from engine._core.clock import utc_ns
from engine.cli.control import connect, directory_option, json_option, socket_option
from engine.cli.output import echo_json, iso
from engine.errors import ApprovalNoKey, ApprovalUnknown
from engine.observe import commands as c
from engine.safety.approval import KEY_NAME, Request, sign
from engine.settings.schema import Settings
from engine.settings.secrets import require_private


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="The operator's private key (PEM).")
@click.option("--no", "deny", is_flag=True, help="Say no; needs no key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@directory_option
@socket_option
@json_option
def approve(
    number: int | None, key: Path | None, deny: bool, yes: bool, directory: Path | None, socket: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List what waits for a person's word, or give it for request NUMBER, signed with the operator's key.

    A word is for one order of that strategy, side and size, or for one way back to Normal, and lifts no rule: the gate
    has the last say. No word in time is a no. Without --key the pair of a paper engine's own folder signs.
    Exit 0: listed, or taken. 1: refused; nothing was changed.

    Example: bot4 approve 3 --key ~/bot4-operator.pem
    """
    with connect(directory, socket) as client:
        found = client.approvals()
        if number is None:
            _list(found, as_json=as_json)
            return
        request = next((one for one in found if one.number == number), None)
        if request is None:
            raise ApprovalUnknown(f"Request {number}.")
        command = c.Deny(number) if deny else c.Approve(number, _signed(request, key, directory, yes=yes))
        reply = client.call(command)
    if as_json:
        echo_json(reply)
    else:
        click.echo(reply.text)


def _list(found: list[Request], *, as_json: bool) -> None:
    if as_json:
        echo_json(found)
        return
    for one in found:
        left_s = max(0, one.until_ns - utc_ns()) // 10**9
        left = f"{left_s} s left" if left_s else f"until {iso(one.until_ns)} of the engine's time"
        click.echo(f"{one.number}: {one.text} ({left})")
    if not found:
        click.echo("nothing waits for a word")


def _signed(request: Request, key: Path | None, directory: Path | None, *, yes: bool) -> str:
    path = key or (directory or Path(Settings().engine.directory)) / KEY_NAME
    if not path.is_file():
        raise ApprovalNoKey(f"{path} is not there; --key names the operator's.")
    if key is not None:
        require_private(path)
    if not yes:
        click.confirm(f"{request.text}. Approve?", abort=True, err=True)
    return sign(path.read_bytes(), request)
