// Plays opencode's part towards a plugin, as version 1.18 was seen to do it. Arguments: URL of the
// plugin, its options, and commands as JSON; what the model would read goes to stdout as JSON.
//
// opencode's runtime takes TypeScript; this node may not, so the types are taken out first: those of
// the three forms that the plugin tells them in. A fourth would be a syntax error here.
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const TYPES = [
  [/^import type .*$/gm, ""],
  [/^type \w+ = .*$/gm, ""],
  [/^(\s*(?:export )?const \w+): .+? = /gm, "$1 = "],
]

const [url, options, commands] = [process.argv[2], ...process.argv.slice(3).map((a) => JSON.parse(a))]
const hooks = []
const script = TYPES.reduce((text, form) => text.replace(...form), readFileSync(new URL(url), "utf8"))
const erased = join(mkdtempSync(join(tmpdir(), "host-")), "plugin.mjs")
writeFileSync(erased, script)
for (const plugin of Object.values(await import(erased))) hooks.push(await plugin({}, options))

async function trigger(name, input, output) {
  for (const one of hooks) if (one[name]) await one[name](input, output)
}

const heard = []
for (const [number, command] of commands.entries()) {
  const call = { tool: "bash", sessionID: "ses_1", callID: `call_${number}` }
  const args = { command }
  await trigger("tool.execute.before", call, { args })
  const shell = { env: {} }
  await trigger("shell.env", { cwd: "/", sessionID: call.sessionID, callID: call.callID }, shell)
  const how = { env: { ...process.env, ...shell.env }, encoding: "utf8", shell: "/bin/bash" }
  const done = spawnSync(args.command, how)
  const result = { title: command, output: done.stdout + done.stderr, metadata: {} }
  await trigger("tool.execute.after", { ...call, args }, result)
  heard.push(result.output)
}
process.stdout.write(JSON.stringify(heard))
