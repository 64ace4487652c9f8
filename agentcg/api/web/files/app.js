// The page: which view is shown, that it is kept fresh, and whether the daemon answers.

import * as call from "./call.js";
import { Refused, enter, follow } from "./daemon.js";
import { become, h } from "./dom.js";
import { visible } from "./format.js";
import * as host from "./host.js";
import { note, sessionLink } from "./parts.js";
import * as session from "./session.js";
import { State } from "./state.js";
import { sort } from "./table.js";

const EVERY = 1000;
const AGAIN = 2000;
const LEAST = 300; // pixels of width that a plot has
const SHARE = 4; // times as long as an answer took is rested, so that many pages are no burden
const VIEWS = { host, session, call };
const [path, status, notes, main] = ["path", "state", "notes", "view"].map((id) =>
  document.getElementById(id),
);
const state = new State();
const NOTHING = new Set([401, 403, 404, 422]); // answers after which there is nothing to be seen
let hurry = () => {};
let drawn = null; // the place of which the view is
let draw = () => {}; // the view again, of what was read last
let refused = ""; // why a link was not taken, until somebody goes elsewhere
const CONNECTING = "connecting";
let deaf = CONNECTING; // why no events are heard, or nothing

// Names are as agentcg/model/ids.py has them: none leads out of a path.
const PLACE = /^#\/(session|call)\/([A-Za-z0-9][A-Za-z0-9_-]{0,62})$/;

// #/session/s-1: [view, what of]
function where() {
  const [, kind, name] = location.hash.match(PLACE) ?? [];
  return kind ? [VIEWS[kind], name] : [host, ""];
}

function say(text, kind) {
  status.textContent = visible(text);
  document.body.className = kind;
}

function failed(error) {
  const answered = error instanceof Refused;
  say(answered ? error.message : `connection lost, trying again: ${error.message}`, "lost");
  if (NOTHING.has(error.status) || drawn !== location.hash) become(main, []);
  if (!answered) return;
  if (state.machine !== null) refused = ""; // a token held since: that it ends is another thing
  warn(error.message);
}

// What is said above the view.
function warn(trouble) {
  become(notes, [refused, trouble].filter(Boolean).map(note));
}

function crumbs(view, name, owner) {
  const links = [h("a", { href: "#/" }, "host")];
  if (owner) links.push(sessionLink(owner, session.name(owner)));
  if (view !== host) links.push(h("span", {}, visible(view.name(name))));
  become(path, links);
  document.title = visible(`agentcg: ${view.name(name)}`);
}

async function once() {
  const place = location.hash;
  const [view, name] = where();
  if (place !== drawn) crumbs(view, name, null);
  const found = await view.read(state, name);
  if (place !== location.hash) {
    await once(); // somebody went elsewhere meanwhile
    return;
  }
  crumbs(view, name, view === call ? found.view?.call.session : null);
  draw = () => {
    const made = view.draw(found, state, Math.max(LEAST, main.clientWidth));
    become(main, made.flat(Infinity).filter(Boolean));
  };
  draw();
  drawn = place;
  warn("");
  if (deaf) say(deaf, deaf === CONNECTING ? "" : "lost");
  else say("live", "live");
}

const rest = (time) =>
  new Promise((done) => {
    const timer = setTimeout(done, time);
    hurry = () => {
      clearTimeout(timer);
      done();
    };
  });

const looked = () =>
  new Promise((done) => {
    if (!document.hidden) done();
    else document.addEventListener("visibilitychange", done, { once: true });
  });

async function ask() {
  for (;;) {
    await looked();
    const begun = performance.now();
    let least = EVERY;
    try {
      await once();
    } catch (error) {
      failed(error);
      least = AGAIN;
    }
    await rest(Math.max(least, SHARE * (performance.now() - begun)));
  }
}

function heard() {
  deaf = "";
  state.anew();
}

// A page that nobody looks at holds no stream: a browser has six connections to a host.
async function hear() {
  for (;;) {
    await looked();
    const control = new AbortController();
    const hidden = () => document.hidden && control.abort();
    document.addEventListener("visibilitychange", hidden);
    try {
      await follow(control.signal, heard, (event) => state.hear(event));
      deaf = "events are not told, trying again";
    } catch (error) {
      deaf = document.hidden ? CONNECTING : `events are not told, trying again: ${error.message}`;
    }
    document.removeEventListener("visibilitychange", hidden);
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}

// A link is taken by its secret; a token from before may hold where it is of no use.
async function start() {
  const secret = location.hash.match(/^#enter=(.+)$/)?.[1];
  if (!secret) return;
  history.replaceState(null, "", "#/");
  try {
    await enter(secret);
  } catch (error) {
    refused = `The link was not taken: ${error.message}`;
  }
}

main.addEventListener("click", ({ target }) => sort(target) && draw());
window.addEventListener("resize", () => hurry());
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#enter=")) location.reload();
  refused = "";
  hurry();
});
start().then(() => {
  ask();
  hear();
});
