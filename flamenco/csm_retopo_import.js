// SPDX-License-Identifier: GPL-3.0-or-later

// A job type of Flamenco 3, Blender's render farm manager: a batch of CSM Retopo, shared out among
// the workers, a block of sessions a task. See the README for how to set it up.
//
// Flamenco runs it in goja, which knows no newer JavaScript than this.

const JOB_TYPE = {
    label: "CSM Retopo Import",
    description: "Import retopology sessions, each into a .blend and a report of its own",
    settings: [
        { key: "list_file", type: "string", subtype: "file_path", visible: "submission",
          description: "Text file that names a session a line, at a path that all workers see" },
        { key: "sessions", type: "string", visible: "submission",
          description: "Session IDs, separated by blanks or commas, instead of a file or as well" },
        { key: "output", type: "string", subtype: "dir_path", required: true, visible: "submission",
          description: "Folder of the results: on shared storage, or each worker's own" },
        { key: "block_size", type: "int32", default: 50, propargs: {min: 1, max: 1000},
          visible: "submission", description: "Number of sessions in one task" },
        { key: "jobs", type: "int32", default: 2, propargs: {min: 1, max: 64},
          visible: "submission", description: "Number of sessions that a worker imports at once" },
        { key: "asset_library", type: "bool", default: false, visible: "submission",
          description: "Make the output folder an asset library" },
        { key: "best", type: "string", visible: "submission",
          description: "Rule by which one variation is the best, such as " +
            "'hausdorff_relative < 0.01, max quad_ratio'" },
        { key: "flags", type: "string", default: "--wait 3600", visible: "submission",
          description: "Further options of the command, as in a shell" },

        // Worked out where the job is submitted, by Blender: a job compiler can't read files.
        { key: "list_path", type: "string", visible: "web",
          eval: "str(abspath(settings.list_file)) if settings.list_file else ''",
          description: "Where the file is" },
        { key: "output_path", type: "string", visible: "web",
          eval: "str(abspath(settings.output)) if settings.output else ''",
          description: "Where the results go" },
        { key: "listed", type: "int32", visible: "web",
          eval: "sum(bool(line.strip()) and not line.lstrip().startswith('#') for line in " +
            "abspath(settings.list_file).read_text(encoding='utf-8-sig').splitlines()) " +
            "if settings.list_file else 0",
          description: "Number of sessions in the file" },
    ]
};

// More IDs than this make a command line that is too long for some systems.
const MOST_TYPED_PER_TASK = 500;

function compileJob(job) {
    const settings = job.settings;
    const typed = (settings.sessions || "").split(/[\s,]+/).filter(function (id) { return id; });
    const list = settings.list_path || settings.list_file;
    const listed = list ? settings.listed || 0 : 0;
    if (!settings.output) {
        throw "Name the folder of the results";
    }
    if (typed.length + listed == 0) {
        throw "Name sessions, or a file that names some";
    }
    if (typed.some(function (id) { return /:\/\/|[?&]sig=/i.test(id); })) {
        throw "Name sessions by their IDs, and put URLs into the file: a job and its tasks can be " +
            "read by many, and a URL may be as good as a key";
    }
    const size = Math.max(settings.block_size || 1, 1);

    for (let start = 0; start < typed.length; start += Math.min(size, MOST_TYPED_PER_TASK)) {
        const ids = typed.slice(start, start + Math.min(size, MOST_TYPED_PER_TASK));
        addTask(job, `sessions ${start + 1}-${start + ids.length}`, ids);
    }
    const parts = Math.ceil(listed / size);
    for (let part = 1; part <= parts; part++) {
        addTask(job, `part ${part} of ${parts}`,
            ["--from-file", list, "--part", `${part}/${parts}`]);
    }
}

// The API key is none of its business: a worker has it in its environment, as CSM_API_KEY.
function addTask(job, name, sources) {
    const settings = job.settings;
    // A task that fails is tried again elsewhere, and a job of which a tenth fails is given up. So a
    // task fails only if nothing of it could be done; the report of each session tells the rest.
    let args = ["--background", "--online-mode", "--command", "csm_retopo", "import"]
        .concat(sources, ["--output", settings.output_path || settings.output, "--some-may-fail"]);
    if (settings.jobs) {
        args.push("--jobs", `${settings.jobs}`);
    }
    if (settings.asset_library) {
        args.push("--asset-library");
    }
    if (settings.best) {
        args.push("--best", settings.best);
    }
    if (settings.flags) {
        args = args.concat(shellSplit(settings.flags));
    }
    const task = author.Task(name, "blender");
    task.addCommand(author.Command("exec", { exe: "{blender}", args: args }));
    job.addTask(task);
}
