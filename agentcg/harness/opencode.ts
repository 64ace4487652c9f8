// opencode: tells the daemon of each shell command before and after it, and has it start as its call.
//
// The command's text stays as the model wrote it, for permission rules look at that. Its bash reads
// the file in BASH_ENV first, and there starts `acg-shell`, which is placed and runs the same line.
// It stays as the parent, outside of the call: of a child that a signal ends opencode 1.18 never
// hears, and waits for ever.
// Whatever goes wrong here, the command runs. Rules: docs/harness/opencode.md.
//
// Types are told in three forms only, each a line or the head of one, so that a runtime without
// TypeScript can be given the rest: `import type`, `type NAME = ...`, `const NAME: TYPE = ...`.
import { existsSync, mkdtempSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Plugin } from "@opencode-ai/plugin"

type Call = { tool: string; sessionID: string; callID: string }
type Tell = (event: string, call: Call, command: unknown) => Promise<string>

const SOCKET = "/run/agentcg/agent/sock"
const PATIENCE_MS = 900
const KEPT = 256

const PLACE = `if [ -n "$AGENTCG_BASH_ENV" ]; then BASH_ENV=$AGENTCG_BASH_ENV; else unset BASH_ENV; fi
unset AGENTCG_BASH_ENV
if [ -n "$BASH_EXECUTION_STRING" ]; then
  q="'\\\\''"
  "$AGENTCG_SHELL" "eval '\${BASH_EXECUTION_STRING//\\'/$q}'"
  exit
fi
`

// What the daemon answers in words; nothing where it is away, slow, or has nothing to say.
const tell: Tell = (event, call, command) => {
  const body = JSON.stringify({
    hook_event_name: event,
    session_id: call.sessionID,
    tool_name: call.tool,
    tool_use_id: call.callID,
    tool_input: { command },
  })
  const how = {
    socketPath: SOCKET,
    method: "POST",
    path: "/v1/hooks/opencode",
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
  }
  return new Promise((resolve) => {
    const asked = request(how, (answer) => {
      const parts: Buffer[] = []
      answer.on("data", (part) => parts.push(part))
      answer.on("error", () => resolve(""))
      answer.on("end", () => resolve(words(Buffer.concat(parts).toString())))
    })
    const late = setTimeout(() => {
      asked.destroy()
      resolve("")
    }, PATIENCE_MS)
    asked.on("error", () => resolve(""))
    asked.on("close", () => clearTimeout(late))
    asked.end(body)
  })
}

const words: (answer: string) => string = (answer) => {
  try {
    const { text } = JSON.parse(answer)
    return typeof text === "string" ? text : ""
  } catch {
    return ""
  }
}

export const Agentcg: Plugin = async (_, options) => {
  const shell = `${options?.acg ?? "/run/agentcg/agent/acg"}-shell`
  const script = join(mkdtempSync(join(tmpdir(), "agentcg-")), "place.sh")
  writeFileSync(script, PLACE, { mode: 0o600 })
  const early: Map<string, string> = new Map()

  return {
    "tool.execute.before": async (call, { args }) => {
      if (call.tool !== "bash") return
      const said = await tell("tool.execute.before", call, args?.command)
      // What is said before a tool waits for its result; some calls never have one.
      if (early.size >= KEPT) early.clear()
      if (said) early.set(call.callID, said)
    },
    "shell.env": async (call, output) => {
      if (!call.callID || !existsSync(shell)) return
      const theirs = output.env.BASH_ENV ?? process.env.BASH_ENV ?? ""
      Object.assign(output.env, {
        AGENTCG_SHELL: shell,
        AGENTCG_BASH_ENV: theirs,
        BASH_ENV: script,
      })
    },
    "tool.execute.after": async (call, output) => {
      if (call.tool !== "bash") return
      const late = await tell("tool.execute.after", call, call.args?.command)
      const text = [early.get(call.callID), late].filter(Boolean).join("\n")
      early.delete(call.callID)
      if (text && typeof output?.output === "string") output.output += `\n${text}`
    },
  }
}
