"use strict";
// The histogram and the map. `gotd.shown` says which dots are drawn; records.js sets it.
{
  const font = () => ({ family: getComputedStyle(document.body).fontFamily, size: 13, color: gotd.colour("soft") });
  const PAPER = { autosize: false, width: 680 }; // pixels between the margins of A4 and Letter
  const base = () => ({
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: font(),
    showlegend: false,
    ...(gotd.paper ? PAPER : { autosize: true }),
  });
  const config = { displayModeBar: false, responsive: true };
  Object.assign(gotd, { font, base, chart: config }); // for the charts of other pages

  const histogram = gotd.one("histogram");
  if (histogram && gotd.data.histogram) {
    const { edges, pool, chosen, cut } = gotd.data.histogram;
    const middle = pool.map((_, bin) => (edges[bin] + edges[bin + 1]) / 2);
    const words = pool.map((all, bin) => {
      const scores = `score ${edges[bin].toFixed(3)} to ${edges[bin + 1].toFixed(3)}`;
      return `${scores}<br>${gotd.count(all)} candidates, ${gotd.count(chosen[bin])} chosen`;
    });
    const bars = (y, colour) => ({
      type: "bar",
      x: middle,
      y,
      marker: { color: gotd.colour(colour) },
      customdata: words,
      hovertemplate: "%{customdata}<extra></extra>",
    });
    const top = Math.log10(Math.max(...pool) * 1.6);
    gotd.repaint.push(() => {
      const axis = { color: gotd.colour("soft"), gridcolor: gotd.colour("grid"), zeroline: false, fixedrange: true };
      const ink = gotd.colour("ink");
      const stroke = { color: ink, width: 1.5, dash: "dot" };
      const line = { type: "line", x0: cut, x1: cut, yref: "paper", y0: 0, y1: 1, line: stroke };
      const label = {
        ...{ x: cut, yref: "paper", y: 1, xanchor: "left", yanchor: "top", xshift: 6 },
        ...{ text: "the cut", showarrow: false, font: { color: ink } },
      };
      const hover = { ...font(), color: ink };
      Plotly.react(
        histogram,
        [bars(pool, "candidate"), bars(chosen, "selected")],
        {
          ...base(),
          barmode: "overlay",
          bargap: 0.06,
          margin: { l: 56, r: 8, t: 8, b: 44 },
          xaxis: { ...axis, showgrid: false, title: { text: "score: lower is better", font: font() } },
          // Each step of ten is as high as the next: the choice is a small part of most pools.
          yaxis: {
            ...{ ...axis, type: "log", range: [Math.log10(0.7), top], dtick: 1 },
            title: { text: "documents (logarithmic)", font: font() },
          },
          hoverlabel: { bgcolor: gotd.colour("paper"), bordercolor: gotd.colour("line"), font: hover },
          shapes: cut === null ? [] : [line],
          annotations: cut === null ? [] : [label],
        },
        config,
      );
    });
  }

  const atlas = gotd.one("atlas");
  if (atlas && gotd.data.dots) {
    const { dots, roles } = gotd.data;
    const webgl = Boolean(document.createElement("canvas").getContext("webgl"));
    const below = ["rest", "candidate", "reference", "avoid", "target", "selected"]; // drawn in this order
    const looks = {
      rest: { symbol: "circle", size: 4, opacity: 0.5, colour: "line" }, // what the filters leave out
      candidate: { symbol: "circle", size: 4, opacity: 0.45 },
      reference: { symbol: "square", size: 4.5, opacity: 0.5 },
      target: { symbol: "diamond-open", size: 7.5, opacity: 0.9, edge: 1.5 },
      avoid: { symbol: "x", size: 6.5, opacity: 0.8 },
      selected: { symbol: "circle", size: 6.5, opacity: 0.9, edge: 0.5, around: "paper" },
    };
    // Many marks of a role are drawn smaller and fainter, so that they do not hide the others.
    const all = (role) => dots.role.filter((number) => roles[number] === role).length;
    const thin = Object.fromEntries(roles.map((role) => [role, Math.min(1, (800 / Math.max(1, all(role))) ** 0.25)]));
    Object.assign(thin, { candidate: 1, rest: 1 });
    // The view is that of all dots, whatever is shown of them.
    const extent = (values) => {
      let [low, high] = [Infinity, -Infinity];
      for (const value of values) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
      const margin = (high - low || 1) * 0.03;
      return [low - margin, high + margin];
    };
    const extents = [extent(dots.x), extent(dots.y)];
    let ready = false;
    let ringed = null;

    const marker = (role) => {
      const { symbol, size, opacity, colour = role, edge = 0, around = role } = looks[role];
      const line = edge ? { width: edge * thin[role], color: gotd.colour(around) } : { width: 0 };
      return { symbol, size: size * thin[role], opacity: opacity * thin[role], color: gotd.colour(colour), line };
    };
    const trace = (role) => {
      const which = gotd.shown[role];
      return {
        type: webgl ? "scattergl" : "scatter",
        mode: "markers",
        x: which.map((dot) => dots.x[dot]),
        y: which.map((dot) => dots.y[dot]),
        customdata: which,
        // Of the reference there is nothing to say, and it may lie where a candidate does.
        hoverinfo: role === "reference" || role === "rest" ? "skip" : "none",
        marker: marker(role),
      };
    };
    const ring = () => ({
      type: "scatter",
      mode: "markers",
      x: ringed === null ? [] : [dots.x[ringed]],
      y: ringed === null ? [] : [dots.y[ringed]],
      hoverinfo: "skip",
      marker: { symbol: "circle-open", size: 18, color: gotd.colour("ink"), line: { width: 2 } },
    });
    const axis = (number) => ({ visible: false, range: extents[number].slice() });
    gotd.draw = () => {
      if (!gotd.shown) return;
      Plotly.react(
        atlas,
        [...below.map(trace), ring()],
        {
          ...base(),
          margin: { l: 12, r: 12, t: 12, b: 12 },
          dragmode: "pan",
          hovermode: "closest",
          hoverdistance: 12,
          uirevision: "kept", // where the reader has moved the map, whatever is drawn on it
          xaxis: axis(0),
          yaxis: { ...axis(1), scaleanchor: "x" },
        },
        { ...config, scrollZoom: true, doubleClick: "reset" },
      );
      if (ready) return;
      ready = true;
      atlas.on("plotly_hover", (found) => gotd.tip(found.points[0].customdata, found.event));
      atlas.on("plotly_unhover", () => gotd.tip(null));
      atlas.on("plotly_click", (found) => gotd.open(found.points[0].customdata, atlas));
    };
    gotd.repaint.push(gotd.draw);

    /** Put a ring around a dot, or take it away with null. */
    gotd.ring = (dot) => {
      ringed = dot !== null && dots.x[dot] !== null ? dot : null;
      if (ready) Plotly.restyle(atlas, { x: [ring().x], y: [ring().y] }, [below.length]);
    };

    const ranges = () => ["xaxis", "yaxis"].map((name) => atlas.layout[name].range.slice());
    const set = ([x, y]) => Plotly.relayout(atlas, { "xaxis.range": x, "yaxis.range": y });
    const scaled = ([low, high], by) => [(low + high - (high - low) * by) / 2, (low + high + (high - low) * by) / 2];
    const moved = ([low, high], by) => [low + (high - low) * by, high + (high - low) * by];
    const zoom = (by) => set(by ? ranges().map((range) => scaled(range, by)) : extents.map((range) => range.slice()));
    const move = (right, up) => set([moved(ranges()[0], right), moved(ranges()[1], up)]);
    const keys = {
      ArrowLeft: () => move(-0.1, 0),
      ArrowRight: () => move(0.1, 0),
      ArrowUp: () => move(0, 0.1),
      ArrowDown: () => move(0, -0.1),
      "+": () => zoom(0.7),
      "=": () => zoom(0.7),
      "-": () => zoom(1.4),
      0: () => zoom(0),
    };
    atlas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    // The wheel scrolls the page past the map, until the reader has clicked into it.
    atlas.addEventListener("pointerdown", () => atlas.focus({ preventScroll: true }));
    const past = (event) => document.activeElement !== atlas && !event.ctrlKey && event.stopPropagation();
    atlas.addEventListener("wheel", past, { capture: true });
    const buttons = document.querySelector(".zoom");
    buttons.hidden = false;
    buttons.addEventListener("click", (event) => {
      const by = event.target.dataset.zoom;
      if (by !== undefined) zoom(Number(by));
    });
  }
}
