// What several views are made of: tables, bars, lists of facts, calls, events.

import { h, s } from "./dom.js";
import { NONE, cores, moment, size, span, visible } from "./format.js";

const SHOWN = 160; // characters of a command in a table
const ROWS = 200;
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

// `columns` are [name, class]; `rows` are {key, cells}.
export function table(columns, rows, empty) {
  if (!rows.length) return h("p", {}, empty);
  const head = columns.map(([name, kind]) => h("th", { class: kind, scope: "col" }, name));
  const body = rows.slice(0, ROWS).map(({ key, cells }) =>
    h(
      "tr",
      { "data-key": key },
      cells.map((cell, number) => {
        const [label, kind] = columns[number];
        return h("td", { class: kind, "data-label": label }, cell);
      }),
    ),
  );
  const more = rows.length - ROWS;
  const made = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
  return [
    h("div", { class: "wide" }, made),
    more > 0 ? h("p", {}, `and ${more} more`) : null,
  ];
}

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

export const command = (call) => {
  const text = call.intent.command ?? call.intent.tool;
  return visible(text.length > SHOWN ? text.slice(0, SHOWN) + "…" : text);
};

// The most first; what is not known last.
export const byMemory = (one, other) => (other ?? -1) - (one ?? -1);

export const order = (one, other) => (one < other ? -1 : 1);

// Seconds since a moment; clocks that were set make none of it negative.
export const since = (at, now) => (at === null ? null : Math.max(0, now - at));

// `places`: also whose they are.
export function calls(views, state, places) {
  const columns = [
    ["Call", ""],
    ...(places ? [["Session", ""]] : []),
    ["Command", "command"],
    ["State", ""],
    ["Memory", "figure"],
    ["Peak", "figure"],
    ["CPU", "figure"],
    ["For", "figure"],
  ];
  const rows = views
    .toSorted((a, b) => byMemory(a.usage.memory, b.usage.memory) || order(a.call.id, b.call.id))
    .map(({ call, usage }) => ({
      key: call.id,
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
  return table(columns, rows, "No call is open.");
}

export function closed(accounts, places, empty) {
  const columns = [
    ["Call", ""],
    ...(places ? [["Session", ""]] : []),
    ["Class", "command"],
    ["Ended by", ""],
    ["Peak", "figure"],
    ["Limit", "figure"],
    ["CPU time", "figure"],
    ["Took", "figure"],
    ["Declared", ""],
  ];
  const rows = accounts.map((one) => ({
    key: one.call,
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
  return table(columns, rows, empty);
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
