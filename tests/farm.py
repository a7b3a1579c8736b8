# SPDX-License-Identifier: GPL-3.0-or-later
"""What Flamenco offers to its job compiler scripts, for the one that comes with the extension.

As Flamenco 3.6 and later do: the script runs in strict mode, with these globals and no others, and
with the settings that were submitted and no defaults. Needs quickjs.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickjs

SCRIPT = Path(__file__).resolve().parents[1] / "flamenco" / "csm_retopo_import.js"

_GLOBALS = """
"use strict";
function checkText(value, what) {
    if (typeof value !== "string" || !value.trim()) throw new Error(what + " is required");
}
const author = Object.freeze({
    Task(name, type) {
        checkText(name, "author.Task(name, type): name");
        checkText(type, "author.Task(name, type): type");
        const task = {name: name, type: type, commands: [], dependencies: []};
        return Object.freeze(Object.assign(task, {
            addCommand(command) { task.commands.push(command); },
            addDependency(other) { task.dependencies.push(other.name); },
        }));
    },
    Command(name, parameters) {
        checkText(name, "author.Command(name, parameters): name");
        return Object.freeze({name: name, parameters: parameters});
    },
});
function print() {}
function alert() {}
function shellSplit(text) { return JSON.parse(pythonSplit(text)); }
"""

_COMPILE = """
(function (settings) {
    const tasks = [];
    const job = Object.freeze({
        name: "Batch", type: "csm-retopo-import", priority: 50,
        settings: settings, metadata: {},
        addTask(task) { tasks.push(task); },
    });
    compileJob(job);
    return JSON.stringify(tasks);
})(%s)
"""


class CompileError(Exception):
    """The script threw something: what the submitter is told."""


@dataclass(frozen=True)
class Task:
    """What a worker gets: the type says which, the arguments are those of `exec`."""

    name: str
    type: str
    executable: str
    arguments: list[str]


def job_type() -> dict[str, Any]:
    """The script's JOB_TYPE."""
    return json.loads(_context().eval("JSON.stringify(JOB_TYPE)"))


def compile_job(**settings: Any) -> list[Task]:
    """The tasks of a job with these settings. Raises CompileError."""
    try:
        tasks = json.loads(_context().eval(_COMPILE % json.dumps(settings)))
    except quickjs.JSException as error:
        raise CompileError(str(error)) from None
    found = []
    for task in tasks:
        (command,) = task["commands"]
        assert command["name"] == "exec"
        parameters = command["parameters"]
        assert list(parameters) == ["exe", "args"]
        assert all(isinstance(each, str) for each in parameters["args"])
        found.append(Task(task["name"], task["type"], parameters["exe"], parameters["args"]))
    return found


def _context() -> quickjs.Context:
    context = quickjs.Context()
    context.add_callable("pythonSplit", lambda text: json.dumps(shlex.split(text)))
    context.eval(_GLOBALS)
    context.eval('"use strict";' + SCRIPT.read_text(encoding="utf-8"))
    return context
