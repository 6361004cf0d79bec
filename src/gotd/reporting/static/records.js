"use strict";
// Which documents are shown, the list of them, what hovering says, and one record in full.
if (gotd.one("filters") && gotd.data.dots) {
  const { dots, roles, sources, files } = gotd.data;
  const titles = { selected: "Chosen", candidate: "Candidate", target: "Target", avoid: "To avoid", reference: "Reference" };
  const many = { selected: "chosen", candidate: "other candidates", target: "target", avoid: "to avoid", reference: "reference" };
  const PAGE = 100; // of the list
  const role = (dot) => roles[dots.role[dot]];
  const source = (dot) => (dots.source[dot] === null ? null : sources[dots.source[dot]]);
  const text = (dot) => dots.text[dot] ?? "Its text is not to be had.";
  const plain = (dot) => text(dot).slice(0, 300);

  /** Rank, score or price, as far as the document has them. */
  const figures = (dot) => {
    const found = [];
    if (dots.rank[dot] !== null) found.push(`rank ${gotd.count(dots.rank[dot])}`);
    if (dots.score[dot] !== null) found.push(`score ${dots.score[dot].toFixed(3)}`);
    if (dots.price[dot] !== null) found.push(`price ${dots.price[dot].toFixed(3)}`);
    return found;
  };
  const meta = (dot) => {
    const parts = [source(dot), ...figures(dot)].filter((part) => part !== null);
    if (["target", "avoid", "reference"].includes(role(dot))) parts.unshift(titles[role(dot)].toLowerCase());
    return gotd.make("span", "meta", gotd.mark(role(dot)), ...parts.map((part) => gotd.make("span", "foreign", part)));
  };

  // What hovering says.
  const tip = gotd.one("tip");
  gotd.tip = (dot, event) => {
    tip.hidden = dot === null;
    if (dot === null) return;
    tip.replaceChildren(meta(dot), gotd.make("div", "words", plain(dot)));
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
    const top = Math.min(event.clientY + 12, innerHeight - height - 8);
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };

  // One record.
  const record = gotd.one("record");
  let opener = null;
  const close = () => {
    if (record.hidden) return;
    record.hidden = true;
    gotd.ring(null);
    opener?.focus();
  };
  gotd.open = (dot, from) => {
    if (from && !record.contains(from)) opener = from;
    gotd.tip(null);
    gotd.ring(dot);
    const title = gotd.make("h2", "", titles[role(dot)]);
    title.id = "record-title";
    title.tabIndex = -1;
    const shut = gotd.make("button", "quiet", "Close");
    shut.type = "button";
    shut.addEventListener("click", close);
    const facts = gotd.make("dl", "");
    const add = (name, value) => {
      if (value !== null) facts.append(gotd.make("dt", "", name), gotd.make("dd", "foreign", value));
    };
    add("rank", dots.rank[dot] === null ? null : gotd.count(dots.rank[dot]));
    add("score", dots.score[dot]);
    add("price", dots.price[dot]);
    add("source", source(dot));
    add("id", dots.id[dot]);
    if (dots.file[dot] !== null) {
      const piece = dots.piece[dot] ? `, piece ${dots.piece[dot]}` : "";
      const { path, unit } = files[dots.file[dot]];
      add("file", `${path}, ${unit} ${gotd.count(dots.position[dot])}${piece}`);
    }
    const body = gotd.make("pre", "", text(dot));
    body.tabIndex = 0;
    record.replaceChildren(gotd.make("header", "", gotd.mark(role(dot)), title, shut), facts, body);
    if (dots.near[dot] !== null) {
      const said = role(dot) === "target" ? "The nearest chosen document" : "The target document nearest to it";
      record.append(gotd.make("div", "near", gotd.make("p", "", said), meta(dots.near[dot]), opening(dots.near[dot])));
    }
    record.hidden = false;
    record.scrollTop = 0;
    title.focus();
  };
  const opening = (dot) => {
    const button = gotd.make("button", "text", gotd.make("span", "", plain(dot)));
    button.type = "button";
    button.dataset.dot = dot;
    return button;
  };
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  addEventListener("click", (event) => {
    const button = event.target.closest("button[data-dot]");
    if (button) gotd.open(Number(button.dataset.dot), button);
  });

  // The filters and the list.
  const form = gotd.one("filters");
  const MOST = 1000; // sources to pick from; the words find the others
  sources.slice(0, MOST).forEach((name, number) => gotd.one("source").add(new Option(name, number)));
  const list = gotd.one("list");
  let listed = [];
  let haystacks = null; // made when first words are looked for
  const haystack = (dot) => [dots.id[dot], source(dot), dots.text[dot]].filter(Boolean).join("\n").toLowerCase();
  const matching = () => {
    const words = gotd.one("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const from = gotd.one("source").value;
    const wanted = from === "" ? null : Number(from);
    if (words.length) haystacks ??= dots.x.map((_, dot) => haystack(dot));
    return (dot) =>
      (wanted === null || dots.source[dot] === wanted) && words.every((word) => haystacks[dot].includes(word));
  };
  const filter = () => {
    const on = new Set([...form.elements.role].filter((box) => box.checked).map((box) => box.value));
    const fits = matching();
    const found = Object.fromEntries([...roles, "rest"].map((name) => [name, []]));
    dots.role.forEach((number, dot) => on.has(roles[number]) && found[fits(dot) ? roles[number] : "rest"].push(dot));
    const placed = ([name, which]) => [name, which.filter((dot) => dots.x[dot] !== null)];
    gotd.shown = Object.fromEntries(Object.entries(found).map(placed));
    listed = roles.filter((name) => name !== "reference").flatMap((name) => found[name]);
    const counted = [...on].map((name) => `${gotd.count(found[name].length)} ${many[name]}`);
    gotd.one("shown").textContent = counted.length ? `Shown: ${counted.join(", ")}` : "Nothing is shown";
    if (document.readyState !== "loading") gotd.draw();
    list.replaceChildren();
    list.parentElement.scrollTop = 0;
    extend();
  };
  const item = (dot) => {
    const button = gotd.make("button", "", meta(dot), gotd.make("span", "words", plain(dot)));
    button.type = "button";
    button.tabIndex = list.querySelector("button") ? -1 : 0;
    button.dataset.dot = dot;
    return gotd.make("li", "", button);
  };
  const extend = () => {
    list.querySelector(".more")?.parentElement.remove();
    const start = list.children.length;
    for (const dot of listed.slice(start, start + PAGE)) list.append(item(dot));
    if (listed.length > start + PAGE) {
      const more = gotd.make("button", "more", `${gotd.count(listed.length - start - PAGE)} more`);
      more.type = "button";
      more.tabIndex = -1;
      more.addEventListener("click", () => {
        extend();
        focus(list.children[start + PAGE].firstChild);
      });
      list.append(gotd.make("li", "", more));
    }
    if (!listed.length) list.append(gotd.make("li", "meta", "No document fits."));
  };
  const focus = (button) => {
    list.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    button.tabIndex = 0;
    button.focus();
  };
  list.addEventListener("keydown", (event) => {
    const here = event.target.closest("li");
    const goals = {
      ArrowDown: here?.nextElementSibling,
      ArrowUp: here?.previousElementSibling,
      Home: list.firstElementChild,
      End: list.lastElementChild,
    };
    const to = goals[event.key];
    if (!to) return;
    event.preventDefault();
    focus(to.querySelector("button"));
  });
  list.addEventListener("focusin", (event) => event.target.dataset.dot && gotd.ring(Number(event.target.dataset.dot)));
  list.addEventListener("pointerover", (event) => {
    const dot = event.target.closest("[data-dot]")?.dataset.dot;
    if (dot !== undefined) gotd.ring(Number(dot));
  });
  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  };
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}
