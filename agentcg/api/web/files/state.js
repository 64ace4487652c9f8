// What is known beside the view that is shown: the machine, recent events, rates, closed calls.

import { get } from "./daemon.js";

const HOST_FOR = 30_000; // milliseconds for which its answer, which is dear, holds
const EVENTS = 50;
const SETTLES = 3000; // after a call has closed, until it is among the closed ones for sure
const TIMES = 0.5; // seconds that a rate is of, at least
const GONE = 60;
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
  #hostAt = 0;
  #past = { of: null, value: null };
  #unsettled = 0;

  async refresh() {
    if (this.host === null || performance.now() - this.#hostAt > HOST_FOR) {
      this.host = await get("/v1/host");
      this.#hostAt = performance.now();
    }
    const { at, machine } = await get("/ui/machine");
    this.now = at;
    this.machine = machine;
    this.rates.most = machine.cpus;
  }

  // The daemon listens again, perhaps another one.
  anew() {
    this.host = null;
    this.#past = { of: null, value: null };
  }

  hear(event) {
    if (event.kind === "call.closed") this.#unsettled = performance.now() + SETTLES;
    if (event.kind === "daemon") this.host = null;
    if (ROUTINE.has(event.kind)) return;
    this.events.unshift(event);
    this.events.length = Math.min(this.events.length, EVENTS);
  }

  // Closed calls: read once, and again when some have closed.
  async past(of, read) {
    if (this.#past.of !== of || performance.now() < this.#unsettled) {
      this.#past = { of, value: await read() };
    }
    return this.#past.value;
  }
}
