"use strict";
// Canvas charts without a library: each takes a canvas and plain arrays, and draws all of it anew.

const COLOURS = { good: "#3fb68b", bad: "#ef5b5b", dim: "#8494a7", line: "#2a3441", cool: "#5aa2e8", text: "#d8e0ea" };

function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, width, height);
  draw.font = "11px system-ui, sans-serif";
  return { draw, width, height };
}

function nothing(canvas, text) {
  const { draw, width, height } = prepare(canvas);
  draw.fillStyle = COLOURS.dim;
  draw.textAlign = "center";
  draw.fillText(text, width / 2, height / 2);
}

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// As many places as tell two neighbouring lines apart.
function digits(span) { return Math.max(0, Math.min(8, Math.ceil(-Math.log10(span || 1)) + 1)); }

function axis(draw, low, high, y, width) {
  const places = digits((high - low) / 4);
  draw.fillStyle = COLOURS.dim;
  draw.strokeStyle = COLOURS.line;
  draw.textAlign = "right";
  for (let at = 0; at <= 4; at++) {
    const value = low + ((high - low) * at) / 4;
    draw.beginPath();
    draw.moveTo(0, y(value));
    draw.lineTo(width - 60, y(value));
    draw.stroke();
    draw.fillText(value.toFixed(places), width - 4, y(value) + 4);
  }
}

function places(value) { return Math.abs(value) >= 1000 ? 1 : Math.abs(value) >= 10 ? 2 : 5; }

// rows: [ms, open, high, low, close]; fills: {ms, px, side}
function drawCandles(canvas, rows, fills, candleMs) {
  if (!rows.length) { nothing(canvas, "no prices yet"); return; }
  const { draw, width, height } = prepare(canvas);
  const room = Math.max(10, Math.floor((width - 66) / 7)), shown = rows.slice(-room);
  const low = Math.min(...shown.map((r) => r[3])), high = Math.max(...shown.map((r) => r[2]));
  const pad = (high - low) * 0.06 || high * 0.0005;
  const y = scale(low - pad, high + pad, height - 8, 8);
  axis(draw, low - pad, high + pad, y, width);
  const x = new Map(shown.map((r, at) => [r[0], 6 + at * 7]));
  shown.forEach((row) => {
    const [at, open, top, bottom, close] = row, left = x.get(at);
    draw.strokeStyle = draw.fillStyle = close >= open ? COLOURS.good : COLOURS.bad;
    draw.beginPath();
    draw.moveTo(left + 0.5, y(top));
    draw.lineTo(left + 0.5, y(bottom));
    draw.stroke();
    draw.fillRect(left - 2, Math.min(y(open), y(close)), 5, Math.max(1, Math.abs(y(open) - y(close))));
  });
  fills.forEach((fill) => {
    const left = x.get(Math.floor(fill.ms / candleMs) * candleMs);
    if (left === undefined || fill.px === null) return;
    const buy = fill.side === "buy", at = y(fill.px), to = buy ? 7 : -7;
    draw.fillStyle = COLOURS.cool;
    draw.beginPath();
    draw.moveTo(left, at);
    draw.lineTo(left - 4, at + to);
    draw.lineTo(left + 4, at + to);
    draw.fill();
  });
}

function drawDepth(canvas, bids, asks) {
  if (!bids.length || !asks.length) { nothing(canvas, "no book"); return; }
  const { draw, width, height } = prepare(canvas);
  const levels = 12, rows = [...asks.slice(0, levels).reverse().map((l) => [l, "bad"]), ...bids.slice(0, levels).map((l) => [l, "good"])];
  const most = Math.max(...rows.map(([level]) => level[1])), step = Math.min(22, height / rows.length);
  draw.textBaseline = "middle";
  rows.forEach(([level, colour], at) => {
    const top = at * step, bar = (level[1] / most) * (width - 150);
    draw.globalAlpha = 0.28;
    draw.fillStyle = COLOURS[colour];
    draw.fillRect(80, top + 1, bar, step - 2);
    draw.globalAlpha = 1;
    draw.textAlign = "right";
    draw.fillText(level[0].toFixed(places(level[0])), 74, top + step / 2);
    draw.fillStyle = COLOURS.text;
    draw.textAlign = "left";
    draw.fillText(level[1].toPrecision(4), 86, top + step / 2);
  });
  draw.textBaseline = "alphabetic";
}

// points: [ms, equity or null, drawdown in percent or null]
function drawEquity(canvas, points) {
  const known = points.filter((p) => p[1] !== null);
  const { draw, width, height } = prepare(canvas);
  const middle = height * 0.66;
  if (known.length > 1) {
    const low = Math.min(...known.map((p) => p[1])), high = Math.max(...known.map((p) => p[1]));
    const pad = (high - low) * 0.08 || 1;
    const y = scale(low - pad, high + pad, middle - 6, 6), x = scale(0, known.length - 1, 0, width - 66);
    axis(draw, low - pad, high + pad, y, width);
    draw.strokeStyle = COLOURS.cool;
    draw.beginPath();
    known.forEach((p, at) => (at ? draw.lineTo(x(at), y(p[1])) : draw.moveTo(x(at), y(p[1]))));
    draw.stroke();
  } else {
    draw.fillStyle = COLOURS.dim;
    draw.fillText("equity: hidden or not known yet", 4, middle / 2);
  }
  const falls = points.filter((p) => p[2] !== null);
  if (falls.length > 1) {
    const most = Math.max(...falls.map((p) => p[2]), 0.01), x = scale(0, falls.length - 1, 0, width - 66);
    const y = scale(0, most, middle + 8, height - 4);
    draw.fillStyle = COLOURS.bad;
    draw.globalAlpha = 0.4;
    draw.beginPath();
    draw.moveTo(0, y(0));
    falls.forEach((p, at) => draw.lineTo(x(at), y(p[2])));
    draw.lineTo(x(falls.length - 1), y(0));
    draw.fill();
    draw.globalAlpha = 1;
    draw.fillStyle = COLOURS.dim;
    draw.textAlign = "right";
    draw.fillText("-" + most.toFixed(2) + " %", width - 4, height - 4);
  }
}

// buckets: [upper bound in ns, count up to it since the start]
function drawHistogram(canvas, buckets, format) {
  if (!buckets.length) { nothing(canvas, "nothing measured yet"); return; }
  const { draw, width, height } = prepare(canvas);
  let before = 0;
  const bars = buckets.map(([top, upTo]) => { const count = upTo - before; before = upTo; return [top, count]; });
  const most = Math.max(...bars.map((b) => b[1]), 1), step = width / bars.length;
  bars.forEach(([top, count], at) => {
    // Logarithmic: what is rare is what one looks for.
    const tall = count ? (Math.log10(count + 1) / Math.log10(most + 1)) * (height - 26) : 0;
    draw.fillStyle = COLOURS.cool;
    draw.fillRect(at * step + 1, height - 16 - tall, step - 2, tall);
    if (at % Math.ceil(bars.length / 8) === 0) {
      draw.fillStyle = COLOURS.dim;
      draw.textAlign = "left";
      draw.fillText(format(top), at * step, height - 3);
    }
  });
}
