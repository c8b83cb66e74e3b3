// What the reader changes, training, the check, and the start of the page.

// ------------------------------------------------------------------------------------------------------------------ the fields

const fields = []; // of every number that can be changed: its input, and how to read and write the number
const invalid = new Map(); // an input, and what is wrong with it

/** A field of a number; ``allowed.test`` tells whether a finite number will do, and ``allowed.text`` says which ones do. */
function numberField(label, read, write, allowed = { test: () => true, text: ", such as 0.25" }) {
  const input = element("input", {
    type: "text", // a field of type number drops a comma, and 1,5 would be 15
    inputmode: "decimal",
    "aria-label": label,
    "aria-describedby": "invalid",
    autocomplete: "off",
  });
  input.addEventListener("input", () => {
    const value = input.value.trim() === "" ? NaN : Number(input.value);
    if (Number.isFinite(value) && allowed.test(value)) {
      invalid.delete(input);
      write(value);
      changed(`${label} is now ${plain(value)}.`);
    } else {
      invalid.set(input, `${label} should be a number${allowed.text}. Until then, the page computes with ${plain(read())}.`);
    }
    showInvalid();
  });
  fields.push({ input, read });
  return input;
}

/** The numbers between bounds, of which the second may be infinite; without bounds, all numbers. */
function between(bounds) {
  if (!bounds) return undefined;
  const [lowest, highest] = bounds;
  const text = Number.isFinite(highest) ? ` from ${lowest} to ${highest}` : ` not less than ${lowest}`;
  return { test: (value) => value >= lowest && value <= highest, text };
}

function showInvalid() {
  for (const { input } of fields) {
    if (invalid.has(input)) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  byId("invalid").textContent = [...invalid.values()].join(" ");
}

/** Show the numbers of the network in all fields. */
function syncFields() {
  invalid.clear();
  showInvalid();
  for (const { input, read } of fields) {
    const value = read();
    input.value = Number.isFinite(value) ? shorten(value) : "";
  }
}

/** A table of fields; in large ones only the drawn neurons have a row or a column. */
function fieldTable(caption, rows, columns, cell) {
  const header =
    columns.some((each) => each.label) &&
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("td", {}),
        columns.map((each) => element("th", { scope: "col" }, each.label))
      )
    );
  const body = rows.map((row) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, row.label),
      columns.map((each) => element("td", {}, row.index === null || each.index === null ? "…" : cell(row.index, each.index)))
    )
  );
  return element(
    "div",
    { class: "scrolls" },
    element("table", { class: "fields" }, element("caption", {}, caption), header, element("tbody", {}, body))
  );
}
const headers = (l) => shownIndices(sizeOf(l)).map((i) => ({ index: i, label: i === null ? "…" : neuronName(l, i) }));

function buildFields() {
  const layer = (l) => state.network.layers[l];
  const oneColumn = (label) => [{ index: 0, label }];
  const values = fieldTable("Inputs", headers(-1), oneColumn(""), (i) =>
    numberField(
      neuronText(-1, i),
      () => state.network.inputs[i][state.sample],
      (value) => (state.network.inputs[i][state.sample] = value)
    )
  );
  const targets = fieldTable("Targets", headers(last), oneColumn(""), (i) =>
    numberField(
      `target of ${neuronText(last, i)}`,
      () => state.network.target[i][state.sample],
      (value) => (state.network.target[i][state.sample] = value),
      between(data.loss.target_bounds)
    )
  );
  const tables = state.network.layers.map((_, l) => {
    const columns = [...headers(l - 1), ...(layer(l).bias ? [{ index: "bias", label: "bias" }] : [])];
    return element(
      "div",
      { class: "layer-fields" },
      fieldTable(t`Weights into layer ${letterOf(l)}`, headers(l), columns, (i, k) =>
        k === "bias"
          ? numberField(
              `bias_${indexOf(l, i)}`,
              () => layer(l).bias[i],
              (value) => (layer(l).bias[i] = value)
            )
          : numberField(
              weightText({ layer: l, row: i, column: k }),
              () => layer(l).weight[i][k],
              (value) => (layer(l).weight[i][k] = value)
            )
      ),
      activationField(l)
    );
  });
  replace(byId("fields"), element("div", { class: "layer-fields" }, values, targets), tables);
  replace(
    byId("rate-field"),
    element(
      "label",
      {},
      "Learning rate η ",
      numberField(
        "learning rate",
        () => state.rate,
        (value) => (state.rate = value),
        { test: (value) => value > 0, text: " above 0" }
      )
    )
  );
}

function activationField(l) {
  const original = data.layers[l].activation;
  const choices = (l === last ? data.choices.output : data.choices.hidden).map((piece) =>
    piece.name === original.name ? original : piece
  );
  const options = (isOwn(original) ? [original] : choices).map((piece) =>
    element("option", { value: piece.name }, titleOf(piece))
  );
  const select = element(
    "select",
    {
      "data-activation": l,
      onchange: () => {
        layer().activation = structuredClone(choices.find((piece) => piece.name === select.value));
        changed(`The activation of layer ${letterOf(l)} is now ${titleOf(layer().activation)}.`);
      },
    },
    options
  );
  const layer = () => state.network.layers[l];
  return element("label", {}, `Activation of layer ${letterOf(l)} `, select);
}

const syncActivations = () => {
  for (const select of document.querySelectorAll("[data-activation]"))
    select.value = activationOf(Number(select.dataset.activation)).name;
};

// ------------------------------------------------------------------------------------------------------- training and checking

/** Compute everything again after the reader changed something. */
function changed(text) {
  state.pass = computed(state.network);
  state.history = [state.pass.error];
  renderAll();
  announce(`${text} The error is ${show(state.pass.error)}.`);
}

async function train(steps) {
  const before = state.pass.error;
  function* training() {
    for (let step = 0; step < steps; step++) {
      state.network = update(state.network, state.rate, state.pass);
      state.pass = compute(state.network);
      state.history.push(state.pass.error);
      yield;
    }
  }
  setBusy(true);
  await inPieces(training());
  setBusy(false);
  syncFields();
  renderAll();
  announce(`After ${count(steps, "step")} the error went from ${show(before)} to ${show(state.pass.error)}.`);
}

function setBusy(busy) {
  state.busy = busy;
  for (const each of document.querySelectorAll("[data-train], #reset, #rounding"))
    each.setAttribute("aria-disabled", String(busy));
  for (const each of document.querySelectorAll("#fields input, #fields select, #rate-field input")) each.disabled = busy;
}

function reset() {
  state.network = given();
  state.rate = data.learning_rate;
  byId("rounding").checked = data.decimals !== null;
  syncFields();
  syncActivations();
  changed("The network is back to its traced numbers.");
}

function renderTraining() {
  const { history } = state;
  const taken = history.length - 1;
  const [first, now] = [history[0], history.at(-1)];
  const text = taken
    ? `After ${count(taken, "step")} the error is ${show(now)}; it began at ${show(first)}.`
    : `The error is ${show(now)}. No step has been taken yet.`;
  replace(
    byId("progress"),
    text,
    !Number.isFinite(now) && " The numbers have grown beyond all bounds: reset, and try a smaller learning rate."
  );
  replace(byId("chart"), drawChart(history, text));
}

function drawChart(history, text) {
  const [width, height, bottom, top] = [480, 200, 30, 12];
  const every = Math.ceil(history.length / 400);
  const points = history
    .map((error, step) => [step, error])
    .filter(([step, error]) => Number.isFinite(error) && (step % every === 0 || step === history.length - 1));
  const highest = Math.max(...points.map(([, error]) => error), 0) || 1;
  const lowest = Math.min(...points.map(([, error]) => error), 0);
  const furthest = Math.max(history.length - 1, 1);
  const ticks = [lowest, (lowest + highest) / 2, highest];
  const left = 16 + 9 * Math.max(...ticks.map((error) => brief(error, 3).length));
  const x = (step) => left + ((width - left - 12) * step) / furthest;
  const y = (error) => top + (height - top - bottom) * (1 - (error - lowest) / (highest - lowest));
  const tick = (error) => [
    svg("line", { x1: left, x2: width - 12, y1: y(error), y2: y(error), class: "grid" }),
    svg("text", { x: left - 8, y: y(error) + 5, "text-anchor": "end" }, brief(error, 3)),
  ];
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `The error by step. ${text}` },
    ticks.map(tick),
    svg("text", { x: left, y: height - 8, "text-anchor": "middle" }, "0"),
    svg("text", { x: width - 12, y: height - 8, "text-anchor": "end" }, `step ${furthest}`),
    svg("polyline", {
      points: points.map(([step, error]) => `${x(step).toFixed(1)},${y(error).toFixed(1)}`).join(" "),
      class: "curve",
    }),
    points.length > 0 && svg("circle", { cx: x(points.at(-1)[0]), cy: y(points.at(-1)[1]), r: 4, class: "point" })
  );
}

let checks = 0; // a check that is still running when the next one begins stops

const [AGREES, VANISHES, DIFFERS, INFINITE] = ["✓ agrees", "– too small to compare", "✗ differs", "– not finite"];
const verdict = ({ difference, relative }) => {
  if (!Number.isFinite(difference)) return INFINITE;
  const lastDigits = 1e-9 * Math.max(1, Math.abs(state.pass.error));
  return relative < 1e-6 ? AGREES : difference < lastDigits ? VANISHES : DIFFERS;
};

async function renderCheck() {
  const place = byId("check");
  const parameters = sum(state.network.layers.map(({ weight, bias }) => weight.length * (weight[0].length + (bias ? 1 : 0))));
  if (!canCompute)
    return replace(
      place,
      p("The check computes the error anew for every weight, which this page cannot do with what is written in Python.")
    );
  if (parameters > 2000 || parameters * parameters * samples > 4e7) {
    return replace(
      place,
      p(
        `The check computes the error twice for each of the ${count(parameters, "number")} in the weights and biases. In this network that takes too long here.`
      )
    );
  }
  const check = ++checks;
  const found = await inPieces(differences(state.network), () => check !== checks);
  if (check !== checks) return null;
  const row = ({ difference, relative }, l) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, letterOf(l)),
      element("td", {}, brief(difference, 2)),
      element("td", {}, brief(relative, 2)),
      element("td", {}, verdict({ difference, relative }))
    );
  const header = ["Layer", "Largest difference", "Relative", "Result"];
  return replace(
    place,
    p(
      t`Does backpropagation compute the right gradient? Move each weight up and down a little, compute the error both times, and divide: (${name("E", "up")} − ${name("E", "down")}) / (2 · step). No backward pass is needed, but two forward passes for every weight. The difference is also shown relative to the largest slope of the layer.`
    ),
    element(
      "div",
      { class: "scrolls" },
      element(
        "table",
        { class: "check" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            header.map((text) => element("th", { scope: "col" }, text))
          )
        ),
        element("tbody", {}, found.map(row))
      )
    ),
    found.map(verdict).includes(VANISHES) &&
      p("Where slopes are this small, the change of the error is lost in its own last digits."),
    found.map(verdict).includes(DIFFERS) &&
      p("Where an activation or a loss has a kink, such as relu at 0, the two may differ: the step went across it."),
    state.network.decimals !== null && element("p", { class: "quiet" }, "This check is computed without rounding."),
    element("p", { class: "quiet" }, agreement())
  );
}

/** Compare the page's numbers, for the network as it was traced, with those that Python computed. */
function agreement() {
  const here = compute(given());
  const there = pythonPass();
  const largest = (one, other) =>
    Array.isArray(one)
      ? Math.max(0, ...one.map((each, i) => largest(each, other[i])))
      : one === null || other === null
        ? 0
        : Math.abs(one - other) || 0;
  const difference = Math.max(...["net", "out", "delta", "weightGradient"].map((each) => largest(here[each], there[each])));
  const result = difference === 0 ? "are equal to the last digit" : `differ by at most ${brief(difference, 2)}`;
  return `For the network as it was traced, the numbers of this page and those of Python ${result}.`;
}

// ------------------------------------------------------------------------------------------------------------------- the start

function renderSummary() {
  const { layers, loss } = state.network;
  const all = sizes.slice(1).map((size, l) => `${size} in layer ${letterOf(l)} (${titleOf(layers[l].activation)})`);
  const neurons = shownIndices(all.length, 6).map((i) => (i === null ? "…" : all[i]));
  const list = neurons.length > 1 ? `${neurons.slice(0, -1).join(", ")} and ${neurons.at(-1)}` : neurons[0];
  replace(
    byId("summary"),
    `A network with ${count(sizes[0], "input")} and neurons: ${list}. Loss: ${titleOf(loss)}. `,
    element("strong", {}, errorName(), ` = ${show(state.pass.error)}`)
  );
}

function renderAll() {
  steps = listSteps();
  renderSummary();
  renderStep();
  drawNetwork();
  renderPaths();
  renderTraining();
  renderCheck();
}

function explainOwn() {
  const names = own.map((piece) => piece.name).join(" and ");
  const text = `Editing and training are turned off: ${names} is written in Python, and this page shows the numbers that Python computed with it.`;
  for (const each of document.querySelectorAll(".own-note")) Object.assign(each, { textContent: text, hidden: canCompute });
  for (const each of document.querySelectorAll(".needs-arithmetic")) each.disabled = !canCompute;
  byId("rounding").disabled = !canCompute;
}

function listen() {
  byId("previous").addEventListener("click", () => goTo(currentPlace() - 1));
  byId("next").addEventListener("click", () => goTo(currentPlace() + 1));
  byId("followed").addEventListener("change", (event) =>
    follow(event.target.value ? JSON.parse(event.target.value) : null, Boolean(event.target.value))
  );
  byId("sample").addEventListener("change", (event) => {
    state.sample = Number(event.target.value);
    syncFields();
    renderAll();
  });
  byId("rounding").addEventListener("change", (event) => {
    state.network.decimals = event.target.checked ? data.decimals : null;
    changed(event.target.checked ? `Every result is rounded to ${count(data.decimals, "decimal")}.` : "Nothing is rounded.");
  });
  for (const each of document.querySelectorAll("[data-train]"))
    each.addEventListener("click", () => state.busy || train(Number(each.dataset.train)));
  byId("reset").addEventListener("click", () => state.busy || reset());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") follow(null, false);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const isTaken = event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!step || isTaken || event.target.closest?.("input, select, textarea, #drawing, .scrolls[tabindex]")) return;
    event.preventDefault();
    goTo(currentPlace() + step);
  });
  window.addEventListener("resize", markScrollable);
  // On paper there are no buttons: all steps are printed, one after the other.
  window.addEventListener("beforeprint", () =>
    replace(
      byId("all-steps"),
      steps.map((step) => element("section", {}, element("h3", {}, step.title), step.render()))
    )
  );
  window.addEventListener("afterprint", () => byId("all-steps").replaceChildren());
}

state.pass = computed(state.network);
state.history = [state.pass.error];
fill(
  byId("sample"),
  {},
  Array.from({ length: samples }, (_, i) => element("option", { value: i }, `${i + 1} of ${samples}`))
);
byId("sample-label").hidden = samples === 1;
byId("rounding").checked = data.decimals !== null;
byId("rounding-label").hidden = data.decimals === null;
buildFields();
syncFields();
syncActivations();
fillFollowed();
renderLegend();
explainOwn();
listenToDrawing();
listen();
renderAll();

window.backpropagation = {
  compute,
  update,
  errorOf,
  rounder,
  differences: (network) => {
    const running = differences(network);
    for (;;) {
      const { value, done } = running.next();
      if (done) return value;
    }
  },
  data,
  state,
};
