"use strict";
// The charts of a comparison: figures with intervals, paired differences, transport against the gain.
if (gotd.data.comparison) {
  const { rows, kinds, budgets, baseline, figures, agreements, start } = gotd.data.comparison;
  const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "star"];
  const COLOURS = { gotd: "selected", baseline: "target", none: "candidate", other: "reference" };
  const OUTCOMES = { better: "good", worse: "look", open: "candidate" };
  const ROW = 46; // pixels of a row of a chart
  const places = new Map(rows.map((row, place) => [row, place]));
  const text = (value, { scale, digits }, sign = false) =>
    `${sign && value > 0 ? "+" : ""}${(scale * value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  // A name is text: what stands between < and > in it is no markup to Plotly.
  const safe = (name) => name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (name) => safe(name.length > 26 ? `${name.slice(0, 25)}…` : name);
  // Budgets of one row stand below each other.
  const height = (point) => places.get(point.row) + (budgets.length > 1 ? (point.budget / (budgets.length - 1) - 0.5) * 0.5 : 0);
  const axis = () => ({ color: gotd.colour("soft"), gridcolor: gotd.colour("grid"), zeroline: false, fixedrange: true, exponentformat: "none" });
  const hover = () => ({ bgcolor: gotd.colour("paper"), bordercolor: gotd.colour("line"), font: { ...gotd.font(), color: gotd.colour("ink") } });
  const layout = (title) => ({
    ...gotd.base(),
    height: 84 + ROW * rows.length + (budgets.length > 1 ? 28 : 0),
    margin: { l: 8, r: 24, t: budgets.length > 1 ? 36 : 12, b: 52 },
    showlegend: budgets.length > 1,
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", itemclick: false, itemdoubleclick: false },
    hoverlabel: hover(),
    xaxis: { ...axis(), title: { text: title, font: gotd.font() } },
    yaxis: {
      ...{ ...axis(), showgrid: false, automargin: true, range: [rows.length - 0.5, -0.5] },
      tickvals: rows.map((_, place) => place),
      ticktext: rows.map(short),
      tickfont: { ...gotd.font(), color: gotd.colour("ink") },
    },
  });
  const trace = (figure, points, budget, part, colours, values) => {
    const shown = points.map((point) => point[part].map((value) => figure.scale * value));
    return {
      type: "scatter",
      mode: "markers",
      name: safe(budgets[budget]),
      x: shown.map(([mean]) => mean),
      y: points.map(height),
      error_x: {
        ...{ type: "data", symmetric: false, thickness: 1.5, width: 0, color: gotd.colour("soft") },
        array: shown.map(([mean, , high]) => high - mean),
        arrayminus: shown.map(([mean, low]) => mean - low),
      },
      marker: { symbol: SYMBOLS[budget % SYMBOLS.length], size: 11, color: colours, line: { width: 1, color: gotd.colour("paper") } },
      customdata: points.map((point) => [
        safe(point.row),
        text(point[part][0], figure, values),
        `${text(point[part][1], figure, values)} to ${text(point[part][2], figure, values)}`,
        safe(budgets[point.budget]),
      ]),
      hovertemplate: "%{customdata[0]}, %{customdata[3]}<br>%{customdata[1]}<br>95 %: %{customdata[2]}<extra></extra>",
    };
  };
  const each = (make) => budgets.map((_, budget) => make(budget));
  const way = (figure) => (figure.higher ? "higher is better" : "lower is better");
  let picked = start;

  const values = gotd.one("values");
  const paired = gotd.one("paired");
  const drawFigures = () => {
    const figure = figures[picked];
    const of = (budget) => figure.points.filter((point) => point.budget === budget);
    const seeds = {
      ...{ type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false },
      x: figure.points.flatMap((point) => point.values.map((value) => figure.scale * value)),
      y: figure.points.flatMap((point) => point.values.map(() => height(point))),
      marker: { size: 5, color: gotd.colour("ink"), opacity: 0.45 },
    };
    const means = each((budget) => {
      const points = of(budget);
      return trace(figure, points, budget, "value", points.map((point) => gotd.colour(COLOURS[kinds[point.row]])), false);
    });
    Plotly.react(values, [...means, seeds], layout(`${figure.metric}: ${way(figure)}`), gotd.chart);
    const differences = each((budget) => {
      const points = of(budget).filter((point) => point.difference);
      const colours = points.map((point) => gotd.colour(OUTCOMES[point.outcome]));
      const made = trace(figure, points, budget, "difference", colours, true);
      // Told apart without colours too: what cannot be told from the baseline is hollow.
      made.marker.symbol = points.map((point) => `${SYMBOLS[budget % SYMBOLS.length]}${point.outcome === "open" ? "-open" : ""}`);
      made.marker.line = { width: 1.75, color: colours };
      return made;
    });
    const below = layout(`${figure.metric} minus ${safe(baseline)}: ${way(figure)}`);
    const zero = { type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: gotd.colour("ink"), width: 1.25 } };
    // The line of no difference is always in sight.
    const ends = differences.flatMap(({ x, error_x }) => x.flatMap((mean, i) => [mean - error_x.arrayminus[i], mean + error_x.array[i]]));
    const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
    below.xaxis.range = [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
    Plotly.react(paired, differences, { ...below, shapes: [zero] }, gotd.chart);
    document.querySelectorAll("#tables .figure").forEach((part) => (part.hidden = !gotd.paper && Number(part.dataset.figure) !== picked));
  };
  gotd.repaint.push(drawFigures);

  const agreeing = gotd.one("agreeing");
  let [which, foresight] = [0, "solved"];
  const drawAgreement = () => {
    const found = agreements[which];
    const x = found[foresight];
    const y = found.gained.map((value) => found.scale * value);
    const line = { width: 1, color: gotd.colour("paper") };
    // Names in turn above and below, so that neighbours do not write over each other.
    const turn = x.map((_, i) => i).sort((a, b) => x[a] - x[b]);
    const sides = x.map((_, i) => (turn.indexOf(i) % 2 ? "bottom center" : "top center"));
    const points = {
      ...{ type: "scatter", mode: "markers+text", x, y, text: found.rows.map(short), textposition: sides, cliponaxis: false },
      textfont: { ...gotd.font(), color: gotd.colour("ink") },
      marker: { size: 11, color: found.rows.map((row) => gotd.colour(COLOURS[kinds[row]])), line },
      customdata: found.rows.map((row, i) => [safe(row), x[i].toPrecision(3), text(found.gained[i], found, true)]),
      hovertemplate: "%{customdata[0]}<br>distance lowered by %{customdata[1]}<br>gained %{customdata[2]}<extra></extra>",
    };
    const range = (values) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return [low - 0.18 * (high - low || 1), high + 0.18 * (high - low || 1)];
    };
    const words = { solved: "solved again", predicted: "predicted to first order" }[foresight];
    Plotly.react(
      agreeing,
      [points],
      {
        ...gotd.base(),
        height: 400,
        margin: { l: 72, r: 24, t: 16, b: 52 },
        hoverlabel: hover(),
        xaxis: { ...axis(), range: range(x), title: { text: `distance to the target lowered by, ${words}`, font: gotd.font() } },
        yaxis: { ...axis(), range: range(y), title: { text: `${found.metric} gained: higher is better`, font: gotd.font() } },
      },
      gotd.chart,
    );
    const rho = found[`by_${foresight}`];
    const said = rho === null ? "Too few rows to rank" : `Spearman's rank correlation ${rho > 0 ? "+" : ""}${rho.toFixed(2)}`;
    gotd.one("rho").textContent = `${said} (${found.rows.length} rows, distance ${words}).`;
  };
  if (agreeing) gotd.repaint.push(drawAgreement);

  const choose = (id, value, change) => {
    const select = gotd.one(id);
    if (!select) return;
    select.value = value;
    select.addEventListener("change", () => change(select.value));
  };
  choose("figure", String(picked), (value) => ((picked = Number(value)), drawFigures()));
  choose("agreement", "0", (value) => ((which = Number(value)), drawAgreement()));
  choose("foresight", foresight, (value) => ((foresight = value), drawAgreement()));
  document.querySelectorAll(".picking").forEach((form) => (form.hidden = false));
}
