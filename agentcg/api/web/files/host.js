// The host: what all sessions use, and the largest calls of them.

import { OFF, get, perhaps } from "./daemon.js";
import { h } from "./dom.js";
import { cores, count, percent, size, visible } from "./format.js";
import { KILLS, calls, closed, facts, sessionLink, title, told, used } from "./parts.js";
import { byMemory, order, table } from "./table.js";

const CLOSED = 300; // of the last day, among which kills are looked for

export const name = () => "host";

export async function read(state) {
  const [sessions, open, past] = await Promise.all([
    get("/v1/sessions"),
    get("/v1/calls"),
    state.past("", () => perhaps(`/v1/accounts?points=${CLOSED}`)),
    state.refresh(),
  ]);
  state.rates.take(open);
  return { sessions, open, past };
}

export function draw({ sessions, open, past }, state) {
  const killed = past === OFF ? null : past.filter((one) => KILLS.has(one.cause));
  return [
    gauges(sessions, open, state),
    title("Sessions"),
    table(COLUMNS, rows(sessions, open, killed, state), "No session is open.", "sessions"),
    title("Open calls"),
    calls(open, state, true),
    title(`Killed in the last day, among the last ${CLOSED} calls that closed`),
    past === OFF
      ? h("p", {}, "Not known: traces.enabled is off.")
      : closed(killed, true, `None of ${past.length}.`),
    title("Events since this page was opened"),
    told(state.events, "None yet."),
    lacks(state.host),
  ];
}

const COLUMNS = [
  ["Session", "", ({ session }) => session.id],
  ["Name", "command", ({ session }) => session.name],
  ["Memory", "figure", ({ memory }) => memory],
  ["CPU of calls", "figure", ({ cpu }) => cpu],
  ["Calls", "figure", ({ open_calls }) => open_calls],
  [`Killed of last ${CLOSED}`, "figure", ({ kills }) => kills],
  ["Undeclared", "figure", ({ undeclared }) => undeclared],
];

function gauges(sessions, open, { host, machine }) {
  const held = sessions.reduce((sum, one) => sum + (one.memory ?? 0), 0);
  return facts([
    ["Memory of the host", used(machine.memory, machine.memory_total)],
    ["Memory of sessions", sessions.some((one) => one.memory !== null) ? size(held) : "not known"],
    ["CPU", `${cores(machine.cpu)} of ${machine.cpus * 100} %`],
    ["Waited for memory", percent(machine.memory_some)],
    ["Waited for CPU", percent(machine.cpu_some)],
    ["Waited for devices", percent(machine.io_some)],
    ["Sessions, calls", `${sessions.length}, ${open.length}`],
    ["Ran without a call", host.counters.fail_opens ? count(host.counters.fail_opens) : null],
    ["Tier", host.tier],
    ["Kernel", visible(host.kernel)],
  ]);
}

function rows(sessions, open, killed, state) {
  return sessions
    .toSorted((a, b) => byMemory(a.memory, b.memory) || order(a.session.id, b.session.id))
    .map((view) => {
      const id = view.session.id;
      const mine = open.filter((one) => one.call.session === id);
      const rates = mine.map((one) => state.rates.of(one.call.id)).filter((one) => one !== null);
      const cpu = rates.length ? together(rates, state) : null;
      const kills = killed?.filter((one) => one.session === id).length;
      return {
        key: id,
        of: { ...view, cpu, kills },
        cells: [
          sessionLink(id),
          visible(view.session.name),
          used(view.memory, view.limit),
          cores(cpu),
          count(view.open_calls),
          count(kills),
          count(view.undeclared),
        ],
      };
    });
}

// Each is of a time of its own: their sum may be more than there is.
const together = (rates, { machine }) =>
  Math.min(machine.cpus, rates.reduce((sum, one) => sum + one, 0));

function lacks(host) {
  const missing = host.mechanisms.filter((one) => !one.works);
  if (!missing.length) return null;
  const rows = missing.map(({ name, detail }) => ({
    key: name,
    cells: [visible(name), visible(detail)],
  }));
  return h(
    "details",
    {},
    h("summary", {}, `${missing.length} mechanisms do not work here`),
    table([["Mechanism", ""], ["Why", "command"]], rows, ""),
  );
}
