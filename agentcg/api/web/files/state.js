// What is known beside the view that is shown: the machine, recent events, rates, closed calls.

import { get } from "./daemon.js";

const HOLDS = 30_000; // milliseconds for which an answer that is dear holds
const EVENTS = 50;
const SETTLES = 3000; // after a call has closed, until it is among the closed ones for sure
const TIMES = 0.5; // seconds that a rate is of, at least
const GONE = 60;
const NONE = { of: null, at: 0, value: null };
const UNREAD = { of: null, seen: null, asked: false, at: 0, value: undefined };
const ROUTINE = new Set(["call.declared", "call.started", "call.closed", "call.changed"]);

// How much CPU time a second each call uses, from one reading to the next.
class Rates {
  most = Infinity;
  #seen = new Map();

  take(views) {
    const now = performance.now() / 1000;
    for (const { call, usage } of views) {
      const before = this.#seen.get(call.id);
      if (usage.cpu === null || (before && now - before.at < TIMES)) continue;
      const used = before && (usage.cpu - before.cpu) / (now - before.at);
      const rate = before && used >= 0 ? Math.min(used, this.most) : null;
      this.#seen.set(call.id, { at: now, cpu: usage.cpu, rate });
    }
    for (const [name, { at }] of this.#seen) if (now - at > GONE) this.#seen.delete(name);
  }

  of(name) {
    return this.#seen.get(name)?.rate ?? null;
  }
}

export class State {
  events = [];
  rates = new Rates();
  host = null;
  machine = null;
  now = 0; // the host's time of day
  #hostAt = -Infinity;
  #opened = null; // when the page was, by that clock; of no matter once an event is heard
  #past = NONE;
  #evidence = UNREAD;
  #unsettled = 0;

  async refresh() {
    const [{ at, machine }] = await Promise.all([get("/ui/machine"), this.#readHost()]);
    this.now = at;
    this.#opened = Math.min(this.#opened ?? at, at); // the clock may be set back
    this.machine = machine;
    this.rates.most = machine.cpus;
  }

  async #readHost() {
    const now = performance.now();
    if (now - this.#hostAt <= HOLDS) return;
    this.host = await get("/v1/host");
    this.#hostAt = now;
  }

  // The daemon listens again, perhaps another one.
  anew() {
    this.#hostAt = -Infinity;
    this.#past = NONE;
    this.#evidence = UNREAD;
  }

  hear(event) {
    if (event.at < this.#opened) return;
    this.#opened = 0;
    if (event.kind === "call.closed") this.#unsettled = performance.now() + SETTLES;
    if (event.kind === "daemon") this.#hostAt = -Infinity;
    if (ROUTINE.has(event.kind)) return;
    this.events.unshift(event);
    this.events.length = Math.min(this.events.length, EVENTS);
  }

  // What is dear to read: again when calls have closed, and in case that was not heard.
  async past(of, read) {
    const now = performance.now();
    if (this.#past.of !== of || now < this.#unsettled || now - this.#past.at > HOLDS) {
      this.#past = { of, at: now, value: await read() };
    }
    return this.#past.value;
  }

  // Evidence about a call is dear and may take long: no page waits for it. What is known of it, or
  // the Error why nothing is, or undefined; asked for again when something else was seen of the call.
  evidence(of, seen, read) {
    const known = this.#evidence;
    const stale = known.seen !== seen || performance.now() - known.at > HOLDS;
    if (known.of !== of || (stale && !known.asked)) {
      const value = known.of === of ? known.value : undefined;
      const one = { of, seen, asked: true, at: 0, value };
      const over = (answer) => Object.assign(one, { asked: false, at: performance.now(), value: answer });
      read().then(over, over);
      this.#evidence = one;
    }
    return this.#evidence.value;
  }
}
