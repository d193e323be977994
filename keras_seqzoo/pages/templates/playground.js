"use strict";
const $ = (id) => document.getElementById(id);
const UNSPACED = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\u30fc\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
const LETTER = `(?![${UNSPACED}])[\\p{L}\\p{N}]`;
const RUN = `${LETTER}(?:(?:${LETTER})|\\p{M})*`;
const WORD = new RegExp(`${RUN}(?:['\\u2019\\u2010-](?:${RUN}))*|[${UNSPACED}]\\p{M}*`, "gu");
const MOST_WORDS = 300, ROWS = 64;
let served = null;  // the model chosen: name, version, signature, inputs, outputs, names
let asked = null;   // the row asked last, and its prediction
let turn = 0;       // what comes back for an earlier turn is not shown

const make = (tag, content = "", look = "") => {
  const node = document.createElement(tag);
  node.append(...[content].flat());
  if (look) node.className = look;
  return node;
};
const bdi = (text) => make("bdi", String(text));
const number = (value) => typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value);
const percent = (value) => `${(value * 100).toFixed(1)} %`;
const warn = (place, error) => place.replaceChildren(make("p", error.message || String(error), "warning"));

async function ask(path, body) {
  let reply;
  try {
    reply = await fetch(path, {
      method: body ? "POST" : "GET", headers: { Accept: "application/json" }, body: body && JSON.stringify(body),
    });
  } catch (error) {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  const text = await reply.text();
  let read = null;
  try { read = JSON.parse(text); } catch (error) {
    // JSON has no NaN and no infinity, which TensorFlow Serving writes as they are.
    try { read = JSON.parse(text.replace(/(?<=[[,:\s])-?(?:NaN|Infinity)(?=[\],}\s])/g, "null")); } catch (again) { read = null; }
  }
  if (!reply.ok) throw new Error(`The server refused (${reply.status}): ${read && read.error || text.slice(0, 500)}`);
  if (read === null) throw new Error("The server's reply is no JSON.");
  return read;
}
const path = () => `/v1/models/${encodeURIComponent(served.name)}/versions/${served.version}`;

async function listModels() {
  const { models } = await ask("/");
  for (const [name, { versions }] of Object.entries(models)) {
    for (const version of [...versions].reverse()) {
      const option = make("option", `${name}, version ${version}`);
      option.value = JSON.stringify([name, version]);
      $("model").append(option);
    }
  }
  if (!$("model").options.length) throw new Error("No model is served at the moment.");
  await choose();
}

async function choose() {
  const mine = ++turn;
  const [name, version] = JSON.parse($("model").value);
  served = null;
  asked = null;
  $("more").hidden = true;
  $("answer").replaceChildren(make("p", "No request yet.", "muted"));
  try {
    const found = await ask(`/v1/models/${encodeURIComponent(name)}/versions/${version}/metadata`);
    if (mine !== turn) return;
    const signatures = found.metadata.signature_def.signature_def;
    const signature = "serving_default" in signatures ? "serving_default" : Object.keys(signatures).sort()[0];
    const { inputs, outputs } = signatures[signature];
    served = { name, version, signature, inputs, outputs, signatures, names: null };
    const kept = new Map([...$("fields").querySelectorAll("textarea")].map((area) => [area.id, area.value]));
    $("fields").replaceChildren(...Object.keys(inputs).sort().map((input) => field(input, kept)));
  } catch (error) { if (mine === turn) warn($("answer"), error); }
}

const shape = (input) => (served.inputs[input].tensor_shape.dim || []).slice(1).map(({ size }) => Number(size));
const isText = (input) => served.inputs[input].dtype === "DT_STRING";

function titled(input) {
  const answers = "no_answer" in served.outputs;
  if (input === "text") return answers ? "Question" : "text_pair" in served.inputs ? "First text" : "Text";
  if (input === "text_pair") return answers ? "Context" : "Second text";
  return input === "values" ? "Values" : input;
}

function field(input, kept) {
  const label = make("label", titled(input)), area = make("textarea"), holder = make("div");
  label.htmlFor = area.id = `input-${input}`;
  area.dir = "auto";
  area.value = kept.get(area.id) || "";
  holder.append(label);
  if (!isText(input)) {
    const [rows, columns] = shape(input).slice(-2).map((size) => size > 0 ? size : 1);
    const grid = shape(input).length > 1;
    const line = (row, length) => Array.from({ length }, (_, i) => (10 + 3 * Math.sin(row / 2 + i)).toFixed(1)).join(", ");
    const note = make("p", grid ? `${rows} lines, the oldest first, of ${columns} ${columns === 1 ? "number" : "numbers"} each.` : "Numbers, with commas or spaces between.", "note");
    note.id = `${area.id}-note`;
    area.setAttribute("aria-describedby", note.id);
    area.className = "numbers";
    area.value = grid ? Array.from({ length: rows }, (_, row) => line(row, columns)).join("\n") : Array.from({ length: rows || 1 }, () => "1").join(", ");
    holder.append(note);
  }
  holder.append(area, make("p"));
  return holder;
}

function value(input) {
  const written = $(`input-${input}`).value;
  if (isText(input)) return shape(input).length ? written.split("\n") : written;
  const lines = written.split("\n").map((line) => line.split(/[\s,;]+/).filter(Boolean).map((cell) => {
    if (served.inputs[input].dtype === "DT_BOOL") return cell === "true" || cell === "1";
    if (!Number.isFinite(Number(cell))) throw new Error(`${titled(input)} must be numbers. Received: ${cell}`);
    return Number(cell);
  })).filter((line) => line.length);
  return shape(input).length > 1 ? lines : shape(input).length ? lines.flat() : lines.flat()[0];
}

function body(rows) {
  const named = Object.keys(served.inputs).length > 1;
  const instances = rows.map((row) => named ? row : Object.values(row)[0]);
  return served.signature === "serving_default" ? { instances } : { signature_name: served.signature, instances };
}

function busy(button, on, words) {
  button.dataset.words ||= button.textContent;
  button.setAttribute("aria-disabled", on);
  button.textContent = on ? words : button.dataset.words;
}

async function answer() {
  if (!served || $("ask").getAttribute("aria-disabled") === "true") return;
  const mine = ++turn;
  busy($("ask"), true, "Asking …");
  $("answer").setAttribute("aria-busy", "true");
  try {
    const row = Object.fromEntries(Object.keys(served.inputs).sort().map((input) => [input, value(input)]));
    const reply = await ask(`${path()}:predict`, body([row]));
    const said = reply.predictions[0];
    const told = said !== null && typeof said === "object" && !Array.isArray(said) ? said : { [Object.keys(served.outputs)[0]]: said };
    if (mine === turn && Array.isArray(told.probabilities) && !served.names) served.names = await namesOf(row, told.probabilities.length);
    if (mine !== turn) return;
    asked = { row, told };
    $("answer").replaceChildren(...shown(row, told));
    showMore(reply);
  } catch (error) {
    if (mine === turn) { warn($("answer"), error); $("more").hidden = true; }
  } finally {
    busy($("ask"), false);
    $("answer").removeAttribute("aria-busy");
  }
}

async function namesOf(row, count) {
  const numbered = Array.from({ length: count }, (_, i) => `class ${i + 1}`);
  if (!("classify" in served.signatures)) return numbered;
  try {
    const { results } = await ask(`${path()}:classify`, { signature_name: "classify", examples: [row] });
    // What is said after `decide` comes first, and again among all.
    const names = results[0].map(([name]) => name).slice(-count);
    return names.length === count && names.every(Boolean) ? names : numbered;
  } catch (error) { return numbered; }
}

function table(heads, rows, look = "plain") {
  const made = make("table", [], look), head = make("tr"), inside = make("tbody");
  heads.forEach((title) => { const cell = make("th", title); cell.scope = "col"; head.append(cell); });
  made.append(make("thead", head), inside);
  rows.forEach((cells) => inside.append(make("tr", cells.map((cell, i) => {
    const made = make(i ? "td" : "th", cell);
    if (!i) made.scope = "row";
    return made;
  }))));
  return made;
}

function bars(names, values, told) {
  const order = values.map((_, i) => i).sort((a, b) => values[b] - values[a]);
  return table(["", "", "probability"], order.slice(0, 30).map((i) => {
    const bar = make("div");
    bar.style.width = `${Math.max(0, Math.min(1, values[i])) * 100}%`;
    return [make("bdi", names[i], told.includes(names[i]) ? "told" : ""), bar, percent(values[i])];
  }), "plain bars");
}

function marked(text, spans) {
  // The server counts characters, JavaScript halves of some of them.
  const signs = Array.from(text), box = make("div", [], "text");
  box.dir = "auto";
  let at = 0;
  spans.forEach(({ start, end, label }) => {
    if (start < at) return;
    const mark = make("mark", signs.slice(start, end).join(""));
    if (label) mark.append(make("small", label));
    box.append(signs.slice(at, start).join(""), mark);
    at = end;
  });
  box.append(signs.slice(at).join(""));
  return box;
}

const said = (text) => make("p", bdi(text), "said");

function shown(row, told) {
  if (Array.isArray(told.labels) && Array.isArray(told.probabilities)) {
    const labels = told.labels.filter(Boolean);
    return [said(labels.join(", ") || "no label"), bars(served.names, told.probabilities, labels)];
  }
  if ("label" in told && Array.isArray(told.probabilities)) return [said(told.label), bars(served.names, told.probabilities, [told.label])];
  if (Array.isArray(told.label) && Array.isArray(told.start)) {
    const spans = told.label.map((label, i) => ({ label, start: told.start[i], end: told.end[i], text: told.text[i], probability: told.probability[i] })).filter(({ start }) => start >= 0);
    if (!spans.length) return [said("nothing found"), marked(row.text, [])];
    return [marked(row.text, spans), table(["piece", "label", "probability"], spans.map((s) => [bdi(s.text), bdi(s.label), percent(s.probability)]))];
  }
  if ("no_answer" in told) {
    const found = told.start >= 0;
    return [said(found ? told.answer : "no answer"), make("p", `Probability ${percent(told.probability)}; that there is no answer ${percent(told.no_answer)}.`), marked(row.text_pair, found ? [told] : [])];
  }
  if (typeof told.value === "number") return [said(number(told.value))];
  if (Array.isArray(told.values)) return [table(["number", "value"], told.values.map((v, i) => [`${i + 1}`, number(v)]))];
  if (Array.isArray(told.forecast)) return [table(["step", ...told.forecast[0].map((_, i) => `column ${i + 1}`)], told.forecast.map((line, i) => [`${i + 1}`, ...line.map(number)]))];
  if (typeof told.generated === "string") {
    const start = Array.from(told.text).length - Array.from(told.generated).length;
    return [marked(told.text, told.text.endsWith(told.generated) ? [{ start, end: Array.from(told.text).length }] : [])];
  }
  if (Array.isArray(told.token)) {
    const rows = told.token.flatMap((tokens, mask) => tokens.map((token, i) => [`${mask + 1}`, bdi(token), percent(told.probability[mask][i])])).filter((cells) => cells[1].textContent);
    return rows.length ? [table(["mask", "token", "probability"], rows)] : [said("no mask in the text")];
  }
  if (Array.isArray(told.embedding)) return [said(`a vector of ${told.embedding.length} numbers`), make("p", `${told.embedding.slice(0, 8).map(number).join(", ")}, …`, "muted")];
  const plain = make("pre", JSON.stringify(told, null, 1).slice(0, 5000));
  plain.tabIndex = 0;
  return [plain];
}

function showMore(reply) {
  const { row, told } = asked, inputs = Object.keys(row);
  const url = `${location.origin}${path()}:predict`, quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  $("curl").textContent = `curl -d ${quote(JSON.stringify(body([row])))} ${quote(url)}`;
  const known = served.signature === "serving_default" && ["text", "text,text_pair", "values"].includes(inputs.join());
  $("in-python").hidden = !known;
  const given = inputs.length > 1 ? `(${Object.values(row).map((v) => JSON.stringify(v)).join(", ")})` : JSON.stringify(Object.values(row)[0]);
  $("python").textContent = `from keras_seqzoo import ServingClient\n\nwith ServingClient(${JSON.stringify(location.origin)}, ${JSON.stringify(served.name)}, version=${served.version}) as client:\n    print(client.predict([${given}]))`;
  $("reply").textContent = JSON.stringify(reply, null, 1);
  const names = Array.isArray(told.probabilities) ? served.names : typeof told.value === "number" ? ["the value"] : [];
  $("words").hidden = !names.length || !("text" in row);
  $("of-whom").hidden = names.length < 2;
  $("target").replaceChildren(...names.map((name, i) => { const option = make("option", name); option.value = i; return option; }));
  if (told.probabilities) {
    const best = told.probabilities.indexOf(Math.max(...told.probabilities));
    $("target").value = Math.max(names.indexOf(told.label), -1) < 0 ? best : names.indexOf(told.label);
  }
  $("explanation").replaceChildren();
  $("more").hidden = false;
}

function without(text, start, end) {
  const before = text.slice(0, start), after = text.slice(end);
  return /\s$/.test(before) || !before ? before + after.replace(/^\s/, "") : before + after;
}

async function explain() {
  if (!asked || $("explain").getAttribute("aria-disabled") === "true") return;
  const mine = turn, { row, told } = asked, place = Number($("target").value);
  const whom = $("target").selectedOptions[0].textContent;
  const score = (said) => typeof said === "number" ? said : said.probabilities ? said.probabilities[place] : said.value;
  const words = Object.keys(row).flatMap((input) => [...row[input].matchAll(WORD)].map((found) => ({ input, start: found.index, end: found.index + found[0].length })));
  const looked = words.slice(0, MOST_WORDS);
  busy($("explain"), true, "Asking …");
  $("explanation").setAttribute("aria-busy", "true");
  try {
    for (let at = 0; at < looked.length; at += ROWS) {
      const some = looked.slice(at, at + ROWS);
      const rows = some.map(({ input, start, end }) => ({ ...row, [input]: without(row[input], start, end) }));
      const { predictions } = await ask(`${path()}:predict`, body(rows));
      if (mine !== turn) return;
      some.forEach((word, i) => { word.change = score(told) - score(predictions[i]); });
    }
    $("explanation").replaceChildren(...explained(row, looked, words.length, told.probabilities ? whom : ""));
  } catch (error) {
    if (mine === turn) warn($("explanation"), error);
  } finally {
    busy($("explain"), false);
    $("explanation").removeAttribute("aria-busy");
  }
}

function explained(row, words, count, whom) {
  const most = Math.max(...words.map(({ change }) => Math.abs(change)), 1e-9);
  const signed = (change) => `${change < 0 ? "−" : "+"}${!whom ? Number(Math.abs(change).toPrecision(3)) : percent(Math.abs(change)).replace(" %", " points")}`;
  const texts = Object.keys(row).map((input) => {
    const box = make("div", [], "text");
    box.dir = "auto";
    let at = 0;
    words.filter((word) => word.input === input).forEach(({ start, end, change }) => {
      const weak = Math.abs(change) < most / 20, mark = make(weak ? "span" : "mark", row[input].slice(start, end), weak ? "" : change > 0 ? "for" : "against");
      mark.title = signed(change);
      mark.style.setProperty("--much", `${Math.round(Math.abs(change) / most * 55)}%`);
      box.append(row[input].slice(at, start), mark);
      at = end;
    });
    box.append(row[input].slice(at));
    return box;
  });
  const top = [...words].sort((a, b) => Math.abs(b.change) - Math.abs(a.change)).slice(0, 8);
  const what = whom ? `the probability of “${whom}”` : "the value";
  const note = make("p", `What a word adds to ${what}: how much lower that is when the word is left out. Full line: the word raises it; dashed line: it lowers it.${count > words.length ? ` Only the first ${words.length} of ${count} words were looked at.` : ""}`, "note");
  if (!words.length) return [make("p", "There are no words in the text.", "muted")];
  return [...texts, note, table(["word", "adds"], top.map(({ input, start, end, change }) => [bdi(row[input].slice(start, end)), signed(change)]))];
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); answer(); });
$("form").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); answer(); } });
$("model").addEventListener("change", choose);
$("target").addEventListener("change", () => $("explanation").replaceChildren());
$("explain").addEventListener("click", explain);
document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch (error) {
    getSelection().selectAllChildren($(button.dataset.copy));
    button.textContent = "Selected: press Ctrl + C";
  }
}));
listModels().catch((error) => warn($("answer"), error));
