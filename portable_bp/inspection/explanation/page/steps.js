// The steps through the passes, each with its formula and its numbers.

const activationOf = (l) => state.network.layers[l].activation;
const derivativeAt = (l, i) => state.pass.derivative[l]?.[i][state.sample];
const column = (matrixOfLayer, i) => matrixOfLayer[i][state.sample];

/** Buttons that choose a neuron of a layer. */
function neuronChooser(l, text) {
  if (sizeOf(l) === 1) return null;
  const button = (i) =>
    i !== null &&
    element(
      "button",
      {
        type: "button",
        "aria-pressed": String(i === state.neuron[l]),
        "data-key": `choose-${l}-${i}`,
        onclick: () => chooseNeuron(l, i),
      },
      neuronName(l, i)
    );
  return element(
    "div",
    { class: "bar screen-only", role: "group", "aria-label": text },
    element("span", {}, text),
    shownIndices(sizeOf(l)).map(button)
  );
}

function startStep() {
  return {
    id: "start",
    label: ["start"],
    title: ["The network and its inputs"],
    render: () => [
      p(
        t`Numbers enter in layer ${name("a")} and flow to the right. Every line is a weight. Every neuron adds up its inputs, each times its weight, which gives its ${name("net")}, and passes on its ${name("out")}.`
      ),
      p(
        t`First the network is computed forward, layer by layer, up to the error ${errorName()}. Then the error's derivative is carried back, from the right to the left. In the end every weight knows its gradient: how much ${errorName()} changes when this weight changes.`
      ),
      equation(t`${layerOut(-1)} = inputs`, [layerOut(-1), "=", sampleMatrix(state.network.inputs, plain)]),
      element("p", { class: "screen-only" }, "Go on with ", element("b", {}, "Next"), ", or with the arrow keys → and ←."),
    ],
  };
}

function netStep(l) {
  const below = l - 1;
  return {
    id: `net-${l}`,
    label: [name("net", letterOf(l))],
    title: t`Forward: ${name("net", letterOf(l))}`,
    neurons: [below, l],
    weights: [l],
    render: () => {
      const { weight, bias } = state.network.layers[l];
      const outs = isInput(below) ? state.network.inputs : state.pass.out[below];
      const format = isInput(below) ? plain : show;
      return [
        p(
          t`The net of a neuron is the sum of the outs below it, each times the weight in between${bias ? ", plus the neuron's bias" : ""}. Row by row, this is a matrix product.${thisSample()}`
        ),
        equation(
          t`${name("net", letterOf(l))} = ${weightsName(l)} · ${layerOut(below)}${bias ? t` + ${name("bias", letterOf(l))}` : ""}`,
          [
            weightMatrix(weight),
            "·",
            sampleMatrix(outs, format),
            ...(bias ? ["+", weightMatrix(asColumn(bias))] : []),
            "=",
            sampleMatrix(state.pass.net[l]),
          ]
        ),
        neuronLines(l, (i) => ({
          formula: t`${netName(l, i)} = ${added(sizeOf(below), (k) => t`${weightName(l, i, k)} · ${outName(below, k)}`)}${bias ? t` + ${biasName(l, i)}` : ""}`,
          numbers: [
            added(sizeOf(below), (k) => t`${inProduct(plain(weight[i][k]))} · ${inProduct(format(outOf(below, k)))}`),
            bias ? t` + ${inProduct(plain(bias[i]))}` : "",
          ],
          result: show(column(state.pass.net[l], i)),
        })),
      ];
    },
  };
}

function outStep(l) {
  return {
    id: `out-${l}`,
    label: [name("out", letterOf(l))],
    title: t`Forward: ${name("out", letterOf(l))}`,
    neurons: [l],
    render: () => {
      const activation = activationOf(l);
      const isSoftmax = activation.name === "softmax" && !isOwn(activation);
      return [
        p(
          isSoftmax
            ? ["The activation is softmax: each out depends on all nets of the layer, and the outs add up to 1."]
            : t`The activation of layer ${letterOf(l)}, ${element("b", {}, titleOf(activation))}, turns the net of every neuron into its out.`,
          l === last && " These are the outs of the network.",
          thisSample()
        ),
        equation(t`${name("out", letterOf(l))} = ${titleOf(activation)}(${name("net", letterOf(l))})`, [
          `${titleOf(activation)}(`,
          sampleMatrix(state.pass.net[l]),
          ")",
          "=",
          sampleMatrix(state.pass.out[l]),
        ]),
        neuronLines(l, (i) => ({
          formula: t`${name("out", indexOf(l, i))} = ${valueFormula(activation, netName(l, i))}`,
          numbers: valueFormula(activation, inProduct(show(column(state.pass.net[l], i)))),
          result: show(column(state.pass.out[l], i)),
        })),
      ];
    },
  };
}

const usesNet = () => state.network.loss.from_net;
const lossInput = (i) => (usesNet() ? netName(last, i) : name("out", indexOf(last, i)));
const lossInputNumber = (i) => show(column(usesNet() ? state.pass.net[last] : state.pass.out[last], i));
const targetNumber = (i) => plain(column(state.network.target, i));

function errorStep() {
  return {
    id: "error",
    label: [name("E")],
    title: t`The error ${errorName()}`,
    neurons: [last],
    atError: true,
    render: () => {
      const { loss, target } = state.network;
      const formula = isOwn(loss) ? null : loss.formulas[0];
      const sampleTarget = target.map((row) => row[state.sample]);
      const measured = (usesNet() ? state.pass.net : state.pass.out)[last].map((row) => row[state.sample]);
      const terms = formula && LOSSES[loss.name].terms(measured, sampleTarget, loss.settings);
      return [
        p(
          t`The loss, ${element("b", {}, titleOf(loss))}, compares the outs with the targets. ${errorName()} is its sum over the output neurons${samples > 1 ? `, and the mean over the ${samples} samples` : ""}. Training makes it small.`
        ),
        usesNet() &&
          p(
            t`${element("b", {}, titleOf(loss))} is computed from the net of the output layer, in one formula with the activation. So no digits are lost, and the way back begins at the net.`
          ),
        formula
          ? neuronLines(last, (i) => ({
              formula: filled(formula, comparedNames(i)),
              numbers: filled(formula, comparedNumbers(i)),
              result: show(terms[i]),
            }))
          : p("The loss is written in Python: this page shows the error that Python computed."),
        formula && samples > 1 && p(t`Sample ${state.sample + 1} adds up to ${element("b", {}, show(sum(terms)))}.`),
        element(
          "p",
          { class: "sum" },
          errorName(),
          " = ",
          element("b", {}, show(state.pass.error)),
          samples > 1 && `, the mean over ${samples} samples`
        ),
      ];
    },
  };
}

// The probability that a cross-entropy compares with the target: out, or computed from what the loss takes.
const probabilityName = (i) =>
  usesNet() && ["softmax", "sigmoid"].includes(activationOf(last).name)
    ? outName(last, i)
    : t`${state.network.loss.name === "cross_entropy" ? "softmax" : "sigmoid"}(${lossInput(i)})`;
function probabilityNumber(i) {
  const taken = (usesNet() ? state.pass.net : state.pass.out)[last].map((row) => row[state.sample]);
  return show(state.network.loss.name === "cross_entropy" ? softmax(taken)[i] : sigmoid(taken[i]));
}

const isCrossEntropy = (loss) => loss.name.endsWith("cross_entropy");
const comparedNames = (i) => ({
  out: isCrossEntropy(state.network.loss) ? probabilityName(i) : lossInput(i),
  target: targetName(i),
});
const comparedNumbers = (i) => ({
  out: inProduct(isCrossEntropy(state.network.loss) ? probabilityNumber(i) : lossInputNumber(i)),
  target: inProduct(targetNumber(i)),
});

function slopeLines(result) {
  const { loss } = state.network;
  const formula = isOwn(loss) ? null : loss.formulas[1];
  const divided = (parts) => (samples > 1 ? t`(${parts})${perSample()}` : parts);
  return neuronLines(last, (i) => ({
    formula: [result(i), formula && t` = ${divided(filled(formula, comparedNames(i)))}`],
    numbers: formula && divided(filled(formula, comparedNumbers(i))),
    result: show(column(state.pass.slope[last], i)),
  }));
}

function slopeStep() {
  return {
    id: "slope",
    label: [name("∂E/∂out", letterOf(last))],
    title: ["Back: how the error changes with the outs"],
    neurons: [last],
    atError: true,
    render: () => [
      p(
        t`The way back begins at the error. How much does ${errorName()} change when one out of the output layer changes a little? That is its derivative, the slope.${samples > 1 && ` The error is a mean over ${samples} samples, so each slope is divided by ${samples}.`}${thisSample()}`
      ),
      slopeLines((i) => slopeName(indexOf(last, i))),
      p("A positive slope means: a larger out makes the error larger."),
    ],
  };
}

function derivativeStep() {
  return {
    id: "derivative",
    label: [name("f′", letterOf(last))],
    title: ["Back: how each out changes with its net"],
    neurons: [last],
    render: () => [
      p(
        t`The out was computed from the net by the activation, ${element("b", {}, titleOf(activationOf(last)))}. Its derivative ${name("f′")}(${name("net")}) says how strongly a small change of the net reaches the out.${thisSample()}`
      ),
      derivativeLines(last),
    ],
  };
}
const derivativeLines = (l) =>
  neuronLines(l, (i) => ({
    formula: t`${derivativeName(l, i)} = ${derivativeFormula(activationOf(l), netName(l, i), outName(l, i))}`,
    numbers: derivativeFormula(
      activationOf(l),
      inProduct(show(column(state.pass.net[l], i))),
      inProduct(show(column(state.pass.out[l], i)))
    ),
    result: show(derivativeAt(l, i)),
  }));

const roundedNote = () =>
  state.network.decimals !== null &&
  element(
    "p",
    { class: "quiet" },
    "The factors are shown rounded; delta itself is rounded once, at the end. So its last digit may differ from the product of what you see."
  );

function outputDeltaStep() {
  return {
    id: `delta-${last}`,
    label: [name("δ", letterOf(last))],
    title: t`Back: ${name("δ", letterOf(last))}, the delta of the output layer`,
    neurons: [last],
    atError: true,
    render: () => {
      const what = p(
        t`The delta of a neuron, ${name("δ")}, is the derivative of ${errorName()} by its net. Every gradient below will be made of deltas.${thisSample()}`
      );
      if (usesNet()) {
        return [
          what,
          p(
            t`The loss is computed from the net, so its derivative by the net is the delta at once. No factor ${name("f′")} follows.`
          ),
          slopeLines((i) => [deltaName(last, i)]),
        ];
      }
      if (!state.pass.derivative[last]) return [what, coupledDelta(last)];
      return [
        what,
        p(
          "A change of the net changes the out, and the out changes the error. By the chain rule the two derivatives are multiplied, neuron by neuron (⊙)."
        ),
        equation(
          t`${name("δ", letterOf(last))} = ${slopeName(letterOf(last))} ⊙ ${name("f′")}(${name("net", letterOf(last))})`,
          [
            sampleMatrix(state.pass.slope[last]),
            "⊙",
            sampleMatrix(state.pass.derivative[last]),
            "=",
            sampleMatrix(state.pass.delta[last]),
          ]
        ),
        neuronLines(last, (i) => ({
          formula: t`${deltaName(last, i)} = ${slopeName(indexOf(last, i))} · ${derivativeName(last, i)}`,
          numbers: t`${inProduct(show(column(state.pass.slope[last], i)))} · ${inProduct(show(derivativeAt(last, i)))}`,
          result: show(column(state.pass.delta[last], i)),
        })),
        roundedNote(),
      ];
    },
  };
}

/** The deltas of a layer each of whose outs depends on several nets. */
function coupledDelta(l) {
  const { slope, out, delta } = state.pass;
  if (isOwn(activationOf(l))) {
    return [
      p(
        "The activation is written in Python, and its delta is not a slope times a derivative, neuron by neuron: these are Python's numbers."
      ),
      equation([name("δ", letterOf(l))], [sampleMatrix(delta[l])]),
    ];
  }
  const shared = sum(slope[l].map((row, k) => row[state.sample] * out[l][k][state.sample]));
  return [
    p(
      t`Every out of a softmax depends on every net of the layer. So each delta takes the slopes of the whole layer: s is the sum of slope times out over its neurons, here ${element("b", {}, show(shared))}.`
    ),
    neuronLines(l, (i) => ({
      formula: t`${deltaName(l, i)} = ${outName(l, i)} · (${slopeName(indexOf(l, i))} − s)`,
      numbers: t`${inProduct(show(outOf(l, i)))} · (${show(column(slope[l], i))} − ${inProduct(show(shared))})`,
      result: show(column(delta[l], i)),
    })),
  ];
}

function hiddenDeltaStep(l) {
  const above = l + 1;
  return {
    id: `delta-${l}`,
    label: [name("δ", letterOf(l))],
    title: t`Back: ${name("δ", letterOf(l))}, a sum over the neurons above`,
    neurons: [l, above],
    weights: [above],
    chosen: l,
    render: () => {
      const { weight } = state.network.layers[above];
      const { slope, derivative, delta } = state.pass;
      const i = state.neuron[l];
      const slopeSum = (k) => added(sizeOf(above), (j) => t`${weightName(above, j, k)} · ${deltaName(above, j)}`);
      const slopeNumbers = (k) =>
        added(sizeOf(above), (j) => t`${inProduct(plain(weight[j][k]))} · ${inProduct(show(column(delta[above], j)))}`);
      const intro = p(
        t`No loss is attached to a hidden neuron. It changes the error only through the ${count(sizeOf(above), "neuron")} of layer ${name(letterOf(above))} that it feeds. Their deltas are known. So what each of them passes back, weight times delta, is added up${derivative[l] && t`, and multiplied by the neuron's own ${name("f′")}`}.${thisSample()}`
      );
      if (!derivative[l]) {
        return [
          intro,
          equation(t`${slopeName(letterOf(l))} = ${weightsName(above, "T")} · ${name("δ", letterOf(above))}`, [
            weightMatrix(transpose(weight)),
            "·",
            sampleMatrix(delta[above]),
            "=",
            sampleMatrix(slope[l]),
          ]),
          coupledDelta(l),
        ];
      }
      return [
        intro,
        equation(
          t`${name("δ", letterOf(l))} = (${weightsName(above, "T")} · ${name("δ", letterOf(above))}) ⊙ ${name("f′")}(${name("net", letterOf(l))})`,
          [
            "(",
            weightMatrix(transpose(weight)),
            "·",
            sampleMatrix(delta[above]),
            ") ⊙",
            sampleMatrix(derivative[l]),
            "=",
            sampleMatrix(delta[l]),
          ]
        ),
        neuronLines(l, (k) => ({
          formula: t`${deltaName(l, k)} = (${slopeSum(k)}) · ${derivativeName(l, k)}`,
          numbers: t`(${slopeNumbers(k)}) · ${inProduct(show(derivativeAt(l, k)))}`,
          result: show(column(delta[l], k)),
        })),
        roundedNote(),
        neuronChooser(l, "Show neuron"),
        whySum(l, i),
        p(
          t`Nothing above layer ${name(letterOf(above))} is looked at again: its deltas already hold all that happens there. That is why the recursion is cheap.`
        ),
      ];
    },
  };
}

/** Nudge the net of a neuron, follow the change through every neuron above it, and compare with a new pass forward. */
function whySum(l, i) {
  const above = l + 1;
  const amount = 0.001;
  if (!canCompute) return null;
  const exact = { ...state.network, decimals: null };
  const pass = compute(exact);
  if (!pass.derivative[l]) return null;
  const { sample } = state;
  const reached = pass.derivative[l][i][sample] * amount;
  const through = exact.layers[above].weight.map((row, j) => reached * row[i] * pass.delta[above][j][sample]);
  const measured = errorOf(exact, forward(exact, { layer: l, neuron: i, sample, amount })) - pass.error;
  return element(
    "div",
    { class: "why" },
    element("h4", {}, "Why is ", deltaName(l, i), " a sum?"),
    p(
      t`Suppose ${netName(l, i)} rises by ${String(amount)}. ${outName(l, i)} changes by ${name("f′")} times that, ${element("b", {}, brief(reached))}. It feeds ${count(sizeOf(above), "neuron")}, so the change reaches the error in ${count(sizeOf(above), "way")}:`
    ),
    lines([
      ...shownIndices(sizeOf(above), 6).map((j) =>
        j === null
          ? null
          : {
              formula: t`through ${neuronName(above, j)}: ${weightName(above, j, i)} · ${deltaName(above, j)} · change of ${outName(l, i)}`,
              numbers: t`${inProduct(brief(exact.layers[above].weight[j][i]))} · ${inProduct(brief(pass.delta[above][j][sample]))} · ${inProduct(brief(reached))}`,
              result: brief(through[j]),
            }
      ),
      {
        formula: ["all together"],
        numbers: t`${deltaName(l, i)} · ${String(amount)}`,
        result: brief(sum(through)),
        chosen: true,
      },
      { formula: t`measured: ${errorName()} after the nudge, minus before`, numbers: null, result: brief(measured) },
    ]),
    p(
      t`The error feels the nudge through every neuron that ${neuronName(l, i)} feeds, and these effects add up. That is why the delta of a hidden neuron is a sum.`
    ),
    state.network.decimals !== null && element("p", { class: "quiet" }, "This experiment is computed without rounding.")
  );
}

function gradientStep(l) {
  const below = l - 1;
  return {
    id: `gradient-${l}`,
    label: [name("∂E/∂W", letterOf(l))],
    title: t`Gradient of ${weightsName(l)}`,
    neurons: [below, l],
    weights: [l],
    render: () => {
      const { bias } = state.network.layers[l];
      const { delta, weightGradient, biasGradient } = state.pass;
      const outs = isInput(below) ? state.network.inputs : state.pass.out[below];
      const format = isInput(below) ? plain : show;
      const i = state.neuron[l];
      const sampleSum = (term) => added(samples, term);
      return [
        p(
          t`A weight multiplies the out below it. So when the weight changes, the net changes by this out, and the error by delta times this out.${samples > 1 && ` Over the ${samples} samples these products are added up.`}`
        ),
        equation(t`${slopeName(letterOf(l), "W")} = ${name("δ", letterOf(l))} · ${layerOut(below, "T")}`, [
          sampleMatrix(delta[l]),
          "·",
          matrix(transpose(outs), format),
          "=",
          matrix(weightGradient[l]),
        ]),
        neuronChooser(l, "Weights into"),
        lines(
          shownIndices(sizeOf(below)).map((k) =>
            k === null
              ? null
              : {
                  formula: t`${slopeName(weightIndex(l, i, k), "w")} = ${deltaName(l, i)} · ${outName(below, k)}${samples > 1 && ", summed"}`,
                  numbers: sampleSum((s) => t`${inProduct(show(delta[l][i][s]))} · ${inProduct(format(outOf(below, k, s)))}`),
                  result: show(weightGradient[l][i][k]),
                }
          )
        ),
        bias &&
          lines([
            {
              formula: t`${slopeName(indexOf(l, i), "bias")} = ${deltaName(l, i)}${samples > 1 && ", summed"}`,
              numbers: sampleSum((s) => inProduct(show(delta[l][i][s]))),
              result: show(biasGradient[l][i]),
            },
          ]),
        bias && p("The bias is added to the net as it is, so its gradient is the delta itself."),
        p(
          t`The ${count(sizeOf(below), "weight")} into ${neuronName(l, i)} share one ${deltaName(l, i)}: it was computed once.`
        ),
        l === 0 && costOfPaths(),
      ];
    },
  };
}

/** How much work the recursion saves. */
function costOfPaths() {
  const { layers } = state.network;
  const weights = layers.map(({ weight }) => weight.length * weight[0].length);
  const paths = sum(weights.map((number, l) => number * pathCount(layers, l)));
  return element(
    "div",
    { class: "why" },
    element("h4", {}, "Why this is cheap"),
    p(
      `The network has ${count(sum(weights), "weight")}. Written out path by path, their gradients need ${count(paths, "product")}, one for each path from a weight to an output. The recursion computes ${count(sum(sizes.slice(1)), "delta")}, each of them once, and then one product of delta and out for each weight. In a deep network the number of paths grows with every layer; the number of deltas is only the number of neurons.`
    )
  );
}

function updateStep() {
  return {
    id: "update",
    label: ["update"],
    title: ["Update: one step down the gradient"],
    neurons: [],
    weights: sizes.slice(1).map((_, l) => l),
    render: () => {
      const { network, pass } = state;
      const updated = update(network, state.rate, pass);
      const after = canCompute ? errorOf(updated) : data.python.error_after;
      const falls = after < pass.error ? "falls" : after > pass.error ? "rises" : "stays";
      const rateName = name("η");
      return [
        p(
          t`Every weight goes a step against its gradient: new = old − ${rateName} · gradient. ${rateName}, the learning rate, is ${element("b", {}, plain(state.rate))}.`
        ),
        updated.layers.map(({ weight, bias }, l) => [
          equation(t`new ${weightsName(l)} = ${weightsName(l)} − ${rateName} · ${slopeName(letterOf(l), "W")}`, [
            weightMatrix(network.layers[l].weight),
            `− ${plain(state.rate)} ·`,
            matrix(pass.weightGradient[l]),
            "=",
            matrix(weight),
          ]),
          bias &&
            equation(
              t`new ${name("bias", letterOf(l))} = ${name("bias", letterOf(l))} − ${rateName} · ${slopeName(letterOf(l), "bias")}`,
              [
                weightMatrix(asColumn(network.layers[l].bias)),
                `− ${plain(state.rate)} ·`,
                matrix(asColumn(pass.biasGradient[l])),
                "=",
                matrix(asColumn(bias)),
              ]
            ),
        ]),
        element("p", { class: "sum" }, errorName(), ` ${falls}: `, element("b", {}, `${show(pass.error)} → ${show(after)}`)),
        falls === "rises" && p("The step was too long: try a smaller learning rate."),
        canCompute && p(t`Take more steps below, under ${element("b", {}, "Train")}.`),
      ];
    },
  };
}

/** All steps, in order: their list depends on the activation of the output layer and on the loss. */
function listSteps() {
  const layers = state.network.layers.map((_, l) => l);
  const back = [...layers].reverse();
  return [
    startStep(),
    ...layers.flatMap((l) => [netStep(l), outStep(l)]),
    errorStep(),
    ...(usesNet() ? [] : [slopeStep(), ...(state.pass.derivative[last] ? [derivativeStep()] : [])]),
    outputDeltaStep(),
    ...back.slice(1).map(hiddenDeltaStep),
    ...back.map(gradientStep),
    updateStep(),
  ];
}

let steps = []; // listed again whenever something changed
const stepIndex = (id) => steps.findIndex((step) => step.id === id);
const currentPlace = () => Math.max(0, stepIndex(state.stepId));

function goTo(place) {
  const step = steps[Math.max(0, Math.min(place, steps.length - 1))];
  state.stepId = step.id;
  if (state.weight && !state.pinned) follow(null);
  renderStep();
  drawNetwork();
  announce(`Step ${steps.indexOf(step) + 1} of ${steps.length}: ${plainText(step.title)}`);
}
const plainText = (parts) => element("span", {}, parts).textContent;

function chooseNeuron(l, i) {
  state.neuron[l] = i;
  renderStep();
  markDrawing();
}

function renderStep() {
  const place = currentPlace();
  const item = (step, i) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          "data-key": step.id,
          "aria-current": i === place ? "step" : null,
          title: plainText(step.title),
          onclick: () => goTo(i),
        },
        step.label
      )
    );
  replace(byId("steps"), steps.map(item));
  replace(byId("step"), element("h3", {}, steps[place].title), steps[place].render());
  byId("position").textContent = `Step ${place + 1} of ${steps.length}`;
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === steps.length - 1;
}
