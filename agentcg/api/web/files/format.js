// Quantities and text as the command line writes them (agentcg/units.py, agentcg/cli/render.py).

export const NONE = "-";
const UNITS = [["P", 2 ** 50], ["T", 2 ** 40], ["G", 2 ** 30], ["M", 2 ** 20], ["K", 2 ** 10]];

const short = (number) => number.toFixed(1).replace(/\.0$/, "");
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const two = (major, unit, minor, less) => `${major} ${unit}` + (minor ? ` ${minor} ${less}` : "");

// Characters that move or reorder what is read; and, on a page, letters that are blank, and marks
// piled up over the lines above.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]|\p{M}{5,}/gu;

// They are made visible.
export const visible = (text) =>
  String(text).replace(HIDDEN, (found) => Array.from(found, escaped).join(""));

function escaped(char) {
  const code = char.codePointAt(0);
  if (code < 0x100) return "\\x" + code.toString(16).padStart(2, "0");
  if (code < 0x10000) return "\\u" + code.toString(16).padStart(4, "0");
  return "\\U" + code.toString(16).padStart(8, "0");
}

export function size(value) {
  if (!known(value)) return NONE;
  for (const [prefix, factor] of UNITS) {
    if (Math.abs(value) >= factor * 0.99995) return `${short(value / factor)} ${prefix}iB`;
  }
  return `${value} B`;
}

export function span(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 0) return "-" + span(-seconds);
  if (seconds >= 59.95) return long(seconds);
  if (seconds >= 0.9995) return `${short(seconds)} s`;
  if (seconds >= 0.0009995) {
    return `${seconds < 0.01 ? short(seconds * 1e3) : Math.round(seconds * 1e3)} ms`;
  }
  return seconds ? `${(seconds * 1e6).toFixed(0)} µs` : "0 s";
}

function long(seconds) {
  const whole = Math.round(seconds);
  if (whole < 3600) return two(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return two(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(seconds / 3600);
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

// CPU time a second: of one core 100 %.
export const cores = (value) => (known(value) ? `${Math.round(value * 100)} %` : NONE);

export const percent = (value) => {
  if (!known(value)) return NONE;
  return value < 10 ? `${value.toFixed(1)} %` : `${Math.round(value)} %`;
};

export const count = (value) => (known(value) ? String(value) : NONE);

// A moment of the host's clock, in the time zone of who looks.
export function moment(at) {
  if (!known(at)) return NONE;
  const when = new Date(at * 1000);
  return Number.isNaN(when.getTime()) ? NONE : when.toLocaleString();
}
