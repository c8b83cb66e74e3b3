// The page's state, and how elements, numbers, names and formulas are written.

// ------------------------------------------------------------------------------------------------------------ the page's state

const own = [...data.layers.map((layer) => layer.activation), data.loss].filter((piece) => piece.own);
const canCompute = own.length === 0;
const last = data.layers.length - 1;
const samples = data.inputs[0].length;
const { letters, sizes } = data;

const given = () =>
  structuredClone({ layers: data.layers, inputs: data.inputs, target: data.target, loss: data.loss, decimals: data.decimals });
const state = {
  network: given(),
  rate: data.learning_rate,
  pass: null, // what compute returns, or Python's numbers
  history: [], // the error before the first step and after each
  sample: 0,
  stepId: "start",
  neuron: sizes.slice(1).map(() => 0), // the chosen neuron of each layer
  weight: null, // the followed one: {layer, row, column}
  pinned: false,
  busy: false,
};

function pythonPass() {
  const of = (name) => data.python.layers.map((layer) => layer[name]);
  return {
    ...{ net: of("net"), out: of("out"), slope: of("slope"), derivative: of("derivative"), delta: of("delta") },
    ...{ weightGradient: of("weight_gradient"), biasGradient: of("bias_gradient"), error: data.python.error },
  };
}
const computed = (network) => (canCompute ? compute(network) : pythonPass());

const outOf = (l, i, sample = state.sample) => (l < 0 ? state.network.inputs : state.pass.out[l])[i][sample];
const isInput = (l) => l < 0;
const letterOf = (l) => letters[l + 1];
const sizeOf = (l) => sizes[l + 1];

// -------------------------------------------------------------------------------------------------------- elements and numbers

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    // A name may be used in several formulas: each gets its own copy.
    node.append(child instanceof Node && child.parentNode ? child.cloneNode(true) : child);
  }
  return node;
}
const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
/** The parts of a text with elements in it: t`the net of ${neuron} is ${number}`. */
const t = (texts, ...parts) => texts.flatMap((text, i) => [text, parts[i]]);
const p = (...parts) => element("p", {}, ...parts);

/** Put new content into a place, and give the focus back to the control that had it. */
function replace(place, ...children) {
  const key = place.contains(document.activeElement) && document.activeElement.getAttribute("data-key");
  place.replaceChildren();
  fill(place, {}, children);
  if (key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  markScrollable();
}

/** Make containers whose content overflows focusable. */
function markScrollable() {
  for (const each of document.querySelectorAll(".scrolls")) {
    if (each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)
      each.setAttribute("tabindex", "0");
    else each.removeAttribute("tabindex");
  }
}

const announce = (text) => (byId("status").textContent = text);

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
function typeset(text) {
  const [digits, power] = text.replace("+", "").split("e");
  const exponent = power ? ` × 10${[...power].map((each) => SUPERSCRIPTS[each]).join("")}` : "";
  return digits.replace("-", "−").replace("Infinity", "∞") + exponent;
}

/** A result: with as many decimals as results are rounded to, or as the page shows. */
function show(number) {
  const size = Math.abs(number);
  if (!Number.isFinite(number)) return typeset(String(number));
  if (size >= 1e7) return typeset(number.toExponential(3));
  if (state.network.decimals !== null) return typeset((number + 0).toFixed(state.network.decimals));
  if (number === 0) return "0";
  if (size >= 0.1) return typeset(number.toFixed(data.shown_decimals));
  return typeset(number.toPrecision(Math.max(1, Math.min(data.shown_decimals, 15))));
}
/** A number to a few digits, whatever its size. */
function brief(number, digits = 4) {
  const isSmall = Math.abs(number) < 1e-4 && number !== 0;
  return typeset(isSmall ? number.toExponential(digits - 1) : String(Number(number.toPrecision(digits))));
}
/** A number that was given, as short as it can be written with as many digits as the page shows. */
function shorten(number) {
  const digits = Math.max(4, data.shown_decimals);
  return String(Number(Math.abs(number) < 0.1 ? number.toPrecision(digits) : number.toFixed(digits)));
}
const plain = (number) => typeset(shorten(number));
const inProduct = (text) => (/^−|×/.test(text) ? `(${text})` : text);
const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** The numbers from 0 up to a size; of many, the first ones, null for those left out, and the last. */
function shownIndices(size, most = 12) {
  const all = Array.from({ length: size }, (_, i) => i);
  return size <= most ? all : [...all.slice(0, most - 2), null, size - 1];
}

// ---------------------------------------------------------------------------------------------------------- names and formulas

const sub = (text) => element("sub", {}, text);
const sup = (...parts) => element("sup", {}, ...parts);
const name = (base, index = "", power = "") =>
  element("span", { class: "name" }, base, index && sub(index), power && sup(power));
const fraction = (above, below) =>
  element(
    "span",
    { class: "fraction" },
    element("span", {}, above),
    element("span", { class: "unseen" }, " over "),
    element("span", {}, below)
  );

const indexOf = (l, i) => `${letterOf(l)}${i + 1}`;
const neuronText = (l, i) => `${letterOf(l)}_${i + 1}`;
const neuronName = (l, i) => name(letterOf(l), i + 1);
const netName = (l, i) => name("net", indexOf(l, i));
const outName = (l, i) => (isInput(l) ? neuronName(l, i) : name("out", indexOf(l, i)));
const deltaName = (l, i) => name("δ", indexOf(l, i));
const derivativeName = (l, i) => element("span", { class: "name" }, name("f′"), "(", netName(l, i), ")");
const weightIndex = (l, row, column) => `${letterOf(l)}${row * sizeOf(l - 1) + column + 1}`;
const weightName = (l, row, column) => name("w", weightIndex(l, row, column));
const weightText = ({ layer, row, column }) => `w_${weightIndex(layer, row, column)}`;
const biasName = (l, i) => name("bias", indexOf(l, i));
const errorName = () => name("E", "total");
const slopeName = (index, of = "out") => fraction(["∂", errorName()], ["∂", name(of, index)]);
const layerOut = (l, power = "") => (isInput(l) ? name("a", "", power) : name("out", letterOf(l), power));
const weightsName = (l, power = "") => name("W", letterOf(l), power);
const titleOf = (piece) => piece.name.replaceAll("_", " ");

/** A formula as Python writes it in text: {name} stands for one of the values, and ^ begins an exponent. */
function filled(pattern, values) {
  return pattern.split(/(\^\([^()]*\)|\^\{\w+\}|\^\w+|\{\w+\})/).map((part) => {
    if (part.startsWith("^")) return sup(filled(part.slice(1).replace(/^\((.*)\)$/, "$1"), values));
    if (part.startsWith("{")) return values[part.slice(1, -1)];
    return part.replaceAll(" * ", " · ").replaceAll("-", "−").replaceAll("1/2", "½");
  });
}
const isOwn = (piece) => piece.own;
const valueFormula = (piece, x) => (isOwn(piece) ? t`${piece.name}(${x})` : filled(piece.formulas[0], { x }));
const derivativeFormula = (piece, net, out) =>
  isOwn(piece) ? t`${piece.name}′(${net})` : filled(piece.formulas[1], { net, out });
const targetName = (i) => name("target", indexOf(last, i));

/** Lines of formula = numbers = result; the one of the chosen neuron is marked. */
function lines(rows, kind = "") {
  return element(
    "ul",
    { class: `lines ${kind}` },
    rows.map((row) =>
      row === null
        ? element("li", { class: "left-out" }, "…")
        : element(
            "li",
            { class: row.chosen ? "chosen" : null },
            element("span", { class: "formula" }, row.formula),
            element("span", { class: "numbers" }, row.numbers === null ? [] : t`= ${row.numbers}`),
            element("span", { class: "result" }, "= ", element("b", {}, row.result))
          )
    )
  );
}
const neuronLines = (l, row) =>
  lines(
    shownIndices(sizeOf(l)).map((i) => (i === null ? null : { ...row(i), chosen: i === state.neuron[l] && sizeOf(l) > 1 }))
  );

/** Terms with plus signs between them; of many, the first ones and the last. */
function added(size, term) {
  return shownIndices(size, 6).flatMap((i, place) => [place ? " + " : "", i === null ? "…" : term(i)]);
}

/** A matrix in brackets; a large one is abbreviated, with its shape below. */
function matrix(rows, format = show, marked = null) {
  const [height, width] = [rows.length, rows[0].length];
  const [shownRows, shownColumns] = [shownIndices(height, 8), shownIndices(width, 6)];
  const cell = (i, j) => {
    const text = i === null || j === null ? "…" : format(rows[i][j]);
    return element("td", { class: j !== null && j === marked ? "sample" : null }, text);
  };
  const body = shownRows.map((i) =>
    element(
      "tr",
      {},
      shownColumns.map((j) => cell(i, j))
    )
  );
  const isLarge = shownRows.includes(null) || shownColumns.includes(null);
  return element(
    "span",
    { class: "matrix" },
    element("span", { class: "brackets" }, element("table", {}, element("tbody", {}, body))),
    isLarge && element("small", {}, `${height} × ${width}`)
  );
}
const weightMatrix = (rows) => matrix(rows, plain);
/** A matrix with a column for each sample, in which the chosen one is marked. */
const sampleMatrix = (rows, format = show) => matrix(rows, format, samples > 1 ? state.sample : null);
const asColumn = (numbers) => numbers.map((number) => [number]);

/** A formula, and below it the same with its numbers. */
function equation(symbols, numbers) {
  const parts = numbers.map((part) => (typeof part === "string" ? element("span", { class: "sign" }, part) : part));
  return element(
    "div",
    { class: "equation scrolls", role: "group", "aria-label": "The formula, and the same with numbers" },
    element("div", { class: "symbols" }, symbols),
    element("div", { class: "with-numbers" }, parts)
  );
}

const thisSample = () =>
  samples > 1 &&
  element(
    "span",
    { class: "quiet" },
    ` The lines below show sample ${state.sample + 1}; a matrix has a column for each sample.`
  );
const perSample = () => (samples > 1 ? t` / ${String(samples)}` : []);
