// Who pressed whom: who held how much of the pool when a call was held up or killed.

import { OFF } from "./daemon.js";
import { h } from "./dom.js";
import { size, span, visible } from "./format.js";
import { callLink, note, sessionLink, used } from "./parts.js";
import { table } from "./table.js";

const COLUMNS = [["By", ""], ["Session", ""], ["", "command"], ["Held of the pool", "figure"]];

export function pressed(found) {
  if (found === OFF || found === null) return h("p", {}, "Not known: it is forgotten.");
  const moments = found.pressed.map((one) => moment(one, found));
  const gaps = found.gaps.map((text) => note(`Not known: ${text}`));
  return [moments.length ? moments : h("p", {}, "Nothing pressed it, as far as is known."), gaps];
}

function moment({ at, since, why, held, cut }, { call, pool }) {
  const rows = held.map((one, number) => ({
    key: `${at} ${number}`,
    cells: [
      who(one, call.id),
      one.session === null ? null : sessionLink(one.session),
      visible(one.command ?? ""),
      used(one.memory, pool), // as large as it is now
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
