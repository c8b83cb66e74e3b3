// The drawing of the network, and the weight that is followed through it.

// ----------------------------------------------------------------------------------------------------------------- the drawing

/** A result that fits below a neuron. */
const short = (number) => (show(number).length > 8 ? brief(number, 2).replaceAll(" ", "") : show(number));

/** What each neuron shows below its name at the current step: the last thing that was computed of it. */
function valueBelow(l, i) {
  if (isInput(l)) return { text: plain(outOf(l, i)), kind: "out" };
  const reached = (id) => currentPlace() >= stepIndex(id);
  if (reached(`delta-${l}`)) return { text: `δ ${short(column(state.pass.delta[l], i))}`, kind: "delta" };
  if (reached(`out-${l}`)) return { text: short(outOf(l, i)), kind: "out" };
  if (reached(`net-${l}`)) return { text: `net ${short(column(state.pass.net[l], i))}`, kind: "net" };
  return { text: "", kind: "none" };
}

const drawnNeurons = (l) => shownIndices(sizeOf(l)).filter((i) => i !== null);
const weightLabel = ({ layer, row, column: k }) =>
  `${weightText({ layer, row, column: k })} = ${plain(state.network.layers[layer].weight[row][k])}, from ${neuronText(layer - 1, k)} to ${neuronText(layer, row)}, gradient ${show(state.pass.weightGradient[layer][row][k])}`;

function drawNetwork() {
  const tallest = Math.max(...sizes.map((size) => shownIndices(size).length));
  const isTight = tallest > 6;
  const [radius, rowGap, columnGap] = isTight ? [15, 58, 112] : [21, 84, 96];
  const width = (isTight ? 90 : 68) + columnGap * sizes.length;
  const height = 48 + rowGap * (tallest - 1) + 1.5 * radius;
  const x = (l) => (isTight ? 58 : 36) + columnGap * (l + 1);
  const y = (l, place) => 22 + radius / 2 + rowGap * (place + (tallest - shownIndices(sizeOf(l)).length) / 2);
  const placeOf = (l, i) => shownIndices(sizeOf(l)).indexOf(i);
  const layers = state.network.layers.map((_, l) => l);

  const all = layers.flatMap((l) =>
    drawnNeurons(l).flatMap((row) => drawnNeurons(l - 1).map((k) => ({ layer: l, row, column: k })))
  );
  const valueOfWeight = ({ layer, row, column: k }) => state.network.layers[layer].weight[row][k];
  const largest = Math.max(...all.map((each) => Math.abs(valueOfWeight(each)))) || 1;
  const drawWeight = (each) => {
    const { layer: l, row, column: k } = each;
    const value = valueOfWeight(each);
    const size = Math.abs(value) / largest || 0;
    const ends = { x1: x(l - 1) + radius, y1: y(l - 1, placeOf(l - 1, k)), x2: x(l) - radius, y2: y(l, placeOf(l, row)) };
    const key = `w-${l}-${row}-${k}`;
    return svg(
      "g",
      {
        class: `weight ${value < 0 ? "negative" : "positive"}`,
        role: "button",
        tabindex: "-1",
        "data-key": key,
        "data-layer": l,
        "data-row": row,
        "data-column": k,
        "aria-label": weightLabel(each),
        "aria-pressed": "false",
        style: `--size: ${size.toFixed(3)}`,
      },
      svg("line", { ...ends, class: "reach" }),
      svg("line", { ...ends, class: "line" })
    );
  };
  const drawNeuron = (l, i) => {
    const [cx, cy] = [x(l), y(l, placeOf(l, i))];
    const below = valueBelow(l, i);
    const value = below.kind === "none" ? 0 : outOf(l, i);
    const biggest = Math.max(...drawnNeurons(l).map((k) => Math.abs(outOf(l, k)))) || 1;
    const size = below.kind === "net" ? 0 : Math.abs(value) / biggest || 0;
    return svg(
      "g",
      {
        class: `neuron ${value < 0 ? "negative" : "positive"}`,
        role: "button",
        tabindex: "-1",
        "data-key": `n-${l}-${i}`,
        "data-layer": l,
        "data-neuron": i,
        "aria-label": `Neuron ${neuronText(l, i)}${below.text && `: ${below.text}`}`,
        style: `--size: ${size.toFixed(3)}`,
      },
      svg("circle", { cx, cy, r: radius }),
      svg("text", { x: cx, y: cy + 5, class: "inside" }, letterOf(l), svg("tspan", { dy: 4, class: "index" }, i + 1)),
      svg("text", { x: cx, y: cy + radius + 16, class: `value ${below.kind}` }, below.text)
    );
  };
  const errorX = x(last) + columnGap - 10;
  const errorY = 22 + radius / 2 + (rowGap * (tallest - 1)) / 2;
  const knowsError = currentPlace() >= stepIndex("error");
  const toError = drawnNeurons(last).map((i) =>
    svg("line", {
      x1: x(last) + radius,
      y1: y(last, placeOf(last, i)),
      x2: errorX - 16,
      y2: errorY,
      class: "to-error",
      "data-neuron": i,
    })
  );
  const ellipses = [-1, ...layers].flatMap((l) => {
    const place = shownIndices(sizeOf(l)).indexOf(null);
    return place < 0
      ? []
      : [
          svg("text", { x: x(l), y: y(l, place) + 6, class: "left-out" }, "⋮"),
          svg("text", { x: x(l), y: y(l, place) + 24, class: "left-out small" }, `${sizeOf(l)} neurons`),
        ];
  });
  const picture = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "group",
      "aria-label": `The network: ${sizes.join(", ")} neurons. Arrow keys move between neurons and weights; Enter keeps a weight.`,
      class: isTight ? "tall" : null,
      style: `min-width: ${Math.max(18, sizes.length * 4.4)}rem`,
    },
    toError,
    all.map(drawWeight),
    svg(
      "g",
      { class: "error" },
      svg("rect", { x: errorX - 16, y: errorY - 16, width: 32, height: 32, rx: 6 }),
      svg("text", { x: errorX, y: errorY + 6, class: "inside" }, "E"),
      svg("text", { x: errorX, y: errorY + 33, class: "value out" }, knowsError ? show(state.pass.error) : "")
    ),
    ellipses,
    [-1, ...layers].flatMap((l) => drawnNeurons(l).map((i) => drawNeuron(l, i))),
    svg("text", { id: "followed-label", "aria-hidden": "true" })
  );
  replace(byId("drawing"), picture);
  markDrawing();
}

/** Mark what the step uses, or the paths of the followed weight. */
function markDrawing() {
  const { weight, pinned } = state;
  const step = steps[currentPlace()];
  const onPath = (l, row, k) =>
    l === weight.layer
      ? row === weight.row && k === weight.column
      : l === weight.layer + 1
        ? k === weight.row
        : l > weight.layer;
  const marksWeight = (l, row, k) => {
    if (weight) return onPath(l, row, k);
    if (step.chosen === l - 1) return k === state.neuron[l - 1];
    return Boolean(step.weights?.includes(l));
  };
  const marksNeuron = (l, i) => {
    if (weight) return l === weight.layer - 1 ? i === weight.column : l === weight.layer ? i === weight.row : l > weight.layer;
    if (step.chosen === l) return i === state.neuron[l];
    return Boolean(step.neurons?.includes(l));
  };
  const hasMarks = Boolean(weight || step.neurons);
  const picture = byId("drawing").querySelector("svg");
  picture.classList.toggle("marked", hasMarks);
  for (const each of picture.querySelectorAll(".weight")) {
    const [l, row, k] = ["layer", "row", "column"].map((key) => Number(each.dataset[key]));
    const isFollowed = Boolean(weight) && l === weight.layer && row === weight.row && k === weight.column;
    each.classList.toggle("used", hasMarks && marksWeight(l, row, k));
    each.classList.toggle("path", Boolean(weight) && onPath(l, row, k));
    each.classList.toggle("followed", isFollowed);
    each.setAttribute("aria-pressed", String(isFollowed && pinned));
  }
  labelFollowed(picture.querySelector(".followed .line"));
  for (const each of picture.querySelectorAll(".neuron")) {
    each.classList.toggle("used", hasMarks && marksNeuron(Number(each.dataset.layer), Number(each.dataset.neuron)));
  }
  const reachesError = (i) => (weight ? weight.layer < last || i === weight.row : Boolean(step.atError));
  for (const each of picture.querySelectorAll(".to-error"))
    each.classList.toggle("used", reachesError(Number(each.dataset.neuron)));
  picture.querySelector(".error").classList.toggle("used", Boolean(weight) || Boolean(step.atError));
  const items = [...picture.querySelectorAll("[role=button]")];
  const stop = items.find((each) => each === document.activeElement) ?? picture.querySelector(".followed") ?? items[0];
  for (const each of items) each.setAttribute("tabindex", each === stop ? "0" : "-1");
}

/** Write the value of the followed weight beside its line. */
function labelFollowed(line) {
  const label = byId("followed-label");
  label.textContent = "";
  if (!line) return;
  const { layer, row, column: k } = state.weight;
  const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((key) => Number(line.getAttribute(key)));
  label.setAttribute("x", (x1 + x2) / 2);
  label.setAttribute("y", (y1 + y2) / 2 - 8);
  label.textContent = plain(state.network.layers[layer].weight[row][k]);
}

const weightOf = (node) => {
  const group = node.closest?.(".weight");
  return group && { layer: Number(group.dataset.layer), row: Number(group.dataset.row), column: Number(group.dataset.column) };
};
const isSame = (one, other) => Boolean(one && other) && weightText(one) === weightText(other);

function follow(weight, pinned = state.pinned) {
  if (isSame(weight, state.weight) && pinned === state.pinned) return;
  Object.assign(state, { weight, pinned });
  markDrawing();
  renderPaths();
}

function listenToDrawing() {
  const place = byId("drawing");
  place.addEventListener("pointerover", (event) => {
    const weight = weightOf(event.target);
    if (weight && event.pointerType !== "touch" && !state.pinned) follow(weight);
  });
  place.addEventListener("focusin", (event) => {
    const weight = weightOf(event.target);
    if (weight && !state.pinned) follow(weight);
    else markDrawing();
  });
  const activate = (node) => {
    const weight = weightOf(node);
    const neuron = node.closest?.(".neuron");
    if (weight) follow(weight, !(state.pinned && isSame(weight, state.weight)));
    else if (neuron && Number(neuron.dataset.layer) >= 0) {
      follow(null, false);
      chooseNeuron(Number(neuron.dataset.layer), Number(neuron.dataset.neuron));
    }
  };
  place.addEventListener("click", (event) => activate(event.target));
  place.addEventListener("keydown", (event) => {
    if (["Enter", " "].includes(event.key)) {
      event.preventDefault();
      activate(event.target);
    } else if (event.key.startsWith("Arrow") && moveFocus(event.target, event.key)) event.preventDefault();
  });
}

/** Move the focus in the drawing: up and down among the neurons or the weights of a layer, left and right between them. */
function moveFocus(from, key) {
  if (!from.matches?.("[role=button]")) return false;
  const picture = byId("drawing");
  const columns = [-1, ...state.network.layers.map((_, l) => l)]
    .flatMap((l) => [
      [...picture.querySelectorAll(`.weight[data-layer="${l}"]`)],
      [...picture.querySelectorAll(`.neuron[data-layer="${l}"]`)],
    ])
    .filter((items) => items.length);
  const c = columns.findIndex((items) => items.includes(from));
  const place = columns[c].indexOf(from);
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
  const next = sideways ? columns[c + sideways] : columns[c];
  const target =
    next?.[sideways ? Math.round((place / columns[c].length) * next.length) : place + (key === "ArrowDown" ? 1 : -1)];
  target?.focus();
  return true;
}

function renderLegend() {
  const sample = (kind, text) =>
    t`${svg(
      "svg",
      { viewBox: "0 0 34 10", class: "swatch", "aria-hidden": "true" },
      svg("g", { class: `weight ${kind}`, style: "--size: 0.6" }, svg("line", { x1: 1, y1: 5, x2: 33, y2: 5, class: "line" }))
    )} ${text}`;
  replace(
    byId("legend"),
    sample("positive", "positive weight"),
    " · ",
    sample("negative", "negative weight, dashed"),
    " · a larger weight is a thicker line, a larger out a stronger color.",
    element("span", { class: "screen-only" }, " Point at a weight to see its paths; click to pin it, Escape to unpin it.")
  );
}

// --------------------------------------------------------------------------------------------------------- the followed weight

function renderPaths() {
  const { weight, network, pass, sample } = state;
  byId("followed").value = weight ? JSON.stringify(weight) : "";
  byId("paths").classList.toggle("empty", !weight);
  if (!weight) {
    replace(
      byId("paths"),
      p(
        "Point at a weight in the drawing, tap it, move to it with the keyboard, or choose it here. You then see every path through which it changes the error."
      )
    );
    return;
  }
  const { layer: l, row, column: k } = weight;
  const shown = 12;
  const total = pathCount(network.layers, l);
  const isSplit = pass.derivative.slice(l).every((each) => each !== null);
  const deltaNumber = column(pass.delta[l], row);
  const outNumber = outOf(l - 1, k);
  const formatOut = l === 0 ? plain : show;
  const gradient = pass.weightGradient[l][row][k];
  const followed = () => weightName(l, row, k);

  const factors = (path) => {
    const neurons = [row, ...path];
    const end = neurons.at(-1);
    const found = usesNet()
      ? [[slopeName(indexOf(last, end), "net"), column(pass.slope[last], end)]]
      : [
          [slopeName(indexOf(last, end)), column(pass.slope[last], end)],
          [derivativeName(last, end), derivativeAt(last, end)],
        ];
    for (let layer = last; layer > l; layer--) {
      const [to, from] = [neurons[layer - l], neurons[layer - l - 1]];
      found.push([weightName(layer, to, from), network.layers[layer].weight[to][from], plain]);
      found.push([derivativeName(layer - 1, from), derivativeAt(layer - 1, from)]);
    }
    return [...found, [outName(l - 1, k), outNumber, formatOut]];
  };
  const product = (path) => factors(path).reduce((value, [, factor]) => value * factor, 1);
  const through = (path) => [neuronName(l, row), path.map((i, place) => t` → ${neuronName(l + 1 + place, i)}`)];
  const pathLine = (path) => ({
    formula: [
      element("span", { class: "through" }, through(path), ": "),
      factors(path).flatMap(([label], i) => [i ? " · " : "", label]),
    ],
    numbers: factors(path).flatMap(([, value, format = show], i) => [i ? " · " : "", inProduct(format(value))]),
    result: brief(product(path)),
  });

  const longWay = () => {
    let reached = pass.slope[last].map((each, i) => each[sample] * derivativeAt(last, i));
    for (let layer = last - 1; layer >= l; layer--) {
      const { weight: above } = network.layers[layer + 1];
      reached = pass.slope[layer].map((_, i) => derivativeAt(layer, i) * sum(reached.map((each, j) => above[j][i] * each)));
    }
    return reached[row] * outNumber;
  };
  const paths = isSplit ? pathsAbove(network.layers, l, shown) : [];
  const content = [
    p(
      t`${followed()} = ${plain(network.layers[l].weight[row][k])} leads from ${neuronName(l - 1, k)} to ${neuronName(l, row)}. ${count(total, "path leads", "paths lead")} from it to the error${samples > 1 ? `; these are the numbers of sample ${sample + 1}.` : "."}`
    ),
    element("h3", {}, "The long way: every path"),
    isSplit
      ? [
          lines([...paths.map(pathLine), ...(total > paths.length ? [null] : [])], "stacked"),
          total > paths.length &&
            element(
              "p",
              { class: "quiet" },
              `${count(total - paths.length, "more path is", "more paths are")} not written out.`
            ),
          element(
            "p",
            { class: "sum" },
            total > 1 ? `The sum of the ${total.toLocaleString("en")} paths: ` : "The product: ",
            element("b", { id: "long-way" }, brief(longWay()))
          ),
        ]
      : p(
          "A layer on the way has an activation whose outs each depend on several nets. So its paths cannot be written neuron by neuron. The short way holds all the same."
        ),
    element("h3", {}, "The short way: delta times out"),
    lines([
      {
        formula: t`${deltaName(l, row)} · ${outName(l - 1, k)}`,
        numbers: t`${inProduct(show(deltaNumber))} · ${inProduct(formatOut(outNumber))}`,
        result: element("span", { id: "short-way" }, brief(deltaNumber * outNumber)),
      },
    ]),
    isSplit &&
      network.decimals !== null &&
      element("p", { class: "quiet" }, "The last digits may differ, because every delta was rounded on the way."),
    p(
      t`${deltaName(l, row)}${total > 1 ? " already holds the sum over all paths above " : " holds all that happens above "}${neuronName(l, row)}. It was computed once, and all ${count(sizeOf(l - 1), "weight")} into ${neuronName(l, row)} use it.`
    ),
    samples > 1 &&
      lines(
        [
          {
            formula: t`The gradient adds up ${deltaName(l, row)} · ${outName(l - 1, k)} over the samples`,
            numbers: added(
              samples,
              (s) => t`${inProduct(show(pass.delta[l][row][s]))} · ${inProduct(formatOut(outOf(l - 1, k, s)))}`
            ),
            result: show(gradient),
          },
        ],
        "stacked"
      ),
    element(
      "p",
      { class: "sum" },
      "Gradient: ",
      slopeName(weightIndex(l, row, k), "w"),
      " = ",
      element("b", { id: "gradient" }, show(gradient))
    ),
  ];
  replace(byId("paths"), content);
}

function fillFollowed() {
  const groups = state.network.layers.map((_, l) =>
    element(
      "optgroup",
      { label: `Into layer ${letterOf(l)}` },
      drawnNeurons(l).flatMap((row) =>
        drawnNeurons(l - 1).map((k) => {
          const weight = { layer: l, row, column: k };
          return element(
            "option",
            { value: JSON.stringify(weight) },
            `${weightText(weight)}: ${neuronText(l - 1, k)} → ${neuronText(l, row)}`
          );
        })
      )
    )
  );
  replace(byId("followed"), element("option", { value: "" }, "none"), groups);
}
