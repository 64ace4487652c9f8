// What is asked of the daemon. The token is this origin's: unlike a cookie it is not sent to what
// else listens on this machine.

const KEY = "agentcg.token";
// The daemon sends a comment every 15 seconds: after three missed ones it is taken for gone.
const SILENCE = 45_000;
const PATIENCE = 15_000;

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options, secret) {
  const headers = { Authorization: `Bearer ${secret}` };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? `the daemon answered with ${answer.status}`);
}

// Exchange the secret of a link for a token.
export async function enter(secret) {
  const options = { method: "POST", signal: AbortSignal.timeout(PATIENCE) };
  const answer = await ask("/ui/enter", options, secret);
  localStorage.setItem(KEY, (await answer.json()).token);
}

const token = () => {
  const held = localStorage.getItem(KEY);
  if (held === null) throw new Refused(401, "no token: run `agentcg ui` on the host");
  return held;
};

export async function get(path) {
  const answer = await ask(path, { signal: AbortSignal.timeout(PATIENCE) }, token());
  return answer.json();
}

// What is recorded, where nothing is.
export const OFF = Symbol("traces.enabled is off");

// As get(), but null where there is no such thing, and OFF where such things are not kept.
export async function perhaps(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.status === 404) return null;
    if (error.status === 501) return OFF;
    throw error;
  }
}

// The last event that was heard. A token is of one daemon, and so are the numbers of events.
let last = { secret: null, seq: null };

// Follow events until `signal`, from now on or from where it ended before; `begun` is called once
// the daemon listens to us.
export async function follow(signal, begun, heard) {
  const own = new AbortController();
  const stop = () => own.abort();
  signal.addEventListener("abort", stop);
  let silent = setTimeout(stop, SILENCE);
  try {
    const secret = token();
    if (secret !== last.secret) last = { secret, seq: null };
    const after = last.seq === null ? "" : `?after=${last.seq}`;
    const answer = await ask(`/v1/events${after}`, { signal: own.signal }, secret);
    last.seq ??= 0; // all that is remembered, if it ends before anything is heard
    begun();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silent);
      silent = setTimeout(stop, SILENCE);
      const records = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = records.pop();
      for (const record of records) {
        const data = record.split("\n").filter((line) => line.startsWith("data:"));
        if (!data.length) continue;
        const event = JSON.parse(data.map((line) => line.slice(5)).join("\n"));
        last.seq = event.seq;
        heard(event);
      }
    }
  } finally {
    clearTimeout(silent);
    signal.removeEventListener("abort", stop);
    own.abort();
  }
}
