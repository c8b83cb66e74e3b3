// The arithmetic of backpropagation.
//
// A network is {layers: [{weight, bias, activation}], inputs, target, loss, decimals}. Matrices are lists of rows, with a row
// for each neuron and a column for each sample. Layer 0 is the first above the inputs, which are layer -1.

const data = JSON.parse(document.getElementById("data").textContent, (_, value) =>
  value && value.float ? Number(value.float) : value
);

// -------------------------------------------------------------------------------------------------------------------- matrices

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const transpose = (matrix) => matrix[0].map((_, column) => matrix.map((row) => row[column]));
const mapMatrix = (f, ...matrices) => matrices[0].map((row, i) => row.map((_, j) => f(...matrices.map((each) => each[i][j]))));
const multiply = (left, right) => {
  const columns = transpose(right);
  return left.map((row) =>
    columns.map((column) => {
      let total = 0;
      for (let k = 0; k < row.length; k++) total += row[k] * column[k];
      return total;
    })
  );
};

/** Apply a function of one sample's columns to every sample. */
function mapColumns(f, ...matrices) {
  const columns = matrices.map(transpose);
  return transpose(columns[0].map((_, sample) => f(...columns.map((each) => each[sample]))));
}

/** Return a function that rounds to some decimals, halves to even, as NumPy does; for null, one that rounds nothing. */
function rounder(decimals) {
  if (decimals === null) return (number) => number;
  const scale = Number(`1e${decimals}`);
  const shift = 2 ** 52; // from here on, neighboring floats are 1 apart, so adding it rounds to an integer
  return (number) => {
    const scaled = number * scale;
    if (Math.abs(scaled) >= shift) return scaled / scale;
    return (scaled < 0 ? scaled - shift + shift : scaled + shift - shift) / scale;
  };
}

// ------------------------------------------------------------------------------------------------------ activations and losses

const sigmoid = (net) => 1 / (1 + Math.exp(-net));
const softplus = (net) => Math.max(net, 0) + Math.log1p(Math.exp(-Math.abs(net)));
const softmax = (nets) => {
  const largest = Math.max(...nets);
  const powers = nets.map((net) => Math.exp(net - largest));
  const total = sum(powers);
  return powers.map((power) => power / total);
};

const { numerator, denominator, limit, smallest_rate: smallestRate } = data.constants;
const polynomial = (coefficients, x) => coefficients.reduceRight((value, coefficient) => value * x + coefficient);
const normalDensity = (x) => {
  const distance = Math.min(Math.abs(x), limit);
  return Math.exp(-0.5 * distance * distance) / Math.sqrt(2 * Math.PI);
};
const normalDistribution = (x) => {
  const distance = Math.min(Math.abs(x), limit);
  const beyond = (normalDensity(distance) * polynomial(numerator, distance)) / polynomial(denominator, distance);
  return x < 0 ? beyond : 1 - beyond;
};
const geluGate = (net) => Math.tanh(Math.sqrt(2 / Math.PI) * (net + 0.044715 * net * net * net));

/** An activation that computes each out from its own net. */
const elementwise = (value, delta) => ({
  value: (nets, settings) => nets.map((net) => value(net, settings)),
  delta: (slopes, nets, outs, settings) => slopes.map((slope, i) => delta(slope, nets[i], outs[i], settings)),
  elementwise: true,
});

const ACTIVATIONS = {
  identity: elementwise(
    (net) => net,
    (slope) => slope
  ),
  sigmoid: elementwise(sigmoid, (slope, net, out) => slope * out * (1 - out)),
  tanh: elementwise(Math.tanh, (slope, net, out) => slope * (1 - out * out)),
  relu: elementwise(
    (net) => Math.max(net, 0),
    (slope, net) => slope * (net > 0 ? 1 : 0)
  ),
  leaky_relu: elementwise(
    (net, settings) => (net > 0 ? net : settings.negative_slope * net),
    (slope, net, out, settings) => (net > 0 ? slope : settings.negative_slope * slope)
  ),
  elu: elementwise(
    (net, settings) => (net > 0 ? net : settings.alpha * Math.expm1(net)),
    (slope, net, out, settings) => slope * (net > 0 ? 1 : settings.alpha * Math.exp(net))
  ),
  gelu: elementwise(
    (net) => net * normalDistribution(net),
    (slope, net, out) => slope * ((Math.abs(net) < 1e-30 ? 0.5 : out / net) + net * normalDensity(net))
  ),
  gelu_tanh: elementwise(
    (net) => 0.5 * net * (1 + geluGate(net)),
    (slope, net) => {
      const gate = geluGate(net);
      const gateSlope = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * net * net) * (1 - gate * gate);
      return slope * 0.5 * (1 + gate + net * gateSlope);
    }
  ),
  silu: elementwise(
    (net) => net * sigmoid(net),
    (slope, net) => slope * sigmoid(net) * (1 + net * (1 - sigmoid(net)))
  ),
  softplus: elementwise(softplus, (slope, net) => slope * sigmoid(net)),
  exp: elementwise(
    (net) => Math.exp(Math.max(net, Math.log(smallestRate))),
    (slope, net, out) => slope * out
  ),
  softmax: {
    value: softmax,
    delta: (slopes, nets, outs) => {
      const shared = sum(slopes.map((slope, i) => slope * outs[i]));
      return outs.map((out, i) => out * (slopes[i] - shared));
    },
    elementwise: false,
  },
};

/** A loss that is a sum over outputs: terms are its parts, slope is its derivative by each out. */
const outputwise = (term, slope) => ({
  terms: (outs, targets, settings) => outs.map((out, i) => term(out, targets[i], settings)),
  slope: (outs, targets, settings) => outs.map((out, i) => slope(out, targets[i], settings)),
});
const rate = (out) => Math.max(out, smallestRate);

const LOSSES = {
  squared_error: outputwise(
    (out, target) => 0.5 * (out - target) * (out - target),
    (out, target) => out - target
  ),
  absolute_error: outputwise(
    (out, target) => Math.abs(out - target),
    (out, target) => Math.sign(out - target)
  ),
  huber: outputwise(
    (out, target, { threshold }) => {
      const distance = Math.abs(out - target);
      const near = Math.min(distance, threshold);
      return near * (distance - 0.5 * near);
    },
    (out, target, { threshold }) => Math.min(Math.max(out - target, -threshold), threshold)
  ),
  quantile: outputwise(
    (out, target, { quantile }) => Math.max(quantile * (target - out), (quantile - 1) * (target - out)),
    (out, target, { quantile }) => {
      const side = Math.sign(out - target);
      return 0.5 * side + (0.5 - quantile) * Math.abs(side);
    }
  ),
  poisson: outputwise(
    (out, target) => target * (Math.log(target > 0 ? target : 1) - Math.log(rate(out))) - target + out,
    (out, target) => 1 - target / rate(out)
  ),
  // The outs of the last two are the nets of the output layer.
  binary_cross_entropy: outputwise(
    (net, target) => Math.max(net, 0) - net * target + softplus(-Math.abs(net)),
    (net, target) => sigmoid(net) - target
  ),
  cross_entropy: {
    terms: (nets, targets) => {
      const largest = Math.max(...nets);
      const logTotal = Math.log(sum(nets.map((net) => Math.exp(net - largest))));
      return nets.map((net, i) => targets[i] * (logTotal - (net - largest)));
    },
    slope: (nets, targets) => softmax(nets).map((probability, i) => probability * sum(targets) - targets[i]),
  },
};

const valueOf = (activation, net) => mapColumns((nets) => ACTIVATIONS[activation.name].value(nets, activation.settings), net);
const deltaOf = (activation, slope, net, out) =>
  mapColumns((...columns) => ACTIVATIONS[activation.name].delta(...columns, activation.settings), slope, net, out);

// ------------------------------------------------------------------------------------------------------------------ the passes

/** The activation through which the error is computed: the identity where the loss takes the net of the output layer. */
const measuredActivation = (network, l) =>
  l === network.layers.length - 1 && network.loss.from_net ? { name: "identity", settings: {} } : network.layers[l].activation;

/** The pass forward: net, out, and measured, the out that the error is computed from; a nudge is added to one net. */
function forward(network, nudge = null) {
  const round = rounder(network.decimals);
  let below = network.inputs;
  return network.layers.map((layer, l) => {
    const weighted = multiply(layer.weight, below);
    const net = weighted.map((row, i) => row.map((number) => round(layer.bias ? number + layer.bias[i] : number)));
    if (nudge && nudge.layer === l) net[nudge.neuron][nudge.sample] += nudge.amount;
    const measured = mapMatrix(round, valueOf(measuredActivation(network, l), net));
    const out = network.loss.from_net ? mapMatrix(round, valueOf(layer.activation, net)) : measured;
    below = measured;
    return { net, out, measured };
  });
}

/** The mean over samples of the loss. */
function errorOf(network, signals = forward(network)) {
  const { name, settings } = network.loss;
  const outs = transpose(signals.at(-1).measured);
  const targets = transpose(network.target);
  const errors = outs.map((out, sample) => sum(LOSSES[name].terms(out, targets[sample], settings)));
  return rounder(network.decimals)(sum(errors) / errors.length);
}

/** Backpropagation: the pass forward, the error, and the pass back. */
function compute(network) {
  const round = rounder(network.decimals);
  const { layers, inputs, target, loss } = network;
  const last = layers.length - 1;
  const samples = inputs[0].length;
  const signals = forward(network);

  const slope = [];
  const delta = [];
  const lossSlope = mapColumns(
    (outs, targets) => LOSSES[loss.name].slope(outs, targets, loss.settings),
    signals[last].measured,
    target
  );
  slope[last] = mapMatrix((number) => round(number / samples), lossSlope);
  for (let l = last; l >= 0; l--) {
    if (l < last) slope[l] = mapMatrix(round, multiply(transpose(layers[l + 1].weight), delta[l + 1]));
    delta[l] = mapMatrix(round, deltaOf(measuredActivation(network, l), slope[l], signals[l].net, signals[l].measured));
  }

  const derivative = signals.map(({ net, measured }, l) => {
    const activation = measuredActivation(network, l);
    if (!ACTIVATIONS[activation.name].elementwise) return null;
    return mapMatrix(
      round,
      deltaOf(
        activation,
        mapMatrix(() => 1, net),
        net,
        measured
      )
    );
  });
  const outsBelow = [inputs, ...signals.map((signal) => signal.measured)];
  return {
    net: signals.map((signal) => signal.net),
    out: signals.map((signal) => signal.out),
    slope,
    derivative,
    delta,
    weightGradient: delta.map((each, l) => mapMatrix(round, multiply(each, transpose(outsBelow[l])))),
    biasGradient: delta.map((each, l) => layers[l].bias && each.map((row) => round(sum(row)))),
    error: errorOf(network, signals),
  };
}

/** One step of gradient descent: a network with new weights and biases. */
function update(network, learningRate, { weightGradient, biasGradient } = compute(network)) {
  const round = rounder(network.decimals);
  const step = (old, gradient) => round(old - learningRate * gradient);
  const layers = network.layers.map((layer, l) => ({
    ...layer,
    weight: mapMatrix(step, layer.weight, weightGradient[l]),
    bias: layer.bias && layer.bias.map((old, i) => step(old, biasGradient[l][i])),
  }));
  return { ...network, layers };
}

/** For each layer, compare the gradient with central differences of the error, without rounding; yields after each number. */
function* differences(network) {
  const exact = structuredClone({ ...network, decimals: null });
  const { weightGradient, biasGradient } = compute(exact);
  const found = [];
  for (const [l, layer] of exact.layers.entries()) {
    const rows = layer.weight.map((row, i) => [row, weightGradient[l][i]]);
    if (layer.bias) rows.push([layer.bias, biasGradient[l]]);
    let difference = 0;
    let largest = 0;
    for (const [row, gradient] of rows) {
      for (const [k, old] of row.entries()) {
        const size = 1e-5 * Math.max(1, Math.abs(old));
        const [above, below] = [old + size, old - size].map((moved) => ((row[k] = moved), errorOf(exact)));
        row[k] = old;
        const measured = (above - below) / (2 * size);
        difference = Math.max(difference, Math.abs(measured - gradient[k]));
        largest = Math.max(largest, Math.abs(measured));
        yield found;
      }
    }
    found.push({ difference, relative: largest > 0 ? difference / largest : difference });
  }
  return found;
}

const pathCount = (layers, l) => layers.slice(l + 1).reduce((count, layer) => count * layer.weight.length, 1);

/** The first paths from a neuron to the outputs, each a list of neurons, from the layer above it upwards. */
function pathsAbove(layers, l, most) {
  let paths = [[]];
  for (const { weight } of layers.slice(l + 1)) {
    paths = paths.flatMap((path) => weight.map((_, i) => [...path, i]).slice(0, most)).slice(0, most);
  }
  return paths;
}

/** Run a generator to its end, with a pause for the browser whenever it has taken a while. */
async function inPieces(generator, isStale = () => false) {
  let pauseAt = performance.now() + 40;
  for (;;) {
    const { value, done } = generator.next();
    if (done || isStale()) return value;
    if (performance.now() > pauseAt) {
      await new Promise((resume) => setTimeout(resume));
      pauseAt = performance.now() + 40;
    }
  }
}
