// Plans as scaleplan makes them: the law, the best split of a budget, its interval, and what it takes on hardware.
// Each part follows the module of the same task in Python, step by step, so that both agree to the last digits.
"use strict";

const Planner = (() => {
  const EDGE = 1e-12, TOUCH = 1e-9, MOST_FLOPS = 1e60, HOUR = 3600;

  const limited = (value, low, high) => Math.max(Math.min(value, high), low);
  const power = (base, exponent) => Math.pow(base, exponent);

  function nearest(value) { // the even one of two, as in Python
    if (!Number.isFinite(value)) return value;
    const below = Math.floor(value), rest = value - below;
    return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
  }

  class Refused extends Error {}

  // ---- laws (scaleplan.laws) ------------------------------------------------------------------------------

  class PowerLaw { // E + (A/N^alpha + B/D^beta)^gamma
    constructor(coefficients) {
      Object.assign(this, coefficients);
      const { A, B, alpha, beta } = this;
      this.balance = power((alpha * A) / (beta * B), 1 / (alpha + beta));
      this.floor = this.E;
      this.likelyRatios = [0, Infinity];
    }

    reducible(params, tokens) {
      const sum = this.A * power(params, -this.alpha) + this.B * power(tokens, -this.beta);
      return this.gamma === 1 ? sum : power(sum, this.gamma);
    }

    aim(params, tokens) { return this.reducible(params, tokens); }

    bestSplit(product) {
      const params = this.balance * power(product, this.beta / (this.alpha + this.beta));
      return [params, product / params];
    }

    expansionPath() {
      const rise = this.beta / this.alpha;
      return [power(this.balance, 1 + rise), rise];
    }
  }

  const HALF = 0.7, REGULA_STEPS = 100, SETTLED = 1e-13, FARTHEST = 128;
  const NODES = (() => { // Gauss and Legendre's rule of five points
    const far = 2 * Math.sqrt(10 / 7), root = 13 * Math.sqrt(70);
    const inner = Math.sqrt(5 - far) / 3, outer = Math.sqrt(5 + far) / 3;
    const [a, b] = [(322 + root) / 1800, (322 - root) / 1800];
    return [[0, 128 / 450], [-inner, a], [inner, a], [-outer, b], [outer, b]];
  })();

  class Forecast { // the law of a fit with its posterior, which scaleplan.laws.forecast explains
    constructor({ law, span, terms, weights, root, noise, path }) {
      Object.assign(this, { law, span, terms, weights, root, noise, path, floor: 0 });
      this.logs = [Math.log(law.A), Math.log(law.B)];
      this.degrees = [0, 1].map((side) => Math.max(...terms.map((term) => term[side])));
      this.likelyRatios = [Math.exp(span[2]), Math.exp(span[3])];
      this.scales = [
        0.5 * (span[0] + span[1]), 2 / (span[1] - span[0]), 0.5 * (span[2] + span[3]), 2 / (span[3] - span[2]),
      ];
      this.averaging = this.shifted(NODES.map(([place]) => HALF * place));
      this.halves = this.shifted([-HALF, HALF]);
      this.rows = this.powersOfTerms();
      this.growth = this.growthBeyond();
    }

    shifted(shifts) {
      return shifts.map((shift) => [Math.exp(-this.law.alpha * shift), Math.exp(this.law.beta * shift)]);
    }

    powersOfTerms() {
      const powers = this.degrees.map(chebyshev);
      const rows = Array.from({ length: this.degrees[0] + 1 }, () => Array(this.degrees[1] + 1).fill(0));
      this.terms.forEach(([i, j], at) => {
        powers[0][i].forEach((left, p) => powers[1][j].forEach((right, q) => {
          rows[p][q] += this.weights[at] * left * right;
        }));
      });
      return rows.reverse();
    }

    laws(x, y, factors) {
      const { E, alpha, beta, gamma } = this.law;
      let size = this.logs[0] - alpha * x, data = this.logs[1] - beta * y;
      const top = Math.max(size, data);
      const scale = Math.exp(gamma * top);
      size = Math.exp(size - top);
      data = Math.exp(data - top);
      return factors.map(([one, other]) => Math.log(E + scale * power(size * one + data * other, gamma)));
    }

    columnsAt(u) {
      const s = limited((u - this.scales[0]) * this.scales[1], -1, 1);
      let columns = [...this.rows[0]];
      for (const row of this.rows.slice(1)) columns = columns.map((column, i) => column * s + row[i]);
      return columns.reverse();
    }

    along(columns, v) { return polynomial(columns, limited((v - this.scales[2]) * this.scales[3], -1, 1)); }

    logLoss(params, tokens) {
      const x = Math.log(params), y = Math.log(tokens);
      return this.laws(x, y, [[1, 1]])[0] + this.along(this.columnsAt(x + y), y - x);
    }

    reducible(params, tokens) { return Math.exp(this.logLoss(params, tokens)); }

    averaged(params, tokens) {
      const x = Math.log(params), y = Math.log(tokens), [, , middle, factor] = this.scales;
      const values = this.laws(x, y, this.averaging);
      const law = NODES.reduce((sum, [, weight], i) => sum + weight * values[i], 0);
      const columns = this.columnsAt(x + y), t = (y - x - middle) * factor, half = 2 * HALF * factor;
      return [law, (integral(columns, t + half) - integral(columns, t - half)) / (2 * half)];
    }

    aim(params, tokens) {
      const [law, correction] = this.averaged(params, tokens);
      return Math.exp(law + correction);
    }

    basis(params, tokens) {
      const x = Math.log(params), y = Math.log(tokens), [u, byU, v, byV] = this.scales;
      const places = [limited((x + y - u) * byU, -1, 1), limited((y - x - v) * byV, -1, 1)];
      const powers = places.map((place, side) => {
        const values = [1, place];
        while (values.length <= this.degrees[side]) values.push(2 * place * values.at(-1) - values.at(-2));
        return values;
      });
      return this.terms.map(([i, j]) => powers[0][i] * powers[1][j]);
    }

    averagedBasis(params, tokens) {
      const total = this.terms.map(() => 0);
      for (const [place, weight] of NODES) {
        const shift = Math.exp(HALF * place);
        this.basis(params * shift, tokens / shift).forEach((value, i) => { total[i] += weight * value; });
      }
      return total;
    }

    spread(row) {
      let total = 0;
      for (let j = 0; j < row.length; j += 1) {
        let part = 0;
        for (let i = j; i < row.length; i += 1) part += this.root[i][j] * row[i];
        total += part * part;
      }
      return Math.sqrt(total);
    }

    deviationAt(u, v) { return this.spread(this.basis(Math.exp(0.5 * (u - v)), Math.exp(0.5 * (u + v)))); }

    deviation(params, tokens) {
      const x = Math.log(params), y = Math.log(tokens), [lowU, highU, lowV, highV] = this.span;
      const u = x + y, v = y - x;
      const known = this.deviationAt(limited(u, lowU, highU), limited(v, lowV, highV));
      const [below, above, few, many] = this.growth;
      const wider = known + above * Math.max(u - highU, 0) + below * Math.max(lowU - u, 0);
      return wider + many * Math.max(v - highV, 0) + few * Math.max(lowV - v, 0);
    }

    growthBeyond() {
      const [lowU, highU, lowV, highV] = this.span;
      const fastest = (edge, width, at) => Math.max(...[0.1, 0.3, 0.5, 0.7, 0.9].map((share) => {
        const known = this.deviationAt(...at(edge, share));
        const inner = this.deviationAt(...at(edge - Math.sign(width), share));
        return Math.max(known - inner, known / Math.abs(width));
      }));
      const byProduct = (u, share) => [u, lowV + share * (highV - lowV)];
      const byRatio = (v, share) => [lowU + share * (highU - lowU), v];
      return [
        fastest(lowU, lowU - highU, byProduct), fastest(highU, highU - lowU, byProduct),
        fastest(lowV, lowV - highV, byRatio), fastest(highV, highV - lowV, byRatio),
      ];
    }

    vouches(params, tokens) {
      const u = Math.log(params) + Math.log(tokens), v = Math.log(tokens) - Math.log(params);
      const [lowU, highU, lowV, highV] = this.span;
      return lowU <= u && u <= highU && lowV + 2 * HALF <= v && v <= highV - 2 * HALF;
    }

    bestSplit(product) {
      const k = Math.log(product), columns = this.columnsAt(k);
      const mean = (x) => this.laws(x, k - x, [[1, 1]])[0] + this.along(columns, k - 2 * x);
      const tilt = (x) => {
        const [smaller, larger] = this.laws(x, k - x, this.halves), v = k - 2 * x;
        return larger - smaller + this.along(columns, v - 2 * HALF) - this.along(columns, v + 2 * HALF);
      };
      const averaged = (x) => this.averaged(Math.exp(x), Math.exp(k - x)).reduce((law, more) => law + more);
      const start = 0.5 * (k - this.span[3]);
      const count = Math.max(Math.ceil((0.5 * (this.span[3] - this.span[2])) / HALF), 3);
      const means = Array.from({ length: count + 1 }, (_, i) => mean(start + i * HALF));
      const tilts = means.slice(2).map((after, i) => after - means[i]);
      const found = [];
      for (let i = 1; i < tilts.length; i += 1) {
        if (tilts[i - 1] < 0 && tilts[i] >= 0) {
          found.push(crossing(tilt, start + i * HALF, start + (i + 1) * HALF, tilts[i - 1], tilts[i]));
        }
      }
      if (tilts[0] >= 0) found.push(outward(tilt, start + HALF, -1));
      if (tilts.at(-1) < 0) found.push(outward(tilt, start + tilts.length * HALF, 1));
      const params = Math.exp(lowest(found, averaged));
      return [params, product / params];
    }

    expansionPath() { return this.path; }
  }

  const lowest = (places, value) => {
    const values = places.map(value);
    return places[values.indexOf(Math.min(...values))];
  };

  const polynomial = (columns, t) => columns.slice(1).reduce((total, column) => total * t + column, columns[0]);

  function integral(columns, t) {
    const edge = limited(t, -1, 1), count = columns.length;
    const within = edge * polynomial(columns.map((column, i) => column / (count - i)), edge);
    return t === edge ? within : within + polynomial(columns, edge) * (t - edge);
  }

  function chebyshev(degree) {
    const found = [[1], [0, 1]];
    while (found.length <= degree) {
      const doubled = [0, ...found.at(-1).map((value) => 2 * value)], before = found.at(-2);
      found.push(doubled.map((value, i) => value - (before[i] ?? 0)));
    }
    return found;
  }

  function crossing(rising, low, high, atLow, atHigh) { // regula falsi, Illinois
    let place = low, side = 0;
    for (let step = 0; step < REGULA_STEPS; step += 1) {
      const last = place;
      place = high - (atHigh * (high - low)) / Math.max(atHigh - atLow, Number.MIN_VALUE);
      const value = rising(place);
      if (value >= 0) [atLow, atHigh, high, side] = [side > 0 ? 0.5 * atLow : atLow, value, place, 1];
      else [atHigh, atLow, low, side] = [side < 0 ? 0.5 * atHigh : atHigh, value, place, -1];
      if (!(Math.abs(place - last) > SETTLED)) break;
    }
    return place;
  }

  function outward(tilt, edge, sign) {
    const rise = (way) => sign * tilt(edge + sign * way);
    let [near, far, step] = [0, 0.5, 0.5], [atNear, atFar] = [rise(0), rise(0.5)];
    while (step < FARTHEST && atFar < 0) {
      step *= 2;
      [near, atNear, far] = [far, atFar, far + step];
      atFar = rise(far);
    }
    return edge + sign * (atFar < 0 ? far : crossing(rise, near, far, Math.min(atNear, 0), Math.max(atFar, 0)));
  }

  // ---- what compute buys (scaleplan.laws.base.Cost) ---------------------------------------------------------

  class Cost {
    constructor(terms) {
      Object.assign(this, terms);
      this.isProduct = !this.perToken && !this.perParam && !this.routing && this.exponent === 1;
    }

    get training() { return this.perParam ? new Cost({ ...this, perParam: 0 }) : this; }

    each(params) {
      const size = this.exponent === 1 ? params : power(params, this.exponent);
      const each = this.perParamToken * size + this.perToken;
      return this.routing ? each + this.routing * power(params, 2 / 3) : each;
    }

    flops(params, tokens) { return this.each(params) * tokens + this.perParam * params; }

    tokens(params, flops) { return (flops - this.perParam * params) / this.each(params); }

    params(tokens, flops) {
      if (this.exponent !== 1) {
        const bought = (flops - this.perToken * tokens) / (this.perParamToken * tokens);
        const size = power(Math.max(bought, 0), 1 / this.exponent);
        return this.routing || this.perParam ? this.shrunk(size, flops, () => tokens) : size;
      }
      const size = (flops - this.perToken * tokens) / (this.perParamToken * tokens + this.perParam);
      return this.routing ? this.shrunk(size, flops, () => tokens) : size;
    }

    paramsAtRatio(ratio, flops) {
      if (this.exponent !== 1) {
        const size = power(flops / (this.perParamToken * ratio), 1 / (1 + this.exponent));
        const simple = !this.routing && !this.perToken && !this.perParam;
        return simple ? size : this.shrunk(size, flops, (params) => ratio * params);
      }
      const linear = this.perToken * ratio + this.perParam;
      const root = Math.sqrt(linear * linear + 4 * this.perParamToken * ratio * flops);
      const size = (2 * flops) / (linear + root);
      return this.routing ? this.shrunk(size, flops, (params) => ratio * params) : size;
    }

    shrunk(size, flops, tokens) {
      let [low, high] = [0, Math.max(size, 0)];
      for (let i = 0; i < 120; i += 1) {
        const middle = 0.5 * (low + high);
        if (this.flops(middle, tokens(middle)) <= flops) low = middle; else high = middle;
      }
      return low + Math.min(size, 0);
    }
  }

  // ---- the sizes and tokens to choose among (scaleplan.planning.problem) -------------------------------------

  const NAMES = ["params", "tokens", "tokens_per_param", "flops", "total", "loss"];
  const holds = ([low, high], value) => low * (1 - EDGE) <= value && value <= high * (1 + EDGE);

  function boundsOf(parts) {
    const bounds = Object.fromEntries(NAMES.map((name) => [name, [0, Infinity]]));
    bounds.params = [1, Infinity];
    bounds.tokens = [1, Infinity];
    for (const { name, low, high } of parts) {
      bounds[name] = [Math.max(bounds[name][0], low), Math.min(bounds[name][1], high)];
    }
    return bounds;
  }

  class Problem {
    constructor(law, cost, bounds, maps) {
      Object.assign(this, { law, cost, bounds });
      this.maps = maps.map((map) => (map.unique ? repeated(map, law) : scaled(map)));
      this.most = [0, 1].map((side) => this.maps.reduce((most, map) => most * map.most[side], 1));
    }

    counted(params, tokens) { return this.maps.reduce((at, map) => map.apply(...at), [params, tokens]); }

    aim(params, tokens) { return this.law.aim(...this.counted(params, tokens)); }

    loss(params, tokens) { return this.law.floor + this.law.reducible(...this.counted(params, tokens)); }

    holds(params, tokens) {
      const { params: sizes, tokens: data, tokens_per_param: ratios, flops } = this.bounds;
      return holds(sizes, params) && holds(data, tokens) && holds(ratios, tokens / params)
        && holds(flops, this.cost.training.flops(params, tokens));
    }

    undiminished(params, tokens) {
      const [size, data] = this.counted(params, tokens);
      return size >= params * (this.most[0] * (1 - EDGE)) && data >= tokens * (this.most[1] * (1 - EDGE));
    }

    closedForm(flops) {
      if (!this.cost.isProduct) return null;
      const [size, data] = this.most;
      const split = this.law.bestSplit((flops / this.cost.perParamToken) * (size * data));
      return [split[0] / size, split[1] / data];
    }

    mostTokens(params, flops) {
      const { tokens, tokens_per_param: ratio, flops: trained } = this.bounds;
      let most = Math.min(this.cost.tokens(params, flops), tokens[1]);
      if (ratio[1] < Infinity) most = Math.min(most, ratio[1] * params);
      if (trained[1] < Infinity) most = Math.min(most, this.cost.training.tokens(params, trained[1]));
      return Math.max(most, tokens[0]);
    }

    leastTokens(params) {
      const { tokens, tokens_per_param: ratio, flops } = this.bounds;
      const least = Math.max(ratio[0] * params, tokens[0]);
      return flops[0] === 0 ? least : Math.max(least, this.cost.training.tokens(params, flops[0]));
    }

    minParams() {
      const { params, tokens, tokens_per_param: ratio, flops } = this.bounds, training = this.cost.training;
      if ([params, tokens, ratio, flops].some(([low, high]) => low > high * (1 + EDGE))) return Infinity;
      const sizes = [params[0], 1, tokens[0] / ratio[1]];
      if (flops[0] > 0 && tokens[1] < Infinity) sizes.push(Math.max(training.params(tokens[1], flops[0]), 1e-300));
      if (flops[0] > 0 && ratio[1] < Infinity) sizes.push(training.paramsAtRatio(ratio[1], flops[0]));
      return Math.max(...sizes);
    }

    maxParams(flops) {
      const { params, tokens, tokens_per_param: ratio, flops: trained } = this.bounds, training = this.cost.training;
      let size = Math.min(this.cost.params(tokens[0], flops), params[1]);
      if (ratio[0] > 0) size = Math.min(size, this.cost.paramsAtRatio(ratio[0], flops), tokens[1] / ratio[0]);
      if (trained[1] < Infinity) {
        size = Math.min(size, training.params(tokens[0], trained[1]));
        if (ratio[0] > 0) size = Math.min(size, training.paramsAtRatio(ratio[0], trained[1]));
      }
      if (trained[0] > 0) {
        const rest = flops - trained[0] * (1 - 0.5 * EDGE);
        size = Math.min(size, this.cost.perParam ? rest / this.cost.perParam : rest * Infinity);
      }
      return size;
    }

    sizes(flops) {
      const [least, most] = [this.minParams(), this.maxParams(flops)];
      if (!(least <= most * (1 + EDGE))) throw new Refused("no model satisfies the limits within this budget");
      return [least, Math.max(least, most)];
    }

    breakpoints(flops) {
      const { tokens, tokens_per_param: [, ratio], flops: [, most] } = this.bounds, training = this.cost.training;
      const levels = tokens[1] < Infinity ? [tokens[1]] : [], sizes = [];
      for (const map of this.maps) {
        const [params, data] = map.kinks();
        sizes.push(...params);
        levels.push(...data);
      }
      if (ratio < Infinity) sizes.push(...levels.map((level) => level / ratio));
      if (most < Infinity) sizes.push(...levels.map((level) => training.params(level, most)));
      if (ratio < Infinity && most < Infinity) sizes.push(training.paramsAtRatio(ratio, most));
      sizes.push(...levels.map((level) => this.cost.params(level, flops)));
      if (ratio < Infinity) sizes.push(this.cost.paramsAtRatio(ratio, flops));
      if (most < Infinity && this.cost.perParam) sizes.push((flops - most) / this.cost.perParam);
      if (this.maps.length) {
        const split = new Problem(this.law, training, this.bounds, []).withMaps(this).closedForm(Math.min(flops, most));
        if (split) sizes.push(split[0]);
      }
      return sizes;
    }

    withMaps(other) { return Object.assign(this, { maps: other.maps, most: other.most }); }

    whole(params, tokens, flops) {
      const below = Math.floor(params * (1 + EDGE));
      const held = this.mostTokens(below, flops) < this.cost.tokens(below, flops);
      let size = Math.min(held ? below : nearest(params), Math.floor(this.maxParams(flops) * (1 + EDGE)));
      size = Math.max(size, Math.ceil(Math.min(this.minParams(), MOST_FLOPS) * (1 - EDGE)));
      const [most, floor] = [this.mostTokens(size, flops), this.leastTokens(size)];
      const least = Math.max(nearest(floor), Math.ceil(floor * (1 - EDGE)));
      const count = Math.min(nearest(most), Math.floor(most * (1 + EDGE)));
      const lowest = tokens <= this.leastTokens(params) * (1 + TOUCH);
      return [size, Math.max(lowest ? least : count, least)];
    }
  }

  const scaled = ({ most }) => ({
    most, apply: (params, tokens) => [most[0] * params, most[1] * tokens], kinks: () => [[], []],
  });

  const worth = (repetitions, decay) => 1 + decay * (1 - Math.exp(-repetitions / decay));

  function repeated({ unique, decays }, law) { // scaleplan.planning.constraints.repetition
    const path = law.expansionPath(), [byTokens, byParams] = law.decays ?? decays;
    return {
      most: [1, 1],
      kinks: () => [path ? [path[0] * power(unique, path[1])] : [], [unique]],
      apply(params, tokens) {
        const once = Math.min(tokens, unique), effective = once * worth(tokens / once - 1, byTokens);
        if (!path) return [params, effective];
        const usable = Math.min(params, path[0] * power(once, path[1]));
        return [usable * worth(params / usable - 1, byParams), effective];
      },
    };
  }

  // ---- the best split (scaleplan.planning.solver) ------------------------------------------------------------

  const STEP = 0.25, GOLDEN = (Math.sqrt(5) - 1) / 2, ROUNDING = 4e-16, ROUGH = 1e-3, FINE = 1e-9, NEAR = 1e-5;
  const POLISHED = 1e-8, NEARBY = 1.5;

  function solve(problem, flops, near = null, likely = true) {
    const split = problem.closedForm(flops);
    if (split && problem.holds(...split) && (!problem.maps.length || problem.undiminished(...split))) return split;
    const [low, high] = problem.sizes(flops);
    const aim = (params) => problem.aim(params, problem.mostTokens(params, flops));
    let [start, stop] = [low, high];
    if (near !== null && low < near && near < high) {
      [start, stop] = [Math.max(low, near * Math.exp(-NEARBY)), Math.min(high, near * Math.exp(NEARBY))];
    } else if (likely && problem.law.likelyRatios[1] < Infinity) {
      const [few, many] = problem.law.likelyRatios;
      [start, stop] = [many, few].map((ratio) => problem.cost.paramsAtRatio(ratio, flops));
      [start, stop] = [Math.min(Math.max(start, low), high), Math.max(Math.min(stop, high), low)];
    }
    const kinks = problem.breakpoints(flops).filter((size) => start < size && size < stop);
    const place = minimum((x) => aim(Math.exp(x)), Math.log(start), Math.log(stop), kinks.map(Math.log));
    let params = Math.exp(place);
    if ((start > low && params < start * 1.001) || (stop < high && params > stop / 1.001)) {
      return solve(problem, flops, null, near !== null);
    }
    params = limited(params, low, high);
    let least = aim(params);
    for (const exact of [low, high, ...kinks]) {
      if (Math.abs(Math.log(exact / params)) < 1e-6 && aim(exact) <= least * (1 + ROUNDING)) {
        [params, least] = [exact, aim(exact)];
      }
    }
    return [params, problem.mostTokens(params, flops)];
  }

  function minimum(objective, low, high, nodes) {
    if (high - low < 1e-15 * Math.max(1, Math.abs(low))) return low;
    const number = Math.max(16, Math.ceil((high - low) / STEP)), step = (high - low) / number;
    const places = [...Array.from({ length: number }, (_, i) => low + i * step), high, ...nodes];
    places.sort((one, other) => one - other);
    const values = places.map(objective), last = places.length - 1;
    const valleys = [...values.keys()].filter(
      (i) => values[i] <= Math.min(values[Math.max(i - 1, 0)], values[Math.min(i + 1, last)]),
    );
    valleys.sort((one, other) => values[one] - values[other]);
    let [best, bestValue] = [places[valleys[0]], values[valleys[0]]];
    for (const i of valleys.slice(0, 4)) {
      if ((places[i] === low || places[i] === high) && i !== valleys[0]) continue;
      const cell = [places[Math.max(i - 1, 0)], places[Math.min(i + 1, last)]];
      let place = stationary(objective, golden(objective, ...cell, ROUGH), ...cell);
      let value = place === null ? Infinity : objective(place);
      if (value > values[i]) {
        place = golden(objective, ...cell, FINE);
        value = objective(place);
      }
      if (value < bestValue) [best, bestValue] = [place, value];
    }
    return best;
  }

  function golden(objective, low, high, width) {
    let [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
    let [atLeft, atRight] = [objective(left), objective(right)];
    while (high - low > width) {
      if (atLeft <= atRight) {
        [high, right, atRight] = [right, left, atLeft];
        left = high - GOLDEN * (high - low);
        atLeft = objective(left);
      } else {
        [low, left, atLeft] = [left, right, atRight];
        right = low + GOLDEN * (high - low);
        atRight = objective(right);
      }
    }
    return lowest([low, high, 0.5 * (low + high)], objective);
  }

  function stationary(objective, place, low, high) {
    const width = Math.min(2e-3, 0.25 * (place - low), 0.25 * (high - place));
    if (width < 1e-6) return null;
    let move = 0;
    for (let i = 0; i < 6; i += 1) {
      const [above, below] = [objective(place + width), objective(place - width)];
      const far = objective(place + 2 * width) - objective(place - 2 * width);
      const slope = (8 * (above - below) - far) / (12 * width);
      const bend = (above - 2 * objective(place) + below) / width ** 2;
      if (!(bend > 0)) return null;
      move = slope / bend;
      if (Math.abs(move) > width) return null;
      place -= move;
      if (Math.abs(move) < 1e-12) break;
    }
    const smooth = Math.min(objective(place - NEAR), objective(place + NEAR)) > objective(place);
    return smooth && Math.abs(move) < POLISHED ? place : null;
  }

  // ---- intervals (scaleplan.planning.uncertainty and posterior) -----------------------------------------------

  const MOST_REACH = 230, MOVED = 0.01;

  function around(value, reach) {
    reach = Math.min(reach, MOST_REACH);
    return [value * Math.exp(-reach), value * Math.exp(reach)];
  }

  function backtestError({ factors, rms }, factor) {
    const points = factors.map((at, i) => [Math.log(at), rms[i]]).sort((one, other) => one[0] - other[0]);
    const place = Math.log(factor), last = points.at(-1);
    let known = points[0][1];
    for (let i = 1; i < points.length; i += 1) {
      const share = limited((place - points[i - 1][0]) / (points[i][0] - points[i - 1][0]), 0, 1);
      known += (points[i][1] - points[i - 1][1]) * share;
    }
    const slope = (last[1] - points[0][1]) / Math.max(last[0] - points[0][0], Math.log(2));
    return known + Math.max(slope, 0) * Math.max(place - last[0], 0);
  }

  // The delta method: the plan of each law that one direction of the covariance moves, and the spread of them all.
  function movedInterval({ moved, sigmas, stretch, backtest }, outcome, factor) {
    const coordinates = ([params, tokens, loss]) => [params, tokens, tokens / params, loss].map(Math.log);
    const squares = [0, 0, 0, 0];
    for (const [up, down] of moved.pairs) {
      const [above, below] = [coordinates(outcome(up)), coordinates(outcome(down))];
      squares.forEach((_, i) => { squares[i] += ((stretch * (above[i] - below[i])) / (2 * MOVED)) ** 2; });
    }
    if (backtest) squares[3] += backtestError(backtest, factor) ** 2;
    const [params, tokens, loss] = outcome(moved.centre);
    const reach = squares.map((square) => sigmas * Math.sqrt(square));
    return {
      params: around(params, reach[0]), tokens: around(tokens, reach[1]),
      tokensPerParam: around(tokens / params, reach[2]), loss: around(loss, reach[3]),
    };
  }

  function quantile(values, probability) {
    const ordered = [...values].sort((one, other) => one - other), place = probability * (ordered.length - 1);
    const below = Math.floor(place), above = Math.min(below + 1, ordered.length - 1);
    return ordered[below] + (place - below) * (ordered[above] - ordered[below]);
  }

  // The middle of the plans of many draws of the coefficients.
  function drawnInterval({ draws, law, level, sigmas, stretch, backtest }, outcome, factor) {
    const plans = draws.map(outcome), [params, tokens, loss] = outcome(law);
    const wider = ([low, high], by, error = 0) => {
      if (by === 1 && !error) return [low, high];
      const half = by * 0.5 * Math.log(high / low);
      return around(Math.sqrt(low * high), error ? Math.sqrt(half ** 2 + error ** 2) : half);
    };
    const span = (value, of, error) => {
      const values = plans.map(of);
      const ends = wider([0.5 - level / 2, 0.5 + level / 2].map((tail) => quantile(values, tail)), stretch, error);
      return [Math.min(ends[0], value), Math.max(ends[1], value)];
    };
    return {
      params: span(params, (plan) => plan[0]), tokens: span(tokens, (plan) => plan[1]),
      tokensPerParam: span(tokens / params, (plan) => plan[1] / plan[0]),
      loss: span(loss, (plan) => plan[2], backtest ? sigmas * backtestError(backtest, factor) : 0),
    };
  }

  const LEAST_BEND = 1e-4, ASIDE = 1e-3, AT_BOUND = 1e-6, LEAST_SIZE = 1e-3;

  function slopeAt(problem, params, spent, middle) {
    const law = problem.law;
    const places = [-ASIDE, 0, ASIDE].map((shift) => {
      const size = params * Math.exp(middle + shift);
      return problem.counted(size, problem.mostTokens(size, spent));
    });
    const averages = places.map((place) => law.averaged(...place));
    const laws = averages.map(([alone]) => alone), means = averages.map(([alone, more]) => alone + more);
    const [lawBend, bend] = [laws, means].map(([below, here, above]) => (below - 2 * here + above) / ASIDE ** 2);
    const [first, last] = [law.averagedBasis(...places[0]), law.averagedBasis(...places[2])];
    return {
      slope: (means[2] - means[0]) / (2 * ASIDE) - middle * bend,
      error: law.spread(last.map((value, i) => (value - first[i]) / (2 * ASIDE))),
      bend: Math.max(lawBend, bend, LEAST_BEND),
    };
  }

  function endAt(problem, params, spent, kinks, known, side, sigmas) {
    const reachOf = ({ slope, error, bend }) => Math.max(sigmas * error - Math.max(side * slope, 0), 0) / bend;
    let [place, reach] = [params, reachOf(known)];
    for (const kink of kinks) {
      if (Math.abs(Math.log(kink / params)) > 2 * ASIDE) continue;
      const ahead = side * Math.log(kink / params) > 0 ? kink : params;
      [place, reach] = [ahead, reachOf(slopeAt(problem, ahead, spent, side * ASIDE))];
    }
    let end = around(place, reach)[side > 0 ? 1 : 0];
    for (const kink of kinks) {
      if (side * Math.log(kink / place) > 0 && side * Math.log(end / kink) > 0
        && reachOf(slopeAt(problem, kink, spent, side * ASIDE)) <= 0) end = kink;
    }
    return end;
  }

  function forecastInterval(problem, [params, tokens, loss], { sigmas }, spent) {
    const law = problem.law, place = problem.counted(params, tokens), error = law.deviation(...place);
    const found = {
      params: null, tokens: null, tokensPerParam: null,
      loss: around(loss, sigmas * Math.sqrt(error * error + law.noise ** 2)), expectedLoss: around(loss, sigmas * error),
    };
    const [smallest, largest] = [problem.minParams(), problem.maxParams(spent)];
    if (largest <= smallest * (1 + AT_BOUND)) {
      const ratio = tokens / params;
      return { ...found, params: [params, params], tokens: [tokens, tokens], tokensPerParam: [ratio, ratio] };
    }
    if (!law.vouches(...place)) return found;
    const bounds = { ...problem.bounds, tokens: [0, problem.bounds.tokens[1]] };
    const path = new Problem(law, problem.cost, bounds, []).withMaps(problem);
    const kinks = problem.breakpoints(spent).map((kink) => Math.max(kink, LEAST_SIZE));
    const known = slopeAt(path, params, spent, 0);
    const [low, high] = [-1, 1].map((side) => endAt(path, params, spent, kinks, known, side, sigmas));
    const sizes = [Math.max(low, Math.min(smallest, params)), Math.min(high, Math.max(largest, params))];
    const most = problem.mostTokens(params, spent);
    const data = sizes.map((size) => tokens * (problem.mostTokens(size, spent) / most));
    const sorted = ([one, other]) => [Math.min(one, other), Math.max(one, other)];
    return {
      ...found, params: sizes, tokens: sorted(data), tokensPerParam: sorted(data.map((amount, i) => amount / sizes[i])),
    };
  }

  // ---- hardware (scaleplan.hardware) ---------------------------------------------------------------------------

  function defaultUtilisation(rule, params) {
    const [, level] = rule.levels.findLast(([from]) => params >= from);
    let mfu = level / (1 + Math.sqrt(rule.waste / params));
    for (const factor of rule.factors) mfu *= factor;
    return Number(mfu.toPrecision(rule.digits)) * rule.goodput;
  }

  // The utilisation that agrees with the size of the model that it pays for.
  function consistent(rule, paramsAt) {
    let assumed = defaultUtilisation(rule, 7e9), low = 0, high = Infinity, safe = null;
    for (let round = 0; round < 200; round += 1) {
      const reached = defaultUtilisation(rule, paramsAt(assumed));
      if (Math.abs(reached - assumed) <= 1e-12 * Math.max(reached, assumed)) return reached;
      if (reached > assumed) [low, safe] = [assumed, assumed]; else high = assumed;
      if (low && high / low < 1 + 1e-9) break;
      assumed = low < reached && reached < high ? reached : Math.sqrt(low * high);
    }
    return safe ?? assumed;
  }

  // ---- the plan (scaleplan.planning.planner) -------------------------------------------------------------------

  class Question {
    constructor(data) {
      Object.assign(this, data);
      const law = (coefficients) => new PowerLaw(coefficients);
      this.surface = data.forecast ? new Forecast({ ...data.forecast, law: law(data.law) }) : law(data.law);
      if (data.moved) {
        this.moved = { centre: law(data.moved.centre), pairs: data.moved.pairs.map((pair) => pair.map(law)) };
      }
      if (data.draws) this.draws = data.draws.map(law);
      const open = (end) => end ?? Infinity;
      this.limits = data.limits.map((limit) => ({ ...limit, high: open(limit.high) }));
    }

    // The problem at some rates: what the limits in hours and money come to in FLOP, and what inference costs.
    problem(rates, tokens, law = this.surface) {
      const parts = this.limits.map(({ name, quantity, low, high }) => {
        let unit = 1;
        if (["gpu_hours", "days", "energy_kwh", "cost"].includes(quantity)) {
          unit = rates.utilisation / this.hardware.utilisation;
          if (quantity === "cost") unit *= this.hardware.price / rates.price;
        }
        return { name, low: low * unit, high: high * unit };
      });
      if (tokens !== null) parts.push({ name: "tokens", low: tokens, high: tokens });
      return new Problem(law, this.costAt(rates), boundsOf(parts), this.maps);
    }

    costAt({ utilisation, price }) {
      if (!this.inference) return new Cost(this.cost);
      const { tokens, mfu, price: served } = this.inference;
      const weight = mfu === null ? 1 : (utilisation / mfu) * (served === null ? 1 : served / price);
      return new Cost({ ...this.cost, perParam: this.cost.perParam + 2 * weight * tokens });
    }

    best(problem, flops, near = null) {
      const [params, tokens] = solve(problem, flops, near);
      return [params, tokens, problem.loss(params, tokens)];
    }

    // The compute of a budget, with its rates.
    resolve({ form, amount, price }, tokens) {
      const device = this.hardware;
      if (!device) return { flops: amount, rates: {} };
      const hours = (utilisation) => ({
        flops: () => amount / (device.peak * utilisation * HOUR),
        gpu_hours: () => amount,
        cost: () => amount / price,
        days: () => (device.gpus * (amount * 86400)) / HOUR,
      })[form]();
      const flopsAt = (utilisation) => (
        form === "flops" ? amount : hours(utilisation) * HOUR * device.peak * utilisation
      );
      const paramsAt = (utilisation) => {
        const problem = this.problem({ utilisation, price }, tokens);
        const found = this.best(problem, Math.min(flopsAt(utilisation), problem.bounds.total[1]))[0];
        return device.working ?? found / device.counted;
      };
      let utilisation = device.utilisation;
      if (device.rule) {
        utilisation = form === "flops" && !this.byHardware
          ? defaultUtilisation(device.rule, paramsAt(utilisation)) : consistent(device.rule, paramsAt);
      }
      const paid = hours(utilisation);
      const cost = form === "cost" ? amount : price === null ? null : paid * price;
      return { flops: flopsAt(utilisation), rates: { utilisation, price }, hours: paid, cost };
    }

    // The plan of a budget; ``tokens`` fixes them, null leaves them to the law.
    optimal(budget, tokens = null) {
      const paid = this.resolve(budget, tokens), { flops, rates } = paid;
      if (!(flops >= 1 && flops <= MOST_FLOPS)) throw new Refused("this budget is beyond any run");
      const problem = this.problem(rates, tokens), { bounds, cost } = problem;
      const spent = Math.min(flops, bounds.total[1]);
      const split = this.best(problem, spent);
      if (split[2] > bounds.loss[1] * (1 + EDGE)) throw new Refused("a limit on the loss is not met by this budget");
      this.requireSupported(split, tokens !== null);
      const [params, data] = problem.whole(split[0], split[1], spent), loss = problem.loss(params, data);
      if (!(Math.min(params, data) >= this.least && Math.max(params, data) <= this.most)) {
        throw new Refused("no run has so few or so many parameters or tokens");
      }
      const used = cost.flops(split[0], split[1]), slack = used < flops * (1 - 1e-9);
      let trained = flops;
      if (slack || this.inference) trained = Math.min(used - cost.perParam * params, bounds.flops[1]);
      const share = slack || this.inference ? trained / flops : 1;
      const interval = this.interval(problem, [params, data, loss], rates, tokens, spent, split[0], trained);
      const plain = !this.limits.length && tokens === null && !this.inference && !this.maps.some((map) => map.scarce);
      const free = plain ? null : this.unbounded(trained);
      const budgeted = {};
      if (this.hardware) {
        budgeted.gpuHours = paid.hours * share;
        budgeted.days = this.hardware.gpus === null ? null : (paid.hours / this.hardware.gpus / 24) * share;
        budgeted.cost = paid.cost === null ? null : paid.cost * share;
      }
      return {
        flops: trained, params, tokens: data, tokensPerParam: data / params, loss, interval,
        excessLoss: free === null ? 0 : Math.max(0, split[2] - free[2]), optimum: split,
        utilisation: rates.utilisation ?? null, ...budgeted,
      };
    }

    unbounded(flops) {
      const problem = new Problem(
        this.surface, new Cost(this.cost), boundsOf([]), this.maps.filter((map) => !map.scarce),
      );
      return this.best(problem, flops);
    }

    interval(problem, plan, rates, tokens, spent, near, flops) {
      let found = null;
      if (this.surface instanceof Forecast) found = forecastInterval(problem, plan, this, spent);
      else if (this.moved || this.draws) {
        const outcome = (law) => this.best(this.problem(rates, tokens, law), spent, near);
        const factor = this.largestRun === null ? 1 : flops / this.largestRun;
        found = this.draws
          ? drawnInterval({ ...this, law: this.surface }, outcome, factor) : movedInterval(this, outcome, factor);
      }
      if (found === null) return null;
      for (const name of ["params", "tokens"]) found[name] = found[name] && found[name].map(nearest);
      return found;
    }

    requireSupported([params, tokens], given) {
      const ratio = tokens / params, [low, high] = this.ratios;
      if (given || (low <= ratio && ratio <= (high ?? Infinity)) || this.limits.length) return;
      throw new Refused(`the law puts the optimum at ${ratio.toPrecision(3)} tokens per parameter, far from its runs`);
    }

    // The plan of a setting of the page: a budget, and the share of the best plan's tokens that is trained on.
    plan({ form, amount, price, share }) {
      const budget = { form, amount, price: price ?? null }, best = this.optimal(budget);
      return share === 1 ? best : this.optimal(budget, nearest(share * best.optimum[1]));
    }
  }

  return { Question, Refused };
})();
