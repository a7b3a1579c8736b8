"use strict";

const ROW_PX = 76; // as --row in the style
const CELL_PX = 96;
const SPARE_ROWS = 8;

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const metrics = read("metrics").map(([key, heading, label, description, kind, better], place) => ({
  key, heading, label, description, kind, better, place,
}));
const sessions = read("sessions").map(asSession);
document.getElementById("sessions").remove(); // what it held is in memory now

function asSession([
  id, error, model, date, folder, keptOn, hasPage, source, warnings, chosen, meshes, thumbnails,
]) {
  const variations = meshes.map(([index, name, status, reason, ...numbers]) => ({
    index, name, status, reason, numbers,
  }));
  const imported = variations.filter((each) => each.status === "imported");
  const failed = variations.some((each) => each.status === "failed") || (source && source[1] === "failed");
  const status = error ? "failed" : failed ? "partly" : "imported";
  const values = metrics.map(({ place }) =>
    imported.map((each) => each.numbers[place]).filter((value) => value !== null));
  const [rule, place] = chosen && !error ? chosen : ["", null];
  const winner = imported.find((each) => each.index === place);
  const texts = [id, error, model, date, keptOn, source ? source[0] : "", choice({ rule, winner })];
  for (const each of variations) texts.push(each.name, each.reason);
  return {
    id, error, model, date, folder, keptOn, hasPage, source, warnings, rule, winner, variations,
    imported, status, values, thumbnails, words: texts.join("\n").toLowerCase(),
  };
}

// Columns: what is sorted by, and what is shown.
const statusTitles = { imported: "Imported", partly: "Partly", failed: "Failed" };
const columns = [
  { key: "pictures", heading: "", cell: (session, box) => box.append(strip(session, 60)) },
  {
    key: "session", heading: "Session", first: "ascending", value: (session) => session.id,
    cell: (session, box) => {
      const open = element("button", "open", session.id);
      open.type = "button";
      open.addEventListener("click", () => show(session));
      box.append(open, element("small", "", [session.model, session.date].filter(Boolean).join(" · ")));
    },
  },
  {
    key: "status", heading: "Status", first: "ascending",
    value: (session) => ["failed", "partly", "imported"].indexOf(session.status),
    cell: (session, box) => {
      box.append(element("span", `status ${session.status}`, statusTitles[session.status]));
      for (const line of [reason(session), choice(session)].filter(Boolean)) {
        const text = element("small", "", line);
        text.title = line;
        box.append(text);
      }
    },
  },
  {
    key: "variations", heading: "Variations", number: true, first: "descending",
    value: (session) => session.imported.length,
    cell: (session, box) => {
      const all = session.variations.length;
      const there = session.imported.length;
      box.append(there === all ? String(all) : `${there} of ${all}`);
    },
  },
  ...metrics.map((metric) => ({
    key: metric.key,
    heading: metric.heading,
    title: `${metric.description}${metric.better ? ": the best of the variations" : ""}`,
    number: true,
    first: metric.better === "lower" ? "ascending" : "descending",
    value: (session) => best(metric, session.values[metric.place]),
    cell: (session, box) => {
      const values = session.values[metric.place];
      if (!values.length) {
        box.append("-");
      } else if (metric.better) {
        box.append(format(metric, best(metric, values)));
      } else {
        const [low, high] = [Math.min(...values), Math.max(...values)];
        box.append(format(metric, low));
        if (low !== high) box.append(element("small", "", `to ${format(metric, high)}`));
      }
    },
  })),
];

function best(metric, values) {
  if (!values.length) return undefined;
  return metric.better === "lower" ? Math.min(...values) : Math.max(...values);
}

function reason(session) {
  if (session.error) return session.error;
  const failed = session.variations.find((each) => each.status === "failed");
  if (failed) return `${failed.name}: ${failed.reason}`;
  if (session.source && session.source[1] === "failed") return `${session.source[0]}: ${session.source[2]}`;
  return "";
}

// What a rule has chosen.
function choice({ rule, winner }) {
  if (!rule) return "";
  return winner ? `\u2605 ${winner.name}` : "No variation fulfils the rule";
}

function format(metric, value) {
  if (value === null || value === undefined) return "-";
  switch (metric.kind) {
    case "count": return value.toLocaleString("en");
    // As the report writes it: 100 % says all, and 0 % none.
    case "ratio":
      if (value <= 0 || value >= 1) return `${(value * 100).toFixed(0)} %`;
      return `${Math.min(Math.max(value * 100, 0.1), 99.9).toFixed(1)} %`;
    case "relative": return `${Number((value * 100).toPrecision(2))} %`;
    case "quality": return value.toFixed(2);
    default: return String(value);
  }
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) {
    const apart = document.createElement("bdi"); // it may run from right to left
    apart.textContent = text;
    made.append(apart);
  }
  return made;
}

// A session's preview images, in squares of so many pixels.
function strip(session, size) {
  const box = element("div", "strip");
  if (!session.thumbnails) return box;
  const image = document.createElement("img");
  image.alt = `Preview images of ${session.id}`;
  image.height = size;
  image.src = `data:image/webp;base64,${session.thumbnails}`;
  box.append(image);
  return box;
}

// Filter and order.
const words = document.getElementById("words");
const statuses = document.getElementById("statuses");
const heads = document.getElementById("heads");
const rows = document.getElementById("rows");
const frame = document.getElementById("frame");
let status = "all";
let sortedBy = null;
let order = null;
let shown = sessions;

const aliases = { quads: "quad_ratio", tris: "triangle_count", shape: "scaled_jacobian_mean", deviation: "hausdorff_relative" };

// One word of the filter as a test of a session.
function asTest(word) {
  const compared = /^([a-z0-9_]+)(<=|>=|<|>|=)(-?[\d.]+)%?$/.exec(word);
  const metric = compared && metrics.find(({ key }) => key === (aliases[compared[1]] ?? compared[1]));
  if (!metric) return (session) => session.words.includes(word);
  const isShare = metric.kind === "ratio" || metric.kind === "relative";
  const limit = Number(compared[3]) / (isShare ? 100 : 1);
  const holds = {
    "<": (value) => value < limit, ">": (value) => value > limit, "=": (value) => value === limit,
    "<=": (value) => value <= limit, ">=": (value) => value >= limit,
  }[compared[2]];
  return (session) => session.values[metric.place].some(holds);
}

function update() {
  const tests = words.value.toLowerCase().split(/[\s,]+/).filter(Boolean).map(asTest);
  const matching = sessions.filter((session) => tests.every((test) => test(session)));
  const counts = { all: matching.length, imported: 0, partly: 0, failed: 0 };
  for (const session of matching) counts[session.status] += 1;
  for (const label of statuses.querySelectorAll("label")) {
    label.querySelector("small").textContent = counts[label.dataset.status].toLocaleString("en");
  }
  shown = status === "all" ? matching : matching.filter((session) => session.status === status);
  if (sortedBy) {
    const sign = order === "ascending" ? 1 : -1;
    const values = new Map(shown.map((session) => [session, sortedBy.value(session)]));
    shown = [...shown].sort((a, b) => {
      const [left, right] = [values.get(a), values.get(b)];
      // What has no value comes last, either way.
      if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
      if (typeof left === "string") return sign * (left < right ? -1 : left > right ? 1 : 0);
      return sign * (left - right);
    });
  }
  document.getElementById("found").textContent =
    shown.length === sessions.length ? "" : `${shown.length.toLocaleString("en")} of ${sessions.length.toLocaleString("en")} shown`;
  document.getElementById("nothing").hidden = shown.length > 0;
  rows.style.height = `${shown.length * ROW_PX}px`;
  document.getElementById("table").setAttribute("aria-rowcount", shown.length + 1);
  made.clear();
  rows.replaceChildren();
  draw();
}

// Only the rows in sight are made.
const made = new Map();

function draw() {
  const top = Math.max(frame.scrollTop - heads.offsetHeight, 0);
  const first = Math.max(Math.floor(top / ROW_PX) - SPARE_ROWS, 0);
  const last = Math.min(Math.ceil((top + frame.clientHeight) / ROW_PX) + SPARE_ROWS, shown.length);
  for (const [number, row] of made) {
    if (number < first || number >= last) {
      row.remove();
      made.delete(number);
    }
  }
  for (let number = first; number < last; number += 1) {
    if (!made.has(number)) {
      const row = asRow(shown[number], number);
      made.set(number, row);
      rows.append(row);
    }
  }
}

function asRow(session, number) {
  const row = element("div", "row");
  row.setAttribute("role", "row");
  row.setAttribute("aria-rowindex", number + 2);
  row.style.top = `${number * ROW_PX}px`;
  for (const column of columns) {
    const cell = element("div", `cell ${column.key}${column.number ? " number" : ""}`);
    cell.setAttribute("role", "cell");
    column.cell(session, cell);
    row.append(cell);
  }
  row.addEventListener("click", (event) => {
    // Not when somebody selects a text to copy it.
    if (!event.target.closest("button") && getSelection().isCollapsed) show(session);
  });
  return row;
}

for (const column of columns) {
  const head = element("div", `cell ${column.key}${column.number ? " number" : ""}`);
  head.setAttribute("role", "columnheader");
  if (column.value) {
    const button = element("button", "", column.heading);
    button.type = "button";
    if (column.title) button.title = column.title;
    button.addEventListener("click", () => {
      const second = column.first === "ascending" ? "descending" : "ascending";
      order = sortedBy !== column ? column.first : order === column.first ? second : null;
      sortedBy = order ? column : null;
      for (const each of heads.children) each.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      frame.scrollTop = 0;
      update();
    });
    head.append(button);
  }
  heads.append(head);
}

for (const each of ["all", "imported", "partly", "failed"]) {
  const label = document.createElement("label");
  label.dataset.status = each;
  const input = document.createElement("input");
  input.type = "radio";
  input.name = "status";
  input.checked = each === "all";
  input.addEventListener("change", () => {
    status = each;
    frame.scrollTop = 0;
    update();
  });
  const text = document.createElement("span");
  text.append(statusTitles[each] ?? "All", " ", document.createElement("small"));
  label.append(input, text);
  statuses.append(label);
}

// A session in full.
const detail = document.getElementById("detail");

function show(session) {
  document.getElementById("detail-title").textContent = session.id;
  const facts = element("p", "facts", [session.model, session.date].filter(Boolean).join(" · "));
  const place = element("p", "place");
  if (session.keptOn) {
    place.append(element("span", "", `On ${session.keptOn}: ${session.folder}`));
  } else if (session.folder) {
    for (const [name, isThere] of [["report.html", session.hasPage], ["session.blend", session.imported.length]]) {
      if (!isThere) continue;
      const link = element("a", "", name);
      link.href = `${encodeURIComponent(session.folder)}/${name}`;
      place.append(link);
    }
  }
  const parts = [facts, place];
  if (session.error) parts.push(element("p", "trouble", session.error));
  if (session.source && session.source[2]) {
    parts.push(element("p", "trouble", `${session.source[0]}: ${session.source[2]}`));
  }
  if (session.rule) parts.push(element("p", "note", `${choice(session)}, by the rule: ${session.rule}`));
  if (session.variations.length) parts.push(variationTable(session));
  for (const warning of session.warnings) parts.push(element("p", "note", warning));
  document.getElementById("detail-body").replaceChildren(...parts);
  detail.showModal();
}

function variationTable(session) {
  const table = document.createElement("table");
  const titles = ["", "Variation", ...metrics.map((each) => each.heading)];
  const row = table.createTHead().insertRow();
  for (const title of titles) row.append(element("th", "", title));
  const body = table.createTBody();
  for (const variation of session.variations) {
    const line = body.insertRow();
    const picture = line.insertCell();
    picture.className = "picture";
    if (session.thumbnails) {
      const box = element("div", "thumbnail");
      const image = document.createElement("img");
      image.alt = "";
      image.src = `data:image/webp;base64,${session.thumbnails}`;
      image.style.left = `${-variation.index * CELL_PX}px`;
      box.append(image);
      picture.append(box);
    }
    const name = element("th", "", `${variation === session.winner ? "\u2605 " : ""}${variation.name}`);
    name.scope = "row";
    line.append(name);
    if (variation.status === "imported") {
      for (const metric of metrics) {
        const cell = line.insertCell();
        cell.textContent = format(metric, variation.numbers[metric.place]);
        const values = session.values[metric.place];
        if (metric.better && new Set(values).size > 1 && variation.numbers[metric.place] === best(metric, values)) {
          cell.className = "best";
        }
      }
    } else {
      const cell = line.insertCell();
      cell.colSpan = metrics.length;
      cell.className = "trouble";
      cell.append(element("span", "", variation.reason || variation.status));
    }
  }
  return table;
}

document.getElementById("detail-close").addEventListener("click", () => detail.close());
detail.addEventListener("click", (event) => {
  if (event.target === detail) detail.close();
});
words.addEventListener("input", () => {
  frame.scrollTop = 0;
  update();
});
frame.addEventListener("scroll", draw, { passive: true });
new ResizeObserver(draw).observe(frame);

const whole = sessions.filter((session) => session.status === "imported").length;
const variations = sessions.reduce((sum, session) => sum + session.imported.length, 0);
document.getElementById("counts").textContent =
  `${sessions.length.toLocaleString("en")} sessions, ${whole.toLocaleString("en")} imported whole; ` +
  `${variations.toLocaleString("en")} variations`;
update();
