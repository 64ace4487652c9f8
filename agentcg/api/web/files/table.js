// Tables. Those that have a name can be sorted: by the column whose name is clicked.

import { h } from "./dom.js";

const ROWS = 200;
const sorts = new Map(); // by the name of a table, until the page is left: [column, most first]

export const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

// The most first; what is not known last.
export const byMemory = (one, other) => (other ?? -1) - (one ?? -1);

// `columns` are [label, class, value of a row's `of` to sort by]; `rows` are {key, cells, of}.
export function table(columns, rows, empty, name = "") {
  if (!rows.length) return h("p", {}, empty);
  const body = sorted(columns, rows, name).slice(0, ROWS).map(({ key, cells }) =>
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
  const head = columns.map((column) => headed(column, name));
  const made = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
  return [
    h("div", { class: "wide" }, made),
    more > 0 ? h("p", {}, `and ${more} more`) : null,
  ];
}

function headed([label, kind, value], name) {
  if (!value) return h("th", { class: kind, scope: "col" }, label);
  const [column, most] = sorts.get(name) ?? [];
  const way = column !== label ? null : most ? "descending" : "ascending";
  const button = h("button", { type: "button", "data-table": name, "data-column": label }, label);
  return h("th", { class: kind, scope: "col", "aria-sort": way }, button);
}

// What is not known comes last both ways; what is alike stays in the order in which it came.
function sorted(columns, rows, name) {
  const [column, most] = sorts.get(name) ?? [];
  const value = columns.find(([label]) => label === column)?.[2];
  if (!value) return rows;
  const known = [];
  const rest = [];
  for (const row of rows) {
    const by = value(row.of) ?? null;
    if (by === null) rest.push(row);
    else known.push([by, row]);
  }
  known.sort(([one], [other]) => (most ? order(other, one) : order(one, other)));
  return [...known.map(([, row]) => row), ...rest];
}

// Take a click; whether it was at a column's name. Figures begin with the most, words with A.
export function sort(target) {
  const button = target.closest("button[data-column]");
  if (button === null) return false;
  const { table: name, column } = button.dataset;
  const [before, most] = sorts.get(name) ?? [];
  const figure = button.parentElement.classList.contains("figure");
  sorts.set(name, [column, before === column ? !most : figure]);
  return true;
}
