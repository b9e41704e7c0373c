"""`bot4 audit`: read the audit, prove it whole, report from it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from engine.safety.audit import Anchor, Kind, Record, Report, read, verify
from engine.safety.life import audit_key

EXIT_CHANGED = 3
_STATE = click.Path(path_type=Path, file_okay=False)
state_option = click.option(
    "--state", type=_STATE, default=Path("/var/lib/bot4/main"), show_default=True, help="The engine's folder."
)
key_option = click.option("--key", type=click.Path(path_type=Path, exists=True), help="A file with the audit's key.")


def when(at_ns: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(at_ns, 'ns'), unit='us')}Z"


def moment(text: str) -> int:
    """`2026-11-21` or `2026-11-21T14:05:00`, UTC."""
    try:
        return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
    except ValueError as error:
        raise click.BadParameter(f"{text}: a time looks like 2026-11-21T14:05:00") from error


def as_dict(record: Record) -> dict[str, Any]:
    entry = record.entry
    return {
        "id": record.audit_id,
        "time": when(record.at_ns),
        "kind": entry.kind.value,
        "action": entry.action,
        "trigger": entry.trigger,
        "rule": entry.rule,
        "affected": entry.affected,
        "decided_by": entry.actor,
        "human_override": entry.human,
        "explanation": entry.explanation,
        "data": dict(entry.data),
    }


# In a report each of these stands by itself; the others are counted.
WRITTEN_OUT = ("trip", "sequence", "reset", "mode", "config", "drill", "key", "tier")


@click.group()
def audit() -> None:
    """The audit: what was done, by whom and why, and whether anybody changed it since."""


@audit.command()
@state_option
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), multiple=True, help="Only these.")
@click.option("--last", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(state: Path, kind: tuple[str, ...], last: int, *, as_json: bool) -> None:
    """Show the newest records. Does not check the marks: that is `verify`.

    Example: bot4 audit show --kind trip --kind reset
    """
    records = [
        record for record in read(state / "audit", None, Report()) if not kind or record.entry.kind.value in kind
    ]
    for record in records[-last:]:
        row = as_dict(record)
        if as_json:
            click.echo(json.dumps(row))
        else:
            who = f"{row['decided_by']}{' (human)' if row['human_override'] else ''}"
            why = f": {row['explanation']}" if row["explanation"] else ""
            click.echo(f"{row['time']}  {row['id']}  {row['kind']} {row['action']}  {row['trigger']}  {who}{why}")


@audit.command("verify")
@state_option
@key_option
@click.option("--anchor", type=click.Path(path_type=Path, exists=True), multiple=True, help="A copied-out anchor.")
@click.option("--journal", is_flag=True, help="Take the anchors that systemd's journal holds, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify_command(state: Path, key: Path | None, anchor: tuple[Path, ...], *, journal: bool, as_json: bool) -> None:
    """Walk the whole chain and hold every anchor against it. Exit 0: whole. 3: changed, and where.

    Example: bot4 audit verify --anchor /net/elsewhere/anchor --journal
    """
    own = state / "audit" / "anchor"
    anchors = [Anchor.parse(path.read_text()) for path in (*anchor, *([own] if own.exists() else []))]
    if journal:
        anchors += journal_anchors()
    report = verify(state / "audit", audit_key(state.name, key, state=state), anchors)
    findings = [{"place": finding.place, "text": finding.text} for finding in report.findings]
    if as_json:
        click.echo(json.dumps({"whole": report.whole, "records": report.records, "findings": findings}))
    else:
        for finding in findings:
            click.echo(f"{finding['place']}: {finding['text']}")
        click.echo(f"{report.records} records, {len(anchors)} anchors: {'whole' if report.whole else 'CHANGED'}")
    if not report.whole:
        sys.exit(EXIT_CHANGED)


def journal_anchors() -> list[Anchor]:
    command = ["journalctl", "-o", "cat", "--output-fields=MESSAGE", "-t", "bot4-audit"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [Anchor.parse(line) for line in text.split("\n") if line.startswith("bot4-audit ")]


@audit.command()
@state_option
@key_option
@click.option("--from", "begin", default="1970-01-01", help="From this time on, UTC.")
@click.option("--to", "end", default="2200-01-01", help="Up to this time, not included.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, one line per record, in place of Markdown.")
def report(state: Path, key: Path | None, begin: str, end: str, *, as_csv: bool) -> None:
    """The compliance report of a period: Markdown, or CSV. The chain is verified first, and the report says so.

    Example: bot4 audit report --from 2026-10-01 --to 2026-11-01 > october.md
    """
    checked = verify(state / "audit", audit_key(state.name, key, state=state))
    first, last = moment(begin), moment(end)
    records = [r for r in read(state / "audit", None, Report()) if first <= r.at_ns < last]
    click.echo(to_csv(records) if as_csv else to_markdown(records, checked, begin, end), nl=False)
    if not checked.whole:
        sys.exit(EXIT_CHANGED)


def to_csv(records: list[Record]) -> str:
    text = io.StringIO()
    names = list(as_dict(records[0])) if records else ["id"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in records:
        row = as_dict(record)
        writer.writerow({**row, "data": json.dumps(row["data"], sort_keys=True)})
    return text.getvalue()


def to_markdown(records: list[Record], checked: Report, begin: str, end: str) -> str:
    counts = Counter(record.entry.kind.value for record in records)
    state = "whole" if checked.whole else f"CHANGED: {len(checked.findings)} findings, see `bot4 audit verify`"
    lines = [
        f"# Audit report, {begin} to {end}",
        "",
        f"{len(records)} of {checked.records} records. Chain: {state}. Last record: {checked.last.number}, "
        f"mark `{checked.last.mark}`.",
        "",
        "| kind | records |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in sorted(counts.items())),
        "",
        "## Trips, resets and what people decided",
        "",
        "| time | id | action | trigger | rule | affected | decided by | human | explanation |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        row = as_dict(record)
        if row["human_override"] or row["kind"] in WRITTEN_OUT:
            cells = [row[name] for name in ("time", "id", "action", "trigger", "rule", "affected", "decided_by")]
            cells += ["yes" if row["human_override"] else "no", row["explanation"]]
            # A record's own text must not become part of the table.
            lines.append("| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
    return "\n".join(lines) + "\n"
