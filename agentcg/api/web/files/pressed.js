// Who pressed whom: who held how much of the pool when a call was held up or killed.

import { h } from "./dom.js";
import { size, span, visible } from "./format.js";
import { callLink, note, sessionLink, short } from "./parts.js";
import { table } from "./table.js";

const COLUMNS = [["By", ""], ["Session", ""], ["", "command"], ["Held of the pool", "figure"]];

export function pressed(found) {
  if (found === undefined) return h("p", {}, "It is being looked up.");
  if (found instanceof Error) return note(`Not known now: ${found.message}`);
  if (found === null) return h("p", {}, "Not known: it is forgotten.");
  const moments = found.pressed.map((one) => moment(one, found));
  const gaps = found.gaps.map((text) => note(`Not known: ${text}`));
  const pool = found.pool === null ? null : note(`The pool has ${size(found.pool)} now.`);
  return moments.length
    ? [moments, pool, gaps]
    : [h("p", {}, "Nothing pressed it, as far as is known."), gaps];
}

function moment({ at, since, why, held, cut }, { call }) {
  const rows = held.map((one, number) => ({
    key: `${at} ${number}`,
    cells: [
      who(one, call.id),
      one.session === null ? null : sessionLink(one.session),
      short(one.command ?? ""),
      size(one.memory),
    ],
  }));
  return [
    h("p", { class: "moment" }, `${span(since)} after it was declared: ${visible(why)}`),
    table(COLUMNS, rows, "Nothing was recorded at that time."),
    cut ? note("There was too much to go through: somebody may be missing.") : null,
  ];
}

function who({ whose, call, count }, mine) {
  if (call !== null && call !== mine) return callLink(call);
  return visible(count > 1 ? `${whose} (${count})` : whose);
}
