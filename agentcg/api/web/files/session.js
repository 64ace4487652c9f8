// A session: its agent and its calls, the largest first; also one that is closed.

import { OFF, get, perhaps } from "./daemon.js";
import { h } from "./dom.js";
import { count, size, visible } from "./format.js";
import { calls, closed, facts, note, title, told, used } from "./parts.js";
import { course } from "./plot.js";

const CLOSED = 50;
const PAST = 600; // seconds of its course
const DAY = 86_400; // of one that is closed: as far back as its calls are listed
const POINTS = 300;

export const name = (id) => `session ${id}`;

export async function read(state, id) {
  const [sessions, open, past] = await Promise.all([
    get("/v1/sessions"),
    get("/v1/calls"),
    state.past(id, () => perhaps(`/v1/accounts?session=${id}&points=${CLOSED}`)),
    state.refresh(),
  ]);
  const view = sessions.find((one) => one.session.id === id) ?? null;
  const since = Math.max(0, state.now - (view === null ? DAY : PAST));
  const trace = await perhaps(`/v1/sessions/${id}/trace?since=${since}&points=${POINTS}`);
  state.rates.take(open);
  return { id, view, trace, past, open: open.filter((one) => one.call.session === id) };
}

export function draw({ id, view, trace, past, open }, state, width) {
  if (view === null && trace === OFF) {
    return [note(`No session ${id} is open; of others nothing is kept: traces.enabled is off.`)];
  }
  if (view === null && trace === null && !past.length) {
    return [note(`No session ${id} is open, and of the last day nothing is remembered of it.`)];
  }
  return [
    view === null
      ? note("It is closed: this is what is remembered of the last day.")
      : figures(view, open),
    title(view === null ? "Its course" : "The last 10 minutes"),
    course(trace, view?.limit ?? null, width, state),
    title("Open calls"),
    calls(open, state, false),
    title(`Closed calls of the last day, the last ${CLOSED}`),
    past === OFF
      ? h("p", {}, "Not known: traces.enabled is off.")
      : closed(past, false, "None."),
    title("Events since this page was opened"),
    told(state.events.filter((event) => event.session === id), "None yet."),
  ];
}

function figures(view, open) {
  const { session } = view;
  const { guarantee } = session.budget;
  return facts([
    ["Memory", used(view.memory, view.limit)],
    ["of the agent, outside calls", size(outside(view, open))],
    ["Limit of its calls together", view.calls_limit === null ? null : size(view.calls_limit)],
    ["Limit outside calls", view.agent_limit === null ? null : size(view.agent_limit)],
    ["Open calls", `${view.open_calls} of ${session.budget.calls}`],
    ["Guarantees, at most", guarantee === null ? null : size(guarantee)],
    ["Priority", count(session.priority)],
    ["Undeclared work", `${session.undeclared}, ${view.undeclared} seen`],
    ["Runtime", session.runtime],
    ["Name", visible(session.name)],
    ["Container", session.container === null ? null : visible(session.container.slice(0, 12))],
    ["Only observed", session.observe_only === null ? null : visible(session.observe_only)],
  ]);
}

// All were read one after the other: what they make together may be more than the session had.
function outside(view, open) {
  const known = open.every((one) => one.usage.memory !== null);
  if (view.memory === null || !known) return null;
  return Math.max(0, view.memory - open.reduce((sum, one) => sum + one.usage.memory, 0));
}
