"""What each harness documents that its hooks get on stdin."""

from typing import Any

Json = dict[str, Any]

CLAUDE: Json = {
    "session_id": "0b8d-1",
    "prompt_id": "p1",
    "transcript_path": "/home/u/.claude/projects/x/0b8d-1.jsonl",
    "cwd": "/repo",
    "permission_mode": "default",
    "effort": {"level": "high"},
    "hook_event_name": "PreToolUse",
    "agent_id": "a7",
    "agent_type": "Explore",
    "tool_name": "Bash",
    "tool_input": {
        "command": "make test",
        "description": "Runs the tests",
        "timeout": 120000,
        "run_in_background": True,
    },
    "tool_use_id": "toolu_01ABC",
}
CODEX: Json = {
    "session_id": "s",
    "turn_id": "t1",
    "agent_id": "g",
    "agent_type": "default",
    "transcript_path": None,
    "cwd": "/repo",
    "hook_event_name": "PreToolUse",
    "model": "m",
    "permission_mode": "default",
    "tool_name": "Bash",
    "tool_input": {"command": "make test"},
    "tool_use_id": "call_9",
}
GEMINI: Json = {
    "session_id": "s",
    "transcript_path": "/t.json",
    "cwd": "/repo",
    "hook_event_name": "BeforeTool",
    "timestamp": "2026-01-01T00:00:00Z",
    "tool_name": "run_shell_command",
    "tool_input": {"command": "make test", "description": "d"},
    "mcp_context": {},
}
OPENHANDS: Json = {
    "event_type": "PreToolUse",
    "tool_name": "terminal",
    "tool_input": {"command": "make test"},
    "tool_response": None,
    "message": None,
    "session_id": "s",
    "working_dir": "/repo",
    "metadata": {},
}
# The plugin's own words: opencode has no hooks that are programs.
OPENCODE: Json = {
    "hook_event_name": "tool.execute.before",
    "session_id": "ses_1",
    "tool_name": "bash",
    "tool_use_id": "call_0",
    "tool_input": {"command": "make test"},
}
# Our hook's: SWE-agent's are Python.
SWE_AGENT: Json = {**OPENCODE, "hook_event_name": "on_action_started"}
BASE: dict[str, Json] = {
    "claude-code": CLAUDE,
    "codex": CODEX,
    "gemini": GEMINI,
    "opencode": OPENCODE,
    "openhands": OPENHANDS,
    "swe-agent": SWE_AGENT,
}

# What comes with the hook after a tool, beside the fields of the one before it.
AFTER: dict[str, tuple[str, Json]] = {
    "claude-code": (
        "PostToolUse",
        {
            "tool_response": {"stdout": "x", "stderr": "", "interrupted": False, "isImage": False},
            "duration_ms": 12,
        },
    ),
    "claude-code, failed": (
        "PostToolUseFailure",
        {"error": "Exit code 137\nKilled", "is_interrupt": True, "duration_ms": 12},
    ),
    "codex": ("PostToolUse", {"tool_response": "Exit code: 1"}),
    "gemini": (
        "AfterTool",
        {"tool_response": {"llmContent": "x", "returnDisplay": "x", "error": {"message": "m"}}},
    ),
    "openhands": ("PostToolUse", {"tool_response": {"exit_code": -1, "timeout": True}}),
    "opencode": ("tool.execute.after", {}),
    "swe-agent": ("on_action_executed", {}),
}
