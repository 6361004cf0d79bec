"use strict";
// Data, colours, small makers of elements. Texts of documents reach the page by textContent alone.
const gotd = { data: JSON.parse(document.getElementById("data").textContent), repaint: [], paper: false };

gotd.one = (id) => document.getElementById(id);

gotd.make = (tag, classes, ...content) => {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  made.append(...content.map((part) => (part instanceof Node ? part : String(part))));
  return made;
};

gotd.mark = (role) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", `mark ${role}`);
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#mark-${role}`);
  svg.append(use);
  return svg;
};

gotd.count = (number) => number.toLocaleString("en");

{
  // A custom property holds both themes; the computed colour of an element is the one in force.
  const probe = gotd.make("i");
  probe.hidden = true;
  document.body.append(probe);
  gotd.colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };

  const root = document.documentElement;
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const button = gotd.one("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);
  const repaint = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`);
    gotd.repaint.forEach((paint) => paint());
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    repaint();
  });
  wish.addEventListener("change", repaint);
  addEventListener("DOMContentLoaded", repaint);

  // On paper: light colours, charts as wide as the sheet, and nothing folded away.
  let before = null;
  addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, open: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    gotd.paper = true;
    before.open.forEach((part) => (part.open = true));
    repaint();
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    before.theme ? (root.dataset.theme = before.theme) : delete root.dataset.theme;
    before.open.forEach((part) => (part.open = false));
    before = null;
    gotd.paper = false;
    repaint();
  });
}
