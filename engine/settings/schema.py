"""Every setting there is: the sections around the core, and `Settings` that holds them all.

One description for each key (engine/settings/units.py); defaults live here and nowhere else: config/base.toml is
rendered from them, and a test holds it so. Everything is frozen: a change makes new settings.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from engine.settings.discipline import Discipline
from engine.settings.reconcile import Reconcile
from engine.settings.trading import Account, Capacity, Instrument, Limits, Route, Section, Strategy
from engine.settings.units import plain, text, whole

TierName = Literal["survival", "growth", "acceleration", "institutional", "whale"]
MS, SECOND = 10**6, 10**9
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_CLOCK_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


class Engine(Section, frozen=True, kw_only=True):
    """Which engine this is, and where it keeps what must survive it."""

    name: Annotated[str, text("Name of this engine in logs, metrics and alerts.", _NAME)] = "bot4"
    mode: Annotated[Literal["paper", "live"], plain("choice", "Paper trades at the embedded venue.")] = "paper"
    directory: Annotated[str, text("Folder of state, journal, latch and sockets.")] = "var/bot4"
    seed: Annotated[int, whole("seed", 0, 2**62, "Seed of the generated market and the embedded venue.")] = 7


class Market(Section, frozen=True, kw_only=True):
    """The generated market of a paper session. docs/market-flow.md shows what it was fitted to."""

    kind: Annotated[
        Literal["walk", "flow"], plain("choice", "Random walks (cheapest), or fitted order flow of correlated symbols.")
    ] = "walk"
    regime: Annotated[
        Literal["follow", "calm", "trend", "crash", "gap"],
        plain("choice", "Of order flow: one regime throughout, or follow: each as long and as often as recorded."),
    ] = "follow"
    pace: Annotated[
        int, whole("times", 1, 100_000, "Of order flow: how many times faster regimes change than recorded.")
    ] = 1


class TierChoice(Section, frozen=True, kw_only=True):
    """Which tier's limits and grants are in force."""

    name: Annotated[Literal["auto", TierName], plain("choice", "A tier, or auto: by capital.")] = "auto"
    hysteresis_ppm: Annotated[
        int, whole("ppm", 0, 500_000, "Capital above a tier's lower bound before promotion into it.", "up")
    ] = 50_000
    cooldown_days: Annotated[int, whole("days", 1, 365, "Days in one tier before promotion out of it.", "up")] = 7


class Core(Section, frozen=True, kw_only=True):
    """How the loop that runs the core waits, and what it asks of the machine; what is refused is said, not fatal."""

    wait: Annotated[
        Literal["block", "spin"], plain("choice", "How the loop waits; spin takes a whole CPU and wakes sooner.")
    ] = "block"
    cpu: Annotated[int, whole("CPU", -1, 4_095, "CPU of the loop's thread; -1: any.")] = -1
    real_time: Annotated[int, whole("priority", 0, 99, "SCHED_FIFO of the loop's thread; 0: none.")] = 0
    lock_memory: Annotated[bool, plain("switch", "Keep all pages in memory (mlockall).")] = False
    huge_pages: Annotated[bool, plain("switch", "Ask for huge pages below the world.")] = True
    freeze: Annotated[bool, plain("switch", "Collect garbage between turns, never inside a step.")] = True


class Journal(Section, frozen=True, kw_only=True):
    """The record that replays to the byte."""

    enabled: Annotated[bool, plain("switch", "Whether there is one; live there always is.")] = True
    mode: Annotated[
        Literal["off", "group", "each"], plain("choice", "When the disk is made to write: never, in groups, each time.")
    ] = "group"
    group_ms: Annotated[int, whole("ms", 1, 1_000, "Longest wait of a group for the disk.", "down")] = 5
    segment_bytes: Annotated[int, whole("bytes", 2**16, 2**32, "Size of a segment; a power of two.")] = 2**26
    compress: Annotated[bool, plain("switch", "Compress closed segments with zstd.")] = True
    retention_days: Annotated[int, whole("days", 1, 36_500, "Days that market data is kept.")] = 30
    retention_orders_days: Annotated[int, whole("days", 1, 36_500, "Days that own orders and fills are kept.")] = 3_650
    disk_max_bytes: Annotated[int, whole("bytes", 2**20, 2**50, "Most that the journal takes of the disk.")] = 2**35
    disk_free_min_bytes: Annotated[
        int, whole("bytes", 0, 2**50, "Free disk below which no new order leaves.", "up")
    ] = 2**29


class Snapshot(Section, frozen=True, kw_only=True):
    """Copies of the world, so that recovery steps through a tail only."""

    interval_s: Annotated[int, whole("s", 1, 86_400, "Time between two snapshots.")] = 300
    keep: Annotated[int, whole("snapshots", 1, 1_000, "How many are kept.")] = 3


class Modes(Section, frozen=True, kw_only=True):
    """Times of the four modes and of the plan that goes flat."""

    cooldown_ns: Annotated[int, whole("ns", 0, 10**15, "Before Normal, since the last switch.", "up")] = 900 * SECOND
    reduce_interval_ns: Annotated[int, whole("ns", 1, 10**15, "Between two steps of Reduced.", "down")] = 60 * SECOND
    reduce_share_ppm: Annotated[int, whole("ppm", 1, 1_000_000, "Share of a position a step gives up.", "up")] = 100_000
    reduce_target_ppm: Annotated[int, whole("ppm", 0, 999_999, "Share of a position left in the end.", "down")] = (
        500_000
    )
    cancel_ns: Annotated[int, whole("ns", 1, 10**12, "Longest time to send the cancels.", "down")] = 2 * SECOND
    confirm_ns: Annotated[int, whole("ns", 1, 10**12, "Longest wait for their confirmation.", "down")] = 5 * SECOND
    flatten_ns: Annotated[int, whole("ns", 1, 10**13, "Longest time to go flat.", "down")] = 60 * SECOND
    verify_ns: Annotated[int, whole("ns", 1, 10**12, "Longest wait for the venue's position.", "down")] = 10 * SECOND
    retry_ns: Annotated[int, whole("ns", 1, 10**12, "Between two questions of one symbol.")] = SECOND
    reprice_ns: Annotated[int, whole("ns", 1, 10**12, "A plan's order not filled by then is taken back.")] = 3 * SECOND
    give_ppm: Annotated[int, whole("ppm", 0, 1_000_000, "How much further each attempt of the plan goes.")] = 500
    band_ppm: Annotated[int, whole("ppm", 0, 999_999, "How far from the mid the plan goes at most.", "down")] = 10_000
    attempts_standard: Annotated[int, whole("attempts", 0, 1_000, "Attempts of the standard plan.")] = 5
    attempts_aggressive: Annotated[int, whole("attempts", 0, 1_000, "Attempts of the aggressive plan.")] = 3
    cancels_max: Annotated[int, whole("cancels", 1, 1_000, "Cancels of one attempt.")] = 3
    equity_agree_ppm: Annotated[int, whole("ppm", 0, 999_999, "How far two sources of equity may differ.", "down")] = (
        5_000
    )

    def core(self) -> dict[str, int]:
        """The configuration that the kernel `modes` takes."""
        return msgspec.structs.asdict(self)


class Safety(Section, frozen=True, kw_only=True):
    """The kill switch and what happens when it is pressed. docs/howto/kill-switch.md shows the wiring."""

    switch: Annotated[
        Literal["simulated", "gpio", "none"],
        plain("choice", "The switch: in software, on pins, or none; with real money on pins."),
    ] = "simulated"
    chip: Annotated[str, text("The GPIO character device.", r"^/dev/gpiochip[0-9]+$")] = "/dev/gpiochip0"
    bias: Annotated[
        Literal["pull-up", "external"],
        plain("choice", "What raises an open loop: the pin's pull-up, or a resistor outside."),
    ] = "pull-up"
    pin_switch: Annotated[int, whole("BCM", 0, 57, "Switch, normally closed.")] = 17
    pin_green: Annotated[int, whole("BCM", 0, 57, "Green lamp: trading.")] = 22
    pin_yellow: Annotated[int, whole("BCM", 0, 57, "Yellow lamp: paused or reducing.")] = 23
    pin_red: Annotated[int, whole("BCM", 0, 57, "Red lamp: halted.")] = 24
    pin_tamper: Annotated[int, whole("BCM", 0, 57, "Tamper loop, normally closed.")] = 27
    debounce_us: Annotated[int, whole("us", 0, 100_000, "Bounce of the switch that is not a press.", "down")] = 2_000
    plan: Annotated[
        Literal["cancel", "standard", "aggressive"], plain("choice", "On a trip: cancel only, or go flat as well.")
    ] = "cancel"
    on_exit: Annotated[
        Literal["keep", "cancel", "flatten"], plain("choice", "On an orderly end: what becomes of orders, positions.")
    ] = "cancel"
    grace_ms: Annotated[int, whole("ms", 100, 600_000, "Longest time of the sequence before the process ends.")] = (
        10_000
    )
    stall_ms: Annotated[int, whole("ms", 100, 60_000, "Silence of the loop that trips.", "down")] = 2_000
    audit_orders: Annotated[
        Literal["each", "summary"],
        plain("choice", "In the audit: every order and its end, or their numbers each minute; the journal has all."),
    ] = "summary"
    rehearsal_s: Annotated[
        int, whole("s", 1, 86_400, "How long a rehearsal at a testnet lasts before it allows real money.", "up")
    ] = 3_600
    rehearsal_days: Annotated[int, whole("days", 1, 365, "How old a rehearsal may be.", "down")] = 30
    dead_man_ms: Annotated[int, whole("ms", 0, 600_000, "The venue cancels all after this silence; 0: off.")] = 60_000


class Approval(Section, frozen=True, kw_only=True):
    """Who is asked before much is at stake: above `limits.approval_over`, and before Normal after an emergency."""

    timeout_s: Annotated[
        int, whole("s", 1, 3_600, "No word by then is a no; a word given holds as long, for one order.", "down")
    ] = 300
    key: Annotated[
        str,
        text("Public half of the operator's key (`bot4 keys operator`); empty: on paper the folder's own, live none."),
    ] = ""


# What a running engine has breakers for beside its venues: see engine/runtime/breakers.py.
BREAKER_COMPONENTS = ("data", "journal", "clock")


class Breaker(Section, frozen=True, kw_only=True):
    """When calls to one component are stopped, and when they are tried again."""

    cooldown_ms: Annotated[int, whole("ms", 1, 86_400_000, "Time open before a trial.", "up")] = 60_000
    window: Annotated[int, whole("calls", 1, 64, "Calls that the error rate is of.")] = 20
    minimum_calls: Annotated[int, whole("calls", 1, 64, "Calls before the rate counts.", "down")] = 10
    error_rate_ppm: Annotated[int, whole("ppm", 0, 1_000_000, "Error rate that opens; 0: not by rate.")] = 500_000
    failures_in_a_row: Annotated[int, whole("calls", 0, 64, "Failures in a row that open; 0: not by row.")] = 3
    tokens: Annotated[int, whole("calls", 1, 64, "Trial calls under way when half-open.", "down")] = 1
    successes_to_close: Annotated[int, whole("calls", 1, 64, "Trials that succeed before it closes.", "up")] = 1
    critical: Annotated[bool, plain("switch", "Open, it opens the global breaker.")] = False
    depends_on: Annotated[tuple[str, ...], plain("list", "Components that it needs.")] = ()


class Venue(Section, frozen=True, kw_only=True):
    """One venue: how it is spoken to, with which secret, and within which budget."""

    protocol: Annotated[
        Literal["embedded", "binance_spot", "binance_usdm", "kraken", "coinbase", "ccxt"],
        plain("choice", "Its protocol; embedded is the venue in this process."),
    ] = "embedded"
    exchange: Annotated[str, text("Of protocol ccxt: the exchange's name there.", r"^[a-z0-9_]*$")] = ""
    enabled: Annotated[bool, plain("switch", "Whether it is used.")] = True
    testnet: Annotated[bool, plain("switch", "Whether its money is not real.")] = False
    rest: Annotated[str, text("Address of requests; empty: the venue's own.", r"^(https?://\S+)?$")] = ""
    stream: Annotated[str, text("Address of streams; empty: the venue's own.", r"^(wss?://\S+)?$")] = ""
    stream_spare: Annotated[
        str, text("Second address of the same streams, listened to all the time; empty: none.", r"^(wss?://\S+)?$")
    ] = ""
    hot_spare: Annotated[bool, plain("switch", "Whether each address of streams has two connections.")] = False
    api: Annotated[str, text("Address of the order connection; empty: the venue's own.", r"^(wss?://\S+)?$")] = ""
    credential: Annotated[str, text("Name of its secret; never the secret.", r"^([A-Za-z0-9][\w.-]*)?$")] = ""
    weight_per_minute: Annotated[int, whole("weight", 1, 1_000_000, "Request budget.", "down")] = 1_000
    orders_per_10s: Annotated[int, whole("orders", 1, 100_000, "Order budget.", "down")] = 50
    stp: Annotated[
        Literal["none", "expire_taker", "expire_maker", "expire_both"],
        plain(
            "choice", "Which of two own orders ends before they trade; expire_maker: what closes always gets through."
        ),
    ] = "expire_maker"
    dead_man: Annotated[bool, plain("switch", "Arm the venue's own timer where it has one.")] = True
    reconnect_ms_min: Annotated[int, whole("ms", 1, 60_000, "First wait before a new connection.")] = 100
    reconnect_ms_max: Annotated[int, whole("ms", 1, 3_600_000, "Longest wait before a new connection.")] = 30_000
    roll_over_hours: Annotated[int, whole("hours", 1, 24, "Age at which a connection is replaced.")] = 23
    fees: Annotated[
        str, text("Schedule in config/fees for what names no rates of its own; empty: none.", r"^[a-z0-9_]*$")
    ] = ""
    fees_volume: Annotated[
        int, whole("units", 0, 10**15, "Volume of thirty days in the schedule's currency: chooses its tier.")
    ] = 0
    fees_discounted: Annotated[bool, plain("switch", "Whether fees are paid in the asset that lowers them.")] = False
    fees_age_s: Annotated[
        int, whole("s", 60, 86_400, "Without news of its fees for longer nothing new is ordered there.", "down")
    ] = 300
    breaker: Annotated[Breaker, plain("table", "Its breaker.")] = Breaker()


class Features(Section, frozen=True, kw_only=True):
    """What strategies may compute with; a tier grants each by name."""

    enabled: Annotated[tuple[str, ...], plain("list", "Features in use.")] = ("ta_basic",)
    bars: Annotated[
        Literal["1s", "1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d"],
        plain("choice", "Of the venue's closed bars, where a strategy asks for features of them."),
    ] = "1m"


class Models(Section, frozen=True, kw_only=True):
    """Models and the enrichment that costs money. No model decides; each is one bounded input."""

    enabled: Annotated[tuple[str, ...], plain("list", "Models in use.")] = ()
    calls_per_day: Annotated[int, whole("calls", 0, 1_000_000, "Calls of paid enrichment a day.", "down")] = 0


class Control(Section, frozen=True, kw_only=True):
    """The Unix socket of `bot4 status` and its kin. No command of it places a trade."""

    socket: Annotated[str, text("Path; relative to the engine's folder.")] = "control.sock"
    clients_max: Annotated[int, whole("clients", 1, 256, "Connections at one time.")] = 16
    events_kept: Annotated[int, whole("events", 1, 1_000_000, "Events kept for `bot4 events`.")] = 4_096
    why_kept: Annotated[int, whole("records", 1, 1_000_000, "Refusals kept for `bot4 why`.")] = 1_024


class Dashboard(Section, frozen=True, kw_only=True):
    """The read-only page. Beyond loopback it needs a token and TLS."""

    enabled: Annotated[bool, plain("switch", "Whether it is served.")] = True
    host: Annotated[str, text("Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, whole("port", 0, 65_535, "Port; 0: any free one.")] = 8080
    rate_hz: Annotated[int, whole("per second", 1, 20, "Updates a viewer gets.", "live")] = 20
    viewers_max: Annotated[int, whole("viewers", 1, 256, "Viewers at one time.")] = 32
    token: Annotated[str, text("Name of the secret that viewers must show; empty: none.")] = ""
    tls_certificate: Annotated[str, text("Certificate file; empty: no TLS.")] = ""
    tls_key: Annotated[str, text("Key file of the certificate.")] = ""
    redact: Annotated[
        Literal["auto", "on", "off"],
        plain("choice", "Hide positions and profit until the daily cut; auto: live hides, paper shows."),
    ] = "auto"


class Metrics(Section, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    enabled: Annotated[bool, plain("switch", "Whether it is served.")] = True
    host: Annotated[str, text("Address to listen at; loopback only.")] = "127.0.0.1"
    port: Annotated[int, whole("port", 0, 65_535, "Port; 0: any free one.")] = 9090


class Logs(Section, frozen=True, kw_only=True):
    """Structured logs."""

    level: Annotated[Literal["debug", "info", "warning", "error"], plain("choice", "Least level.", "live")] = "info"
    sink: Annotated[
        Literal["auto", "stderr", "journald"], plain("choice", "Where to; auto: journald below systemd, else stderr.")
    ] = "auto"
    form: Annotated[Literal["auto", "json", "text"], plain("choice", "auto: text on a terminal, else JSON.")] = "auto"


class Tracing(Section, frozen=True, kw_only=True):
    """OpenTelemetry traces of what runs beside the core; needs the extra `trace`."""

    enabled: Annotated[bool, plain("switch", "Whether traces are made.")] = False
    endpoint: Annotated[str, text("Collector that takes OTLP over HTTP.", r"^https?://\S+$")] = "http://127.0.0.1:4318"
    sample_ppm: Annotated[int, whole("ppm", 0, 1_000_000, "Share of traces kept.", "live")] = 10_000


class Sink(Section, frozen=True, kw_only=True):
    """One place that alerts go to. What is secret of it (a webhook's address, a token) is named, not written."""

    kind: Annotated[
        Literal["slack", "discord", "pagerduty", "telegram", "mail", "webhook"], plain("choice", "Its form.")
    ]
    credential: Annotated[str, text("Name of its secret: address, routing key, bot token or mail password.")]
    to: Annotated[str, text("Chat of telegram, addresses of mail.")] = ""
    sender: Annotated[str, text("Sender of mail.")] = ""
    host: Annotated[str, text("Address of the service in place of its own; of mail the server, host:port.")] = ""
    severity_min: Annotated[Literal["P0", "P1", "P2", "P3"], plain("choice", "Least severity that it gets.")] = "P2"
    escalation: Annotated[bool, plain("switch", "Only gets what nobody acknowledged in time.")] = False
    timeout_ms: Annotated[int, whole("ms", 10, 60_000, "Longest wait for it.")] = 5_000


class Alerts(Section, frozen=True, kw_only=True):
    """Who is told, when, and how often."""

    group_s: Annotated[int, whole("s", 0, 86_400, "Alerts of one group within this time are one message.", "live")] = (
        300
    )
    escalate_s: Annotated[int, whole("s", 1, 86_400, "Escalate when nobody acknowledged by then.", "live")] = 600
    quiet_from: Annotated[str, text("Begin of quiet hours, UTC; equal to the end: none.", _CLOCK_TIME, "live")] = (
        "00:00"
    )
    quiet_to: Annotated[str, text("End of quiet hours, UTC.", _CLOCK_TIME, "live")] = "00:00"
    quiet_severity: Annotated[
        Literal["P0", "P1", "P2", "P3"], plain("choice", "Least severity that wakes people in quiet hours.", "live")
    ] = "P0"
    queue_max: Annotated[int, whole("messages", 1, 100_000, "Messages that wait for a sink; older ones are lost.")] = (
        256
    )
    sinks: Annotated[dict[str, Sink], plain("tables", "Places that alerts go to.")] = {}


class Settings(Section, frozen=True, kw_only=True):
    """All of it."""

    engine: Engine = Engine()
    market: Market = Market()
    account: Account = Account()
    tier: TierChoice = TierChoice()
    limits: Limits = Limits()
    capacity: Capacity = Capacity()
    core: Core = Core()
    journal: Journal = Journal()
    snapshot: Snapshot = Snapshot()
    reconcile: Reconcile = Reconcile()
    modes: Modes = Modes()
    discipline: Discipline = Discipline()
    safety: Safety = Safety()
    approval: Approval = Approval()
    features: Features = Features()
    models: Models = Models()
    control: Control = Control()
    dashboard: Dashboard = Dashboard()
    metrics: Metrics = Metrics()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()
    alerts: Alerts = Alerts()
    venues: Annotated[dict[str, Venue], plain("tables", "Venues by name.")] = {}
    instruments: Annotated[dict[str, Instrument], plain("tables", "Instruments by symbol.")] = {}
    routes: Annotated[dict[str, Route], plain("tables", "Underlyings that several venues hold, by name.")] = {}
    strategies: Annotated[dict[str, Strategy], plain("tables", "Strategies by name.")] = {}
    breakers: Annotated[dict[str, Breaker], plain("tables", "Breakers of data, journal and clock.")] = {}

    def hash(self) -> str:
        """Names this very set of values; two files that mean the same have the same hash."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
