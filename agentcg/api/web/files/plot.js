// The course of a call or session: memory against its limit, CPU, and marks of what befell it.

import { OFF } from "./daemon.js";
import { h, s } from "./dom.js";
import { cores, size, span, visible } from "./format.js";
import { bad } from "./parts.js";

const HEIGHT = 150;
const LEFT = 76;
const RIGHT = 10;
const BELOW = 20;
const ABOVE = 12;
const LEAST = 0.05; // seconds that a rate is of
const FAR = 4; // a limit so many times above the peak would make a flat line of it
const MARKS = 200;
const HELD = new Set(["call.throttled", "call.stalled", "call.frozen", "pressure", "pool.full"]);

export function course(trace, limit, width, { machine }) {
  if (trace === OFF) return h("p", {}, "Nothing is recorded: traces.enabled is off.");
  if (trace === null) return h("p", {}, "Nothing of it is remembered.");
  const { samples } = trace;
  if (samples.length < 2) return h("p", {}, "Nothing is recorded yet.");
  const time = [samples[0].clock, samples.at(-1).clock];
  const marks = trace.events.filter((event) => bad(event) || HELD.has(event.kind)).slice(-MARKS);
  const placed = marks.map((event) => [clock(event, samples), event]);
  return [
    memory(samples, limit ?? trace.limit, time, placed, width),
    cpu(samples, time, placed, width, machine.cpus),
    trace.cut ? h("p", {}, "There is more than can be shown: the oldest is left out.") : null,
  ];
}

// Events have the time of day alone, which may have been set: they are placed by the sample before.
function clock(event, samples) {
  const before = samples.findLast((one) => one.at <= event.at) ?? samples[0];
  return before.clock + Math.max(0, event.at - before.at);
}

function memory(samples, limit, time, marks, width) {
  const known = samples.filter((one) => one.usage.memory !== null);
  if (known.length < 2) return h("p", {}, "Memory is not known: no memory controller.");
  const now = known.map((one) => [one.clock, one.usage.memory]);
  const peak = known.map((one) => [one.clock, Math.max(one.usage.peak ?? 0, one.usage.memory)]);
  const most = Math.max(1, ...peak.map(([, value]) => value));
  const shown = limit !== null && limit <= most * FAR;
  const words = limit === null ? "Memory; no limit of its own" : `Memory; limit ${size(limit)}`;
  const frame = scale(time, shown ? Math.max(most, limit) : most, width);
  return figure(shown || limit === null ? words : `${words}, far above`, frame, size, marks, [
    area("peak", peak, frame),
    area("memory", now, frame),
    shown ? across("limit", limit, frame) : null,
  ]);
}

function cpu(samples, time, marks, width, cpus) {
  const known = samples.filter((one) => one.full && one.usage.cpu !== null);
  const points = [];
  known.slice(1).forEach((one, number) => {
    const before = known[number];
    const passed = one.clock - before.clock;
    if (passed < LEAST || one.usage.cpu < before.usage.cpu) return;
    const rate = Math.min(cpus, (one.usage.cpu - before.usage.cpu) / passed);
    points.push([before.clock, rate], [one.clock, rate]);
  });
  if (!points.length) return h("p", {}, "CPU time was not read often enough for a course.");
  const frame = scale(time, Math.max(0.1, ...points.map(([, value]) => value)), width);
  return figure("CPU; of one core 100 %", frame, cores, marks, [
    s("polyline", { class: "cpu", points: line(points, frame) }),
  ]);
}

function scale([begin, end], top, width) {
  const wide = Math.max(1, width - LEFT - RIGHT);
  const passed = Math.max(end - begin, 0.001);
  return {
    width,
    top,
    passed,
    x: (at) => LEFT + (Math.min(Math.max(at - begin, 0), passed) / passed) * wide,
    y: (value) => ABOVE + (1 - Math.min(1, Math.max(0, value / top))) * HEIGHT,
  };
}

const line = (points, { x, y }) =>
  points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");

function area(kind, points, frame) {
  const floor = frame.y(0).toFixed(1);
  const [first, last] = [points[0][0], points.at(-1)[0]].map((at) => frame.x(at).toFixed(1));
  const outline = `${first},${floor} ${line(points, frame)} ${last},${floor}`;
  return s("polygon", { class: kind, points: outline });
}

const across = (kind, value, { y, width }) =>
  s("line", { class: kind, x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });

function mark(at, event, { x }) {
  const place = { x1: x(at), x2: x(at), y1: ABOVE, y2: HEIGHT + ABOVE };
  const words = s("title", {}, visible(`${event.kind} ${event.text}`));
  return s("line", { class: bad(event) ? "mark bad" : "mark", ...place }, words);
}

function figure(caption, frame, words, marks, drawn) {
  const height = HEIGHT + ABOVE + BELOW;
  const grid = [0, 0.5, 1].map((share) => {
    const value = share * frame.top;
    const place = { x: LEFT - 6, y: frame.y(value) + 4, "text-anchor": "end" };
    return [across("grid", value, frame), s("text", { class: "tick", ...place }, words(value))];
  });
  const end = { class: "tick", x: frame.width - RIGHT, y: height - 5, "text-anchor": "end" };
  const box = { width: frame.width, viewBox: `0 0 ${frame.width} ${height}` };
  return h(
    "figure",
    {},
    h("figcaption", {}, caption),
    s(
      "svg",
      { ...box, role: "img", "aria-label": caption },
      grid,
      drawn,
      marks.map(([at, event]) => mark(at, event, frame)),
      s("text", { class: "tick", x: LEFT, y: height - 5 }, "0 s"),
      s("text", end, span(frame.passed)),
    ),
  );
}
