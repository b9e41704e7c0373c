"use strict";
// Shows what the stream tells. Text is only ever set as text, never as markup.

const el = (id) => document.getElementById(id);
const state = { symbol: null, stage: null, history: null, status: null, drawn: 0, retry: 250 };

function duration(ns) {
  if (ns === null || ns === undefined) return "-";
  for (const [size, unit] of [[864e11, "d"], [36e11, "h"], [6e10, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "us"]]) {
    if (ns >= size) return (ns / size).toFixed(1) + " " + unit;
  }
  return ns + " ns";
}
function number(value, digits = 2, sign = false) {
  if (value === null || value === undefined) return state.status && state.status.redacted ? "hidden" : "-";
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return sign && value > 0 ? "+" + text : text;
}
function price(value) { return value === null || value === undefined ? number(value) : number(value, Math.abs(value) >= 10 ? 2 : 5); }
function bytes(count) { return count >= 1e9 ? (count / 1e9).toFixed(1) + " GB" : count >= 1e6 ? (count / 1e6).toFixed(1) + " MB" : Math.round((count || 0) / 1e3) + " kB"; }
function time(ns) { return new Date(ns / 1e6).toISOString().slice(11, 23); }
function tone(value) { return !value ? "" : value > 0 ? "good" : "bad"; }

function rows(id, list) {
  const body = el(id).tBodies[0];
  while (body.rows.length > list.length) body.deleteRow(-1);
  list.forEach((cells, at) => {
    const row = body.rows[at] || body.insertRow();
    cells.forEach((cell, column) => {
      const [text, style] = Array.isArray(cell) ? cell : [cell, ""];
      const place = row.cells[column] || row.insertCell();
      if (place.textContent !== String(text)) { place.textContent = text; place.title = text; }
      if (place.className !== style) place.className = style;
    });
  });
}
function facts(id, list) {
  const place = el(id);
  if (place.children.length !== list.length * 2) {
    place.replaceChildren(...list.flatMap(() => [document.createElement("dt"), document.createElement("dd")]));
  }
  list.forEach(([name, value, style], at) => {
    place.children[2 * at].textContent = name;
    place.children[2 * at + 1].textContent = value;
    place.children[2 * at + 1].className = style || "";
  });
}
function choices(id, names, chosen, choose) {
  const place = el(id);
  if (place.dataset.names !== names.join("\n")) {
    place.dataset.names = names.join("\n");
    place.replaceChildren(...names.map((name) => {
      const button = document.createElement("button");
      button.textContent = name;
      button.addEventListener("click", () => { choose(name); show(); });
      return button;
    }));
  }
  [...place.children].forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === chosen)));
}

function head(s) {
  const halted = s.latch && s.latch.tripped;
  el("head").dataset.state = halted ? "halted" : s.mode === "Normal" ? "good" : "paused";
  el("name").textContent = s.name + (s.run ? " (" + s.run + ")" : "");
  el("mode").textContent = s.mode || "-";
  el("latch").hidden = !halted;
  el("latch").textContent = halted ? "HALTED: " + ((s.latch.reasons || []).join(", ") || "unknown") : "";
  const wrong = (s.unhealthy || []).join("; ");
  el("health").textContent = wrong || (halted ? "" : "well");
  el("health").className = "note " + (wrong ? "bad" : "good");
  el("tier").textContent = s.tier ? "tier " + s.tier : "";
  el("redacted").hidden = !s.redacted;
  el("clock").textContent = new Date(s.ts_ns / 1e6).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  document.title = (halted ? "HALTED " : "") + s.name + " Bot4";
}
function tables(s) {
  rows("symbols", (s.symbols || []).map((r) => [[r.name, r.trusted && !r.halted ? "" : "bad"], price(r.bid), price(r.ask),
    number(r.position, 4), [number(r.unrealised, 2, true), tone(r.unrealised)], r.orders_open || 0]));
  rows("orders", (s.orders || []).slice(0, 12).map((r) => [r.symbol, r.type === "limit" ? r.side : r.side + " " + r.type, price(r.px), number(r.qty, 4), number(r.filled, 4), duration(r.age_ns)]));
  rows("strategies", (s.strategies || []).map((r) => [r.name, (r.calls || 0).toLocaleString("en"), (r.intents || 0).toLocaleString("en"),
    (r.denied || 0).toLocaleString("en"), [r.state || "running", !r.state || r.state === "running" ? "good" : "bad"]]));
  rows("feeds", (s.feeds || []).map((r) => [r.name, duration(r.age_ns), (r.messages || 0).toLocaleString("en"), r.gaps || 0,
    r.connected ? ["connected", "good"] : ["lost", "bad"]]));
  rows("why", (s.why || []).map((r) => [time(r.ts_ns), r.symbol, r.strategy || "", (r.side || "") + " " + number(r.qty, 4) + " at " + price(r.px),
    [(r.reasons || []).join(", "), "warn"]]));
  rows("events", state.history.events.slice(-14).reverse().map((e) => [time(e.ts_ns),
    [e.kind, e.severity === "error" ? "bad" : e.severity === "warning" ? "warn" : ""], e.symbol || "", e.text || ""]));
}
function boxes(s) {
  const a = s.account, j = s.journal || {};
  facts("account", [["equity", number(a.equity) + " " + a.asset], ["today", number(a.day_profit, 2, true), tone(a.day_profit)],
    ["peak", number(a.peak)], ["drawdown", a.drawdown_ppm === undefined || a.drawdown_ppm === null ? "-" : (a.drawdown_ppm / 1e4).toFixed(2) + " %"]]);
  facts("journal", [["journal", j.enabled ? (j.healthy ? "healthy" : "NOT HEALTHY") : "off", j.healthy ? "good" : "bad"], ["mode", j.mode || "-"],
    ["memory", s.memory_bytes ? bytes(s.memory_bytes) : "-"], ["loop late", duration(s.loop_lag_ns)],
    ["records", (j.records || 0).toLocaleString("en")], ["size", bytes(j.bytes)], ["lag", duration(j.lag_ns)], ["disk free", j.disk_free_bytes ? bytes(j.disk_free_bytes) : "-"]]);
  const bars = (s.headroom || []).filter((r) => r.used_ppm !== undefined && r.used_ppm !== null).sort((x, y) => y.used_ppm - x.used_ppm);
  const place = el("headroom");
  if (place.children.length !== bars.length) {
    place.replaceChildren(...bars.map(() => {
      const row = document.createElement("div"), bar = document.createElement("i");
      bar.append(document.createElement("b"));
      row.append(document.createElement("span"), bar, document.createElement("span"));
      return row;
    }));
  }
  bars.forEach((r, at) => {
    const row = place.children[at], used = r.used_ppm / 1e4;
    row.className = used >= 90 ? "high" : used >= 60 ? "some" : "";
    row.children[0].textContent = r.rule;
    row.children[1].firstChild.style.width = Math.min(100, used) + "%";
    row.children[2].textContent = used.toFixed(0) + " %";
  });
  const chips = (s.breakers || []).map((b) => {
    const chip = document.createElement("span");
    chip.textContent = b.name + " " + b.state;
    chip.className = b.state;
    return chip;
  });
  if (chips.length) el("breakers").replaceChildren(...chips);
  else if (el("breakers").textContent !== "none in use") el("breakers").textContent = "none in use";
}
function charts(s) {
  const names = (s.symbols || []).map((r) => r.name);
  if (!names.includes(state.symbol)) state.symbol = names[0] || null;
  choices("tabs", names, state.symbol, (name) => { state.symbol = name; });
  const symbol = (s.symbols || []).find((r) => r.name === state.symbol);
  if (symbol) {
    el("touch").textContent = price(symbol.bid) + " / " + price(symbol.ask) + (symbol.trusted ? "" : " not trusted");
    const fills = state.history.fills.filter((f) => f.symbol === symbol.name).map((f) => ({ ms: f.ts_ns / 1e6, px: f.px === undefined ? null : f.px, side: f.side }));
    drawCandles(el("candles"), state.history.candles[symbol.name] || [], fills, state.history.candle_ms);
    drawDepth(el("depth"), symbol.bids || [], symbol.asks || []);
  }
  drawEquity(el("equity"), state.history.equity);
  const stages = (s.latency || []).map((l) => l.stage);
  if (!stages.includes(state.stage)) state.stage = stages[0] || null;
  choices("stages", stages, state.stage, (name) => { state.stage = name; });
  const way = (s.latency || []).find((l) => l.stage === state.stage) || {};
  facts("latency", [["p50", duration(way.p50_ns)], ["p99", duration(way.p99_ns)], ["p99.9", duration(way.p999_ns)], ["max", duration(way.max_ns)]]);
  drawHistogram(el("histogram"), way.buckets || [], duration);
}
function show() {
  const s = state.status;
  if (!s) return;
  head(s);
  boxes(s);
  tables(s);
  charts(s);
}

// The same rule that the engine's history follows, so a page that stays open and one that is opened show the same.
function take(s, events) {
  const h = state.history, at = Math.floor(s.ts_ns / 1e6 / h.candle_ms) * h.candle_ms;
  (s.symbols || []).forEach((r) => {
    if (!r.trusted || r.bid === undefined || r.ask === undefined) return;
    const px = (r.bid + r.ask) / 2, list = h.candles[r.name] || (h.candles[r.name] = []), last = list[list.length - 1];
    if (!last || last[0] !== at) list.push([at, px, px, px, px]);
    else { last[2] = Math.max(last[2], px); last[3] = Math.min(last[3], px); last[4] = px; }
    if (list.length > 400) list.shift();
  });
  const now = s.ts_ns / 1e6, end = h.equity[h.equity.length - 1];
  if (!end || now >= end[0] + h.candle_ms / 2) {
    const known = (v) => (v === undefined ? null : v);
    h.equity.push([now, known(s.account.equity), known(s.account.drawdown_ppm) === null ? null : s.account.drawdown_ppm / 1e4]);
    if (h.equity.length > 720) h.equity.shift();
  }
  h.events = h.events.concat(events).slice(-200);
  h.fills = h.fills.concat(events.filter((e) => e.kind === "fill")).slice(-500);
}
// What was halted stays red: a trip ends the engine, and the page must not take it for a lost connection.
function offline() {
  const halted = state.status && state.status.latch && state.status.latch.tripped;
  if (halted) show();
  el("head").dataset.state = halted ? "halted" : "offline";
  el("mode").textContent = halted ? "engine ended" : "no engine";
}
function connect() {
  const stream = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/stream");
  stream.addEventListener("message", (message) => {
    const told = JSON.parse(message.data);
    state.retry = 250;
    if (told.kind === "history") { state.history = told; return; }
    state.status = told.status;
    take(told.status, told.events);
    // One drawing a frame, however fast pictures come.
    if (!state.drawn) state.drawn = requestAnimationFrame(() => { state.drawn = 0; show(); });
  });
  stream.addEventListener("close", () => {
    // A drawing that waits would show the engine as it was.
    cancelAnimationFrame(state.drawn);
    state.drawn = 0;
    offline();
    setTimeout(connect, state.retry);
    state.retry = Math.min(state.retry * 2, 5000);
  });
}
window.addEventListener("resize", show);
connect();
