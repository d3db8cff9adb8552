"use strict";
// Shows a trace. What it shows is put into the page as text alone.
const $ = (id) => document.getElementById(id);
const made = (kind, text, name) => {
  const one = document.createElement(kind);
  if (text !== undefined && text !== null) one.textContent = String(text);
  if (name) one.className = name;
  return one;
};
const shown = (value) => (typeof value === "number" ? (Number.isInteger(value) ? String(value) : value.toPrecision(4)) : value ?? "");
let now = null;
let before = null;

const params = new URLSearchParams(location.hash.slice(1));
for (const box of document.querySelectorAll("form.ask [name]")) {
  if (params.has(box.name)) box.value = params.get(box.name);
}
try {
  const token = sessionStorage.getItem("easyrec-token");
  if (token && $("token")) $("token").value = token;
} catch { /* a page from a file has no storage */ }

const object = (text, name) => {
  if (!text.trim()) return {};
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error(`${name}: no JSON object`);
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error(`${name}: no JSON object`);
  return found;
};

const question = (form) => {
  const value = (name) => form.elements[name].value.trim();
  const user = value("user_id");
  const asked = { user_id: /^-?\d{1,15}$/.test(user) ? Number(user) : user, seed: Number(value("seed") || 0) };
  if (value("scene")) asked.scene = value("scene");
  if (value("size")) asked.size = Number(value("size"));
  if (value("request_id")) asked.request_id = value("request_id");
  asked.user = object(value("user"), "columns of the user");
  asked.context = object(value("context"), "columns of the request");
  asked.parameters = object(value("parameters"), "what if");
  return asked;
};

const ask = async (form) => {
  $("told").textContent = "";
  let asked;
  try {
    asked = question(form);
  } catch (error) {
    $("told").textContent = error.message;
    return;
  }
  const token = $("token").value;
  try {
    sessionStorage.setItem("easyrec-token", token);
  } catch { /* not kept then */ }
  const kept = new URLSearchParams();
  for (const box of form.querySelectorAll("[name]")) if (box.value && box.id !== "token") kept.set(box.name, box.value);
  history.replaceState(null, "", "#" + kept.toString());
  try {
    const headers = { "content-type": "application/json", ...(token ? { authorization: "Bearer " + token } : {}) };
    const reply = await fetch("trace", { method: "POST", headers, body: JSON.stringify(asked) });
    const found = await reply.json();
    if (!reply.ok) {
      $("told").textContent = found.error || reply.statusText;
      return;
    }
    show(found);
  } catch (error) {
    $("told").textContent = "the engine does not answer: " + error.message;
  }
};

const show = (trace) => {
  if (now && now.user_id === trace.user_id && now.scene === trace.scene) before = now;
  else before = null;
  now = trace;
  $("found").hidden = false;
  const said = [`scene ${trace.scene}`, `user ${trace.user_id}`, `request ${trace.request_id}`];
  for (const [layer, variant] of Object.entries(trace.experiments)) said.push(`${layer}: ${variant}`);
  for (const [path, value] of Object.entries(trace.parameters)) said.push(`${path} = ${JSON.stringify(value)}`);
  $("about").replaceChildren(...said.map((text) => made("span", text, "chip")));
  $("degraded").textContent = trace.degraded.length ? "left out: " + trace.degraded.join("; ") : "";
  const steps = Object.entries(trace.counts).map(([name, count]) => {
    const step = made("div", undefined, "step");
    step.append(made("div", name, "name"));
    step.append(made("div", count.in ? `${count.in} → ${count.out}` : count.out, "value"));
    step.append(made("div", `${(trace.ms[name] ?? 0).toFixed(2)} ms`, "ms"));
    return step;
  });
  $("funnel").replaceChildren(...steps);
  const choice = $("ended");
  const ends = [...new Set(trace.items.map((item) => item.ended))];
  choice.replaceChildren(new Option("all", ""), ...ends.map((end) => new Option(end, end)));
  list();
};

const place = (trace, id) => trace?.items.find((item) => item.item_id === id)?.position ?? null;

const list = () => {
  const wanted = $("find").value.toLowerCase();
  const end = $("ended").value;
  const head = made("tr");
  const stages = now.stages;
  for (const name of ["#", "item", "from", ...stages.map((stage) => stage.replace("rerank.", "")), "why it is there, or not"]) head.append(made("th", name));
  const rows = now.items
    .filter((item) => !end || item.ended === end)
    .filter((item) => !wanted || `${item.item_id} ${item.title ?? ""}`.toLowerCase().includes(wanted))
    .map((item) => {
      const row = made("tr", undefined, item.position === null ? "" : "shown");
      row.tabIndex = 0;
      const position = made("td", item.position ?? "");
      if (before) {
        const former = place(before, item.item_id);
        if (former !== item.position) {
          const up = item.position !== null && (former === null || item.position < former);
          position.append(made("div", former === null ? "new" : `was ${former}`, up ? "moved" : "moved down"));
        }
      }
      row.append(position);
      const name = made("td", item.item_id);
      if (item.title) name.append(made("div", item.title, "soft"));
      row.append(name);
      const from = made("td");
      for (const one of item.sources) from.append(made("span", `${one.source} ${one.rank + 1}`, "chip"));
      row.append(from);
      for (const stage of stages) {
        const there = item.stages[stage];
        const cell = made("td", there ? there.rank + 1 : "", "n");
        if (there && there.score !== undefined) cell.append(made("div", shown(there.score), "soft"));
        row.append(cell);
      }
      row.append(made("td", item.position === null ? item.ended : item.reason, "why"));
      const open = () => details(item);
      row.addEventListener("click", open);
      row.addEventListener("keydown", (event) => event.key === "Enter" && open());
      return row;
    });
  $("ways").replaceChildren(head, ...rows);
  $("many").textContent = `${rows.length} of ${now.candidates} candidates`;
};

const details = (item) => {
  $("item").textContent = `item ${item.item_id}` + (item.title ? `: ${item.title}` : "");
  $("all").textContent = JSON.stringify(item, null, 2);
  $("details").showModal();
};

$("find").addEventListener("input", list);
$("ended").addEventListener("change", list);
$("close").addEventListener("click", () => $("details").close());
const held = $("held");
if (held) show(JSON.parse(held.textContent));
else {
  $("asking").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(event.target);
  });
  if (params.has("user_id")) ask($("asking"));
}
