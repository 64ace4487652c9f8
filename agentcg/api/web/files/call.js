// A call: what it asked for, was granted, used, and how it ended.

import { OFF, perhaps } from "./daemon.js";
import { h } from "./dom.js";
import { NONE, cores, count, moment, percent, size, span, visible } from "./format.js";
import { KILLS, facts, note, sessionLink, since, title, told, used } from "./parts.js";
import { course } from "./plot.js";
import { pressed } from "./pressed.js";
import { table } from "./table.js";

const POINTS = 500;
const EVENTS = 100;

export const name = (id) => `call ${id}`;

export async function read(state, id) {
  const [view, trace] = await Promise.all([
    perhaps(`/v1/calls/${id}`),
    perhaps(`/v1/calls/${id}/trace?points=${POINTS}`),
    state.refresh(),
  ]);
  if (view === null) return { id, view };
  state.rates.take([view]);
  const seen = `${view.call.state} ${trace?.events?.at(-1)?.seq}`;
  const why = state.evidence(id, seen, () => perhaps(`/v1/calls/${id}/explanation`));
  return { id, view, trace, why };
}

export function draw({ id, view, trace, why }, state, width) {
  if (view === null) return [note(`There is no call ${id}, or it is forgotten.`)];
  const { call, usage } = view;
  const events = trace === OFF || trace === null ? [] : trace.events;
  return [
    h("pre", { class: "line" }, visible(call.intent.command ?? call.intent.tool)),
    call.outcome === null ? null : outcome(call.outcome),
    figures(call, usage, state),
    title("Its course"),
    course(trace, call.grant.memory_limit, width, state),
    title("Who pressed whom"),
    pressed(why),
    title("Asked for and granted"),
    table([["", ""], ["Asked", ""], ["Granted", ""], ["Enforced", "command"]], terms(call), ""),
    call.grant.notes.map((text) => note(text)),
    Object.entries(call.grant.source).map((one) => note(one.join(" was not declared: "))),
    title("Events"),
    told(events.slice(-EVENTS).toReversed(), "None are remembered."),
  ];
}

function figures(call, usage, state) {
  const took = call.outcome?.wall ?? since(call.started_at, call.ended_at ?? state.now);
  return facts([
    ["State", call.state],
    ["Session", sessionLink(call.session)],
    ["Tool", visible(call.intent.tool)],
    ["Memory", usage.memory === null ? null : used(usage.memory, call.grant.memory_limit)],
    ["Peak", usage.peak === null ? null : size(usage.peak)],
    ["CPU", call.ended_at === null ? cores(state.rates.of(call.id)) : null],
    ["CPU time", usage.cpu === null ? null : span(usage.cpu)],
    ["Held back by its CPU limit", usage.throttled ? span(usage.throttled) : null],
    ["Processes and threads", usage.pids === null ? null : count(usage.pids)],
    ["All of it waits for memory", usage.pressure === null ? null : percent(usage.pressure)],
    ["Declared", moment(call.declared_at)],
    ["Duration", call.started_at === null ? "not started" : span(took)],
    ["Expected", call.intent.duration === null ? null : span(call.intent.duration)],
    ["Observed", call.observed ? "nobody declared it" : null],
  ]);
}

function outcome(result) {
  const how = [
    ["exit code", result.exit_code],
    ["signal", result.signal],
    ["whose limit was hit:", result.level],
    ["limit", result.level_limit === null ? null : size(result.level_limit)],
    ["peak", result.peak === null ? null : size(result.peak)],
    ["took", result.wall === null ? null : span(result.wall)],
    ["memory growth held up for", result.held ? span(result.held) : null],
    ["processes that the kernel killed:", result.oom_kills || null],
    ["processes left behind:", result.left_behind || null],
  ].filter(([, value]) => value !== null);
  const words = how.map(([what, value]) => `${what} ${value}`).join(", ");
  return h(
    "div",
    { class: KILLS.has(result.cause) ? "outcome killed" : "outcome" },
    h("strong", {}, `Ended by: ${result.cause}`),
    words ? `, ${words}` : null,
    result.advice ? h("p", {}, visible(result.advice)) : null,
  );
}

function terms({ intent, grant }) {
  const list = (cpus) => `${cpus.length} (CPU ${cpus.toSorted((a, b) => a - b).join(" ")})`;
  const rows = [
    ["memory.guarantee", size(intent.memory.guarantee), size(grant.memory_guarantee)],
    ["memory.limit", size(intent.memory.limit), size(grant.memory_limit)],
    ["cpu.weight", intent.cpu.weight ?? intent.cpu.cpu_class, grant.cpu_weight],
    ["cpu.cores", intent.cpu.cores ?? NONE, grant.cpus === null ? NONE : list(grant.cpus)],
    ["pids", intent.pids ?? NONE, grant.pids ?? NONE],
    ["io.weight", intent.io_weight ?? NONE, grant.io_weight ?? NONE],
    ["deadline", span(intent.deadline), span(grant.deadline)],
    ["priority", intent.priority ?? NONE, grant.priority],
    ["on_pressure", intent.on_pressure, intent.on_pressure],
    ["on_end", intent.on_end, grant.on_end],
  ];
  const known = new Set(rows.map(([knob]) => knob));
  const rest = Object.keys(grant.enforced).filter((knob) => !known.has(knob));
  const all = [...rows, ...rest.map((knob) => [visible(knob), NONE, NONE])];
  return all.map(([knob, asked, granted]) => ({
    key: knob,
    cells: [knob, String(asked), String(granted), visible(grant.enforced[knob] ?? "")],
  }));
}
