// The section "What if" of a report: its controls, and the plan that they ask for, computed by planner.js.
"use strict";

(() => {
  const section = document.getElementById("what-if");
  const data = JSON.parse(document.getElementById("question").textContent);
  const question = new Planner.Question(data);
  const part = (name) => document.getElementById(`what-if-${name}`);
  const controls = ["budget", "share", "price"].filter((name) => part(name));
  const form = part("form");
  const started = { form: data.form, budget: data.amounts[data.form], share: 1, price: data.price };
  let middle = { ...started }; // what the middle of each slider stands for

  // ---- numbers as text, as scaleplan.units.format has them ----

  function rounded(value, digits) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    return [mantissa, Number(power)];
  }

  function plain(value, digits = 3) {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const [mantissa, power] = rounded(value, digits);
    if (power < -4 || power >= 6) return `${mantissa}e${power}`;
    const decimals = Math.max(0, digits - 1 - power);
    return Number(`${mantissa}e${power}`).toLocaleString("en-US", {
      minimumFractionDigits: decimals, maximumFractionDigits: decimals,
    });
  }

  function scaled(value, units) {
    if (!(value > 0)) return String(value);
    const [mantissa, power] = rounded(value, 3);
    const fitting = units.findLast(([, shift]) => shift <= power);
    const [name, shift] = fitting && power - fitting[1] < 6 ? fitting : units[0];
    return `${plain(Number(`${mantissa}e${power - shift}`))}${name}`;
  }

  const large = (value) => scaled(value, [["", 0], ["M", 6], ["B", 9], ["T", 12]]);
  const count = (value) => scaled(value, [["", 0], ["k", 3], ["M", 6], ["B", 9], ["T", 12]]);
  const cents = (value) => (value >= 0.1 && value < 99.995 ? value.toFixed(2) : large(value));
  const money = (value) => (data.currency === "USD" ? `$${cents(value)}` : `${large(value)} ${data.currency}`);

  function flops(value) {
    const [mantissa, power] = rounded(value, 3);
    return `${mantissa.replace(/\.?0+$/, "")}e${power} FLOP`;
  }

  function time(days) {
    const [unit, length] = [["years", 365.25], ["days", 1], ["hours", 1 / 24], ["minutes", 1 / 1440]]
      .find(([name, least]) => days >= (name === "years" || name === "minutes" ? 2 : 1) * least)
      ?? ["seconds", 1 / 86400];
    return `${plain(days / length)} ${unit}`;
  }

  const written = {
    params: count, tokens: count, tokensPerParam: plain, loss: (value) => plain(value, 4), excessLoss: plain, flops,
    gpuHours: large, days: time, cost: money,
  };
  const amountText = {
    flops, gpu_hours: (hours) => `${large(hours)} GPU-hours`, days: time, cost: money,
    share: (share) => `${plain(share)} times the optimal tokens`, price: (price) => `${money(price)} an hour`,
  };
  const textOf = (name, state) => amountText[name === "budget" ? state.form : name](state[name]);

  // ---- the controls ----

  // a converted price has more digits than a field should show; what it shows at first stands for all of them
  const shown = (name, amount) => String(name === "price" ? Number(amount.toPrecision(6)) : amount);

  function settings() {
    const state = { ...started, form: form.value };
    for (const name of controls) state[name] = Number(part(name).value);
    if (started.price && part("price")?.value === shown("price", started.price)) state.price = started.price;
    return state;
  }

  function show(name, amount) {
    part(name).value = shown(name, amount);
    part(`${name}-slider`).value = String(Math.log10(amount / middle[name]));
  }

  function slid(name) { // three digits do for a slider; its middle is exact
    const way = Number(part(`${name}-slider`).value);
    part(name).value = way === 0 ? shown(name, middle[name]) : String(Number((middle[name] * 10 ** way).toPrecision(3)));
    update();
  }

  function typed(name) {
    const slider = part(`${name}-slider`), amount = Number(part(name).value);
    if (amount > 0) slider.value = String(Math.log10(amount / middle[name]));
    update();
  }

  function changeForm() {
    const amount = form.value === started.form ? started.budget : Number(data.amounts[form.value].toPrecision(6));
    middle = { ...middle, budget: amount };
    show("budget", amount);
    update();
  }

  function reset() {
    middle = { ...started };
    form.value = started.form;
    for (const name of controls) show(name, started[name]);
    update();
  }

  // ---- the results ----

  function bare(low, high) { // a unit that both ends of a range have stands once
    const [number, unit] = low.split(" ");
    return unit && unit === high.split(" ")[1] ? number : low;
  }

  function fill(name, value, ends, level) {
    const tile = part(`value-${name}`), range = part(`range-${name}`);
    if (!tile) return;
    tile.value = value === null ? "" : String(value);
    tile.textContent = value === null ? "–" : written[name](value);
    tile.dataset.low = ends ? String(ends[0]) : "";
    tile.dataset.high = ends ? String(ends[1]) : "";
    const texts = ends ? ends.map((end) => written[name](end)) : [];
    range.textContent = texts[0] === texts[1] ? "" : `${level}: ${bare(...texts)} – ${texts[1]}`;
  }

  const names = { flops: "compute", params: "size", tokens: "tokens", tokensPerParam: "tokens per parameter" };

  function doubts(plan) { // how far the plan leaves the runs of its law, and an optimum that they do not vouch for
    const above = [], below = [], said = [];
    for (const [name, [least, most]] of Object.entries(data.fitted)) {
      if (plan[name] > most) above.push(`${plain(plan[name] / most, 2)}x the ${names[name]}`);
      if (plan[name] < least) below.push(`${plain(least / plan[name], 2)}x below the ${names[name]}`);
    }
    const listed = (parts) => (parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0]);
    const sides = [];
    if (above.length) sides.push(`${listed(above)} of the largest run`);
    if (below.length) sides.push(`${listed(below)} of the smallest`);
    if (sides.length) said.push(`Beyond what this law was fitted on: ${sides.join(", ")}.`);
    if (plan.interval && plan.interval.params === null) said.push("The runs of the law cannot vouch for this optimum.");
    return said.join(" ");
  }

  function commandOf(state, plan) { // what the program answers with the same plan
    const unit = data.currency === "USD" ? "" : ` ${data.currency}`;
    const quoted = (amount) => (unit ? `'${amount}${unit}'` : amount);
    const budget = {
      flops: `--flops ${state.budget}`, gpu_hours: `--gpu-hours ${state.budget}`, days: `--time ${state.budget}d`,
      cost: `--cost ${quoted(state.budget)}`,
    }[state.form];
    const price = data.givenPrice || state.price !== started.price ? ` --price ${quoted(state.price)}` : "";
    const tokens = state.share === 1 ? "" : ` --tokens ${plan.tokens}`;
    return `${data.command} ${budget}${data.price === null ? "" : price}${tokens}`;
  }

  const percent = (share) => `${plain(100 * share).replace(/\.0+$/, "")} %`;
  let spoken = 0;

  function say(text) { // once the controls have come to rest, so that a screen reader is not flooded
    window.clearTimeout(spoken);
    spoken = window.setTimeout(() => { part("summary").textContent = text; }, 300);
  }

  function update() {
    const state = settings(), wrong = controls.find((name) => !(state[name] > 0 && Number.isFinite(state[name])));
    for (const name of controls) {
      part(name).setAttribute("aria-invalid", String(name === wrong));
      if (state[name] > 0) part(`${name}-slider`).setAttribute("aria-valuetext", textOf(name, state));
    }
    const planned = Object.keys(started).every((name) => state[name] === started[name]);
    section.classList.toggle("as-planned", planned);
    let plan = null, problem = wrong ? `The ${wrong} is a number above 0.` : "";
    try {
      if (!wrong) plan = question.plan({ form: state.form, amount: state.budget, share: state.share, price: state.price });
    } catch (error) { // no numbers are better than those of the setting before
      const expected = error instanceof Planner.Refused;
      problem = expected ? `There is no such plan: ${error.message}.` : "This setting cannot be computed.";
      if (!expected) window.setTimeout(() => { throw error; });
    }
    part("problem").textContent = problem;
    part("doubt").textContent = plan === null ? "" : doubts(plan);
    for (const name of ["results", "command", "command-label"]) part(name).hidden = plan === null;
    if (plan === null) {
      say("");
      return;
    }
    part("command").firstElementChild.textContent = data.repricing || state.price === started.price
      ? commandOf(state, plan) : "none: a price takes the place of hardware of your own";
    const { band } = data.hardware ?? {}, level = percent(data.level), interval = plan.interval ?? {};
    const banded = (value) => (band && value !== null ? [value / band, value * band] : null);
    for (const name of ["params", "tokens", "tokensPerParam", "loss"]) fill(name, plan[name], interval[name], level);
    for (const name of ["excessLoss", "flops"]) fill(name, plan[name]);
    for (const name of ["gpuHours", "days", "cost"]) fill(name, plan[name] ?? null, banded(plan[name] ?? null), percent(data.bandLevel));
    const { days = null, cost = null } = plan;
    const bill = [state.form === "days" || days === null ? "" : `, ${time(days)}`];
    bill.push(state.form === "cost" || cost === null ? "" : `, ${money(cost)}`);
    say(`${textOf("budget", state)}: ${count(plan.params)} parameters on ${count(plan.tokens)} tokens, `
      + `loss ${plain(plan.loss, 4)}${bill.join("")}.`);
  }

  for (const name of controls) {
    part(name).addEventListener("input", () => typed(name));
    part(`${name}-slider`).addEventListener("input", () => slid(name));
  }
  form.addEventListener("change", changeForm);
  part("reset").addEventListener("click", reset);
  reset();
  section.hidden = false;
  for (const link of document.querySelectorAll('a[href="#what-if"]')) link.parentElement.hidden = false;
})();
