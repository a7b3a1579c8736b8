"use strict";

// Which pictures the cards show.
const choices = [...document.querySelectorAll(".switch input")];
for (const choice of choices) {
  choice.addEventListener("change", () => {
    document.body.dataset.view = choice.value;
    // The switch of every group of sessions says the same.
    for (const other of choices) other.checked = other.value === choice.value;
  });
}

// Tables: a heading sorts by its column, best first; again, the other way; once more, as it was.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[table.tBodies.length - 1];
  const original = [...body.rows];
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const first = heading.dataset.first === "lower" ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const sorted = heading.getAttribute("aria-sort");
      const order = sorted === null ? first : sorted === first ? second : null;
      for (const each of headings) each.removeAttribute("aria-sort");
      if (order !== null) heading.setAttribute("aria-sort", order);
      const rows = order === null ? original : sortedRows(original, column, order);
      body.append(...rows);
    });
  });
}

function sortedRows(rows, column, order) {
  const sign = order === "ascending" ? 1 : -1;
  return [...rows].sort((a, b) => {
    const left = a.cells[column].dataset.value;
    const right = b.cells[column].dataset.value;
    // What has no value comes last, either way.
    if (left === undefined || right === undefined) {
      return (left === undefined) - (right === undefined);
    }
    const difference = Number(left) - Number(right);
    const text = () => left.localeCompare(right, undefined, { numeric: true });
    return sign * (Number.isNaN(difference) ? text() : difference);
  });
}

// A picture in full: left and right flip through the variations, in place.
const box = document.querySelector(".lightbox");
const stage = box.querySelector("img");
const cards = [...document.querySelectorAll(".card")].filter((card) => card.querySelector("img"));
let shownCard = 0;
let shownKind = "mesh";

for (const [number, card] of cards.entries()) {
  for (const button of card.querySelectorAll(".zoom")) {
    button.addEventListener("click", () => {
      show(number, button.closest("figure").dataset.kind);
      box.showModal();
    });
  }
}

function pictureOf(card, kind) {
  return card.querySelector(`figure[data-kind="${kind}"] img`);
}

function show(number, kind) {
  shownCard = (number + cards.length) % cards.length;
  shownKind = kind;
  const card = cards[shownCard];
  const picture = pictureOf(card, kind) ?? pictureOf(card, "mesh") ?? card.querySelector("img");
  stage.src = picture.src;
  stage.alt = picture.alt;
  box.querySelector("strong").textContent = card.querySelector("h4").textContent;
  const numbers = [...card.querySelectorAll(".numbers div")];
  box.querySelector("p span").textContent = numbers
    .map((each) => `${each.querySelector("dt").textContent} ${each.querySelector("dd").textContent}`)
    .join("  ·  ");
  const kinds = [...card.querySelectorAll("figure:not(.none)")].map((figure) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = figure.querySelector("figcaption").textContent;
    button.setAttribute("aria-pressed", String(figure.contains(picture)));
    button.addEventListener("click", () => show(shownCard, figure.dataset.kind));
    return button;
  });
  box.querySelector(".kinds").replaceChildren(...kinds);
}

const actions = {
  previous: () => show(shownCard - 1, shownKind),
  next: () => show(shownCard + 1, shownKind),
  close: () => box.close(),
};
for (const button of box.querySelectorAll("[data-do]")) {
  button.addEventListener("click", actions[button.dataset.do]);
}
box.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") actions.previous();
  else if (event.key === "ArrowRight") actions.next();
});
box.addEventListener("click", (event) => {
  if (event.target === box) box.close();
});
