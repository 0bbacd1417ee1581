"use strict";

// A figure is drawn when its run is first opened: a session may have more runs than a browser can draw at once.
const figures = new Map();

const dark = matchMedia("(prefers-color-scheme: dark)");

const TEXTS = ["axis_label_text_color", "major_label_text_color", "label_text_color", "text_color"];
const LINES = ["axis_line_color", "major_tick_line_color", "grid_line_color"];

// Bokeh paints on a canvas, which knows nothing of the page's colours.
function paint(figure) {
  const style = getComputedStyle(document.documentElement);
  const colours = new Map([
    ...TEXTS.map((name) => [name, style.getPropertyValue("--text").trim()]),
    ...LINES.map((name) => [name, style.getPropertyValue("--line").trim()]),
  ]);
  for (const model of figure.models()) {
    for (const [name, colour] of colours) {
      const property = model.properties[name];
      // What was drawn without a line stays so.
      if (property === undefined || model[name] === null) continue;
      model[name] = model[name]?.value === undefined ? colour : { value: colour };
    }
  }
}

function filter(run, figure) {
  const hidden = new Set([...run.querySelectorAll(".filter input:not(:checked)")].map((box) => box.value));
  for (const model of figure.models()) {
    if (model.type === "GlyphRenderer" && model.tags.length > 0) model.visible = !hidden.has(model.tags[0]);
  }
}

// Bokeh shows stories where a mouse hovers, which a finger cannot: a tap stands for it.
function hoverWhereTapped(event) {
  if (event.pointerType === "mouse") return;
  const { clientX, clientY } = event;
  const hover = { clientX, clientY, pointerType: "mouse", isPrimary: true, bubbles: true, composed: true };
  event.composedPath()[0].dispatchEvent(new PointerEvent("pointermove", hover));
}

async function draw(run) {
  if (figures.has(run)) return;
  figures.set(run, null);
  const item = JSON.parse(run.querySelector("script.item").textContent);
  const views = await Bokeh.embed.embed_item(item, run.querySelector(".figure").id);
  const doc = views.roots[0].model.document;
  const figure = { models: () => doc.all_models };
  figures.set(run, figure);
  paint(figure);
  filter(run, figure);
  run.dataset.drawn = "true";
}

for (const run of document.querySelectorAll(".run")) {
  run.addEventListener("toggle", () => run.open && draw(run));
  run.querySelector(".figure").addEventListener("click", hoverWhereTapped);
  run.querySelector(".filter").addEventListener("change", () => figures.get(run) && filter(run, figures.get(run)));
}
dark.addEventListener("change", () => [...figures.values()].filter(Boolean).forEach(paint));

(document.querySelector(".run.bad") ?? document.querySelector(".run"))?.setAttribute("open", "");
