// What several views are made of: bars, lists of facts, calls, events.

import { h, s } from "./dom.js";
import { NONE, cores, moment, size, span, visible } from "./format.js";
import { byMemory, order, table } from "./table.js";

const SHOWN = 160; // characters of a command in a table
const CLOSE = 0.9; // of a limit: from here on it is close
export const KILLS = new Set(["oom", "gpu", "deadline", "stall", "pressure", "request", "orphaned"]);

const link = (kind, name, words) =>
  h("a", { href: `#/${kind}/${name}` }, visible(words));
export const sessionLink = (name, words = name) => link("session", name, words);
export const callLink = (name) => link("call", name, name);

export const title = (text) => h("h2", {}, text);
export const note = (text) => h("p", { class: "note" }, visible(text));

// Pairs of name and value; what is not known is left out, unless it is a dash.
export const facts = (pairs) =>
  h(
    "dl",
    {},
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

// How much of `limit` is used, as a bar with its words.
export function used(value, limit) {
  if (limit === null) return h("span", {}, size(value));
  if (value === null) return h("span", {}, `${NONE}, limit ${size(limit)}`);
  const words = h("span", {}, `${size(value)} of ${size(limit)}`);
  if (!limit) return words;
  const share = Math.min(1, Math.max(0, value / limit));
  const kind = share >= CLOSE ? "close" : "fill";
  return [
    s(
      "svg",
      { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: "back", width: 100, height: 6 }),
      s("rect", { class: kind, width: (share * 100).toFixed(1), height: 6 }),
    ),
    words,
  ];
}

export const short = (text) => visible(text.length > SHOWN ? text.slice(0, SHOWN) + "…" : text);
export const command = (call) => short(call.intent.command ?? call.intent.tool);

// Seconds since a moment; clocks that were set make none of it negative.
export const since = (at, now) => (at === null ? null : Math.max(0, now - at));

// `places`: also whose they are.
export function calls(views, state, places) {
  const columns = [
    ["Call", "", ({ call }) => call.id],
    ...(places ? [["Session", "", ({ call }) => call.session]] : []),
    ["Command", "command", ({ call }) => command(call)],
    ["State", "", ({ call }) => call.state],
    ["Memory", "figure", ({ usage }) => usage.memory],
    ["Peak", "figure", ({ usage }) => usage.peak],
    ["CPU", "figure", ({ call }) => state.rates.of(call.id)],
    ["For", "figure", ({ call }) => since(call.started_at, state.now)],
  ];
  const rows = views
    .toSorted((a, b) => byMemory(a.usage.memory, b.usage.memory) || order(a.call.id, b.call.id))
    .map(({ call, usage }) => ({
      key: call.id,
      of: { call, usage },
      cells: [
        callLink(call.id),
        ...(places ? [sessionLink(call.session)] : []),
        command(call),
        call.state,
        used(usage.memory, call.grant.memory_limit),
        size(usage.peak),
        cores(state.rates.of(call.id)),
        span(since(call.started_at, state.now)),
      ],
    }));
  return table(columns, rows, "No call is open.", "calls");
}

export function closed(accounts, places, empty) {
  const columns = [
    ["Call", "", (one) => one.call],
    ...(places ? [["Session", "", (one) => one.session]] : []),
    ["Class", "command", (one) => one.kind],
    ["Ended by", "", (one) => one.cause],
    ["Peak", "figure", (one) => one.peak],
    ["Limit", "figure", (one) => one.limit],
    ["CPU time", "figure", (one) => one.cpu],
    ["Took", "figure", (one) => one.wall],
    ["Declared", "", (one) => one.declared_at],
  ];
  const rows = accounts.map((one) => ({
    key: one.call,
    of: one,
    cells: [
      callLink(one.call),
      ...(places ? [sessionLink(one.session)] : []),
      visible(one.kind),
      h("span", { class: KILLS.has(one.cause) ? "killed" : null }, one.cause),
      size(one.peak),
      one.limit === null ? NONE : size(one.limit),
      span(one.cpu),
      span(one.wall),
      moment(one.declared_at),
    ],
  }));
  return table(columns, rows, empty, "closed");
}

export function told(events, empty) {
  const columns = [["When", ""], ["What", ""], ["Whose", ""], ["", "command"]];
  const rows = events.map((event) => ({
    key: `${event.seq} ${event.at}`,
    cells: [
      moment(event.at),
      h("span", { class: bad(event) ? "killed" : null }, visible(event.kind)),
      whose(event),
      visible(event.text),
    ],
  }));
  return table(columns, rows, empty);
}

function whose({ call, session }) {
  if (call) return callLink(call);
  return session ? sessionLink(session) : null;
}

export const bad = (event) =>
  event.kind.endsWith(".oom") || (event.kind === "call.ended" && KILLS.has(event.data.cause));
