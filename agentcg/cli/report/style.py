"""How a report looks, light and dark, on a screen and on paper."""

CSS = """
:root {
  color-scheme: light dark;
  --back: #ffffff; --text: #1c2128; --faint: #59636e; --rule: #d1d9e0;
  --used: #3b82c4; --high: #b9d7f1; --bound: #c62828; --kept: #2e7d32;
  --ended: #4f8f5b; --oom: #c62828; --limit: #d97706; --stopped: #7c5cba; --open: #3b82c4;
  --a: #7c3aed; --b: #0f766e; --c: #b45309; --d: #be185d; --e: #4d7c0f; --f: #334155;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14181d; --text: #e6edf3; --faint: #9aa5b1; --rule: #343b44;
    --used: #5aa2e0; --high: #284b6b; --bound: #ff7b72; --kept: #6fcf7c;
    --ended: #6fae7b; --oom: #ff7b72; --limit: #f0a84b; --stopped: #b39ae8; --open: #5aa2e0;
    --a: #c4a7ff; --b: #5ed4c8; --c: #f2b26b; --d: #f78fc0; --e: #b4dd6b; --f: #b7c4d4;
  }
}
body {
  background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif;
  margin: 0 auto; max-width: 1020px; padding: 16px;
}
h1 { font-size: 24px; margin: 8px 0; }
h2 { font-size: 19px; margin: 32px 0 8px; border-bottom: 1px solid var(--rule); }
p, figcaption, caption { color: var(--faint); text-align: left; }
caption { padding: 12px 0 4px; font-weight: 600; }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; }
dt { color: var(--faint); font-size: 13px; }
dd { margin: 0; font-size: 19px; }
figure { margin: 12px 0; }
svg { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border-bottom: 1px solid var(--rule); padding: 3px 10px 3px 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; min-width: 88px; }
.figure { text-align: right; white-space: nowrap; }
.note { border-left: 3px solid var(--limit); padding-left: 8px; }
.key { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 12px; }
.key + span { white-space: nowrap; }
.grid { stroke: var(--rule); stroke-width: 0.6; }
.tick, .name { fill: var(--faint); font-size: 11px; }
.peak { fill: var(--high); }
.memory { fill: var(--used); fill-opacity: 0.75; }
.bound { stroke: var(--bound); stroke-width: 1.5; }
.kept { stroke: var(--kept); stroke-width: 1.5; stroke-dasharray: 5 4; }
.mark { fill: var(--oom); }
.cross { fill: none; stroke: var(--text); stroke-width: 1.3; }
.call, .psi-memory, .psi-full, .psi-cpu, .psi-io {
  fill: none; stroke-width: 1.3; stroke-linecap: round;
}
.call0, .psi-memory { stroke: var(--a); }
.call1, .psi-cpu { stroke: var(--b); }
.call2, .psi-io { stroke: var(--c); }
.call3, .psi-full { stroke: var(--d); }
.call4 { stroke: var(--e); }
.call5 { stroke: var(--f); }
.ended { fill: var(--ended); background: var(--ended); }
.oom { fill: var(--oom); background: var(--oom); }
.limit { fill: var(--limit); background: var(--limit); }
.stopped { fill: var(--stopped); background: var(--stopped); }
.open { fill: var(--open); background: var(--open); }
.back-a { background: var(--a); }
.back-b { background: var(--b); }
.back-c { background: var(--c); }
.back-d { background: var(--d); }
.back-e { background: var(--e); }
.back-f { background: var(--f); }
.back-used { background: var(--used); }
.back-high { background: var(--high); }
.back-bound { background: var(--bound); }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
"""
