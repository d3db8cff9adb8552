// The shop's page. Texts of the catalogue reach the page as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { start: null, user: "", view: "feed", list: null, before: null, tried: null, chosen: null, acted: false, opener: null, asked: 0 };

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");
const money = (value) => `¥ ${value.toFixed(2)}`;
const percent = (share) => `${Math.round(100 * share)} %`;
const number = (value, digits = 3) => (value == null ? "–" : Array.isArray(value) ? value.map((v) => number(v, digits)).join(" ") : value.toFixed(digits));

function say(text) {
  $("status").textContent = text;
  $("status").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("status").classList.remove("shown"), 2600);
}

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  for (let tries = 0; ; tries++) {
    const answer = await fetch(path, options);
    if (answer.status === 503 && tries < 120) { // the models are being loaded
      if (tries === 2) say("The engine is starting …");
      await new Promise((done) => setTimeout(done, 500));
      continue;
    }
    const told = await answer.json();
    if (!answer.ok) throw new Error((told.error && told.error.message) || `${path}: ${answer.status}`);
    return told;
  }
}

// ------------------------------------------------------------------------------------------------- visitors

function visitors() {
  const select = $("visitor"), known = state.start.personas;
  const guests = [state.user].filter((user) => !known.some((one) => one.user_id === user));
  select.replaceChildren(
    ...guests.map((user) => make("option", { value: user }, `somebody new (${user})`)),
    make("option", { value: "" }, "+ a new visitor"),
    ...known.map((one) => make("option", { value: one.user_id }, `${one.user_id} · ${one.gender}, ${one.age}+ · likes ${one.likes[0]}, ${one.likes[1]}`)),
  );
  select.value = state.user;
}

function become(user) {
  state.user = user || `guest-${fresh().slice(0, 6)}`;
  const place = new URL(location.href);
  place.searchParams.set("user", state.user);
  history.replaceState(null, "", place);
  try { localStorage.setItem("visitor", state.user); } catch { /* a browser that keeps nothing */ }
  state.before = state.list = state.chosen = state.tried = null;
  visitors();
  showFeed();
}

// ---------------------------------------------------------------------------------------------------- lists

const shares = (items) => {
  const counts = new Map();
  for (const item of items) counts.set(item.category, (counts.get(item.category) || 0) + 1 / items.length);
  return counts;
};

async function showFeed(keep = false) {
  const turn = ++state.asked;
  state.view = "feed";
  departments();
  const body = { scene: "feed", user_id: state.user, request_id: fresh() };
  const list = await ask("/shop/list", body);
  if (turn !== state.asked) return;
  if (state.list && keep) state.before = shares(state.list.items);
  state.list = { ...list, body };
  state.tried = null;
  state.chosen = list.items.length ? list.items[0].item_id : null;
  whatIf();
  drawFeed();
  const clicked = await ask("/shop/visitor", { user_id: state.user });
  if (turn === state.asked) drawClicked(clicked.clicked);
}

function drawFeed() {
  const list = state.tried || state.list;
  $("title").textContent = "For you";
  $("subtitle").textContent = `${list.items.length} of ${list.trace.candidates.toLocaleString("en")} candidates in ${list.ms.toFixed(0)} ms${list.version ? `, ranked by version ${list.version.slice(0, 6)}` : ""}`;
  $("again").hidden = false;
  const banner = $("banner");
  banner.hidden = !state.tried && !list.degraded.length;
  banner.textContent = state.tried
    ? "What if: nobody was shown this list, and nothing of it is recorded. Numbers tell how items moved."
    : `Left out: ${list.degraded.join("; ")}`;
  const old = state.tried ? new Map(state.list.items.map((item) => [item.item_id, item.position])) : null;
  cards(list.items, list.request_id, old);
  panel();
}

async function showCategory(cate, name) {
  const turn = ++state.asked;
  const found = await ask(`/shop/category/${cate}`);
  if (turn !== state.asked) return;
  state.view = cate;
  departments();
  $("title").textContent = name;
  $("subtitle").textContent = "What most people click here. Click some, and go back to your feed.";
  $("again").hidden = true;
  $("banner").hidden = true;
  cards(found.items, null, null);
}

function cards(items, request, old) {
  $("cards").replaceChildren(...items.map((item) => card(item, request, old)));
}

function card(item, request, old) {
  const was = old && old.get(item.item_id), moved = old && was !== undefined ? was - item.position : 0;
  const badge = !old ? null
    : was === undefined ? make("span", { class: "moved fresh" }, "new")
    : moved ? make("span", { class: `moved ${moved > 0 ? "up" : "down"}` }, `${moved > 0 ? "▲" : "▼"} ${Math.abs(moved)}`) : null;
  const choose = () => choosing(item.item_id);
  const open = make(
    "button", { type: "button", class: "open", onclick: (event) => openItem(item, request, event.currentTarget), onfocus: choose, onmouseenter: choose },
    picture(item),
    make("span", { class: "name" }, item.title),
    make("span", { class: "facts" }, make("span", {}, item.category), make("span", { class: "price" }, money(item.price))),
  );
  const why = item.reason === undefined ? null : make("div", { class: "why" }, item.reason, chips(item.sources));
  return make("li", { class: `card${item.item_id === state.chosen && request ? " chosen" : ""}`, "data-item": item.item_id, "data-category": item.category }, open, badge, why);
}

const chips = (sources) => make("span", { class: "chips" }, ...sources.map((source) => make("span", { class: `chip ${source}`, title: state.start.sources[source] }, source)));

function departments() {
  const at = state.view === "feed" ? -1 : Math.floor(state.view / 10);
  const all = state.start.departments;
  const button = (text, current, act) => make("button", { type: "button", "aria-current": String(current), onclick: act }, text);
  fill($("departments"),
    button("For you", at < 0, () => showFeed()),
    ...all.map((one, number) => button(one.name, number === at, () => showCategory(one.categories[0].cate, one.categories[0].name))));
  $("categories").hidden = at < 0;
  if (at >= 0) fill($("categories"), ...all[at].categories.map((leaf) => button(leaf.name, leaf.cate === state.view, () => showCategory(leaf.cate, leaf.name))));
}

/** Put children in the place of others, and let the button stay in focus that was. */
function fill(place, ...children) {
  const focused = place.contains(document.activeElement) ? [...place.children].indexOf(document.activeElement) : -1;
  const left = place.scrollLeft;
  place.replaceChildren(...children);
  place.scrollLeft = left;
  if (focused >= 0 && place.children[focused]) place.children[focused].focus({ preventScroll: true });
}

// ----------------------------------------------------------------------------------------- an item, and events

async function tell(type, item, request) {
  const event = { event_id: `${type}-${fresh()}`, type, user_id: state.user, item_id: item.item_id, time: Date.now(), request_id: request || "browsing" };
  if (type === "buy") event.value = item.price;
  await ask("/events", { events: [event] });
  state.acted = true;
}

async function openItem(item, request, opener) {
  const dialog = $("dialog");
  if (opener) state.opener = opener.closest("[data-item]") ? item.item_id : null;
  const buy = make("button", { type: "button", class: "buy" }, "Buy");
  buy.addEventListener("click", async () => {
    buy.disabled = true;
    await tell("buy", item, request);
    buy.textContent = "Bought";
    say(`Bought: ${item.title}`);
  });
  const beside = make("div", { class: "beside" });
  dialog.replaceChildren(
    make("button", { type: "button", class: "x", "aria-label": "Close", onclick: () => dialog.close() }, "×"),
    make("div", { class: "detail" }, picture(item), make("div", { class: "text" },
      make("h2", { id: "dialog-title" }, item.title),
      make("p", { class: "soft" }, `${item.department} / ${item.category} · ${item.brand_name}`),
      make("p", { class: "price" }, money(item.price)),
      make("p", { class: "chips" }, ...(item.tags || []).map((tag) => make("span", { class: "chip" }, tag))),
      make("p", { class: "soft" }, `${item.stock} in stock`), buy)),
    beside,
  );
  if (!dialog.open) dialog.showModal();
  await tell("click", item, request);
  const list = await ask("/shop/list", { scene: "beside", user_id: state.user, request_id: fresh() });
  if (!beside.isConnected) return;
  beside.append(
    make("h3", {}, "Beside it"),
    make("ul", {}, ...list.items.map((one) => make("li", {}, make("button", { type: "button", onclick: () => openItem(one, list.request_id) }, picture(one), make("span", {}, one.title))))),
  );
}

async function closed() {
  if ($("dialog").open) return; // the next item was opened before the browser told that this one was closed
  const opener = state.opener;
  $("dialog").replaceChildren();
  if (state.acted && state.view === "feed") {
    state.acted = false;
    await showFeed(true);
    say("Your feed has learned from it");
  }
  const again = document.querySelector(`[data-item="${opener}"] .open`) || $("cards").querySelector(".open");
  if (again) again.focus({ preventScroll: true });
}

// ------------------------------------------------------------------------------------------------- the panel

const body = (id) => document.querySelector(`#${id} .body`);

function panel() {
  drawExperiments();
  drawShares();
  drawItem();
  drawTrace();
}

function drawExperiments() {
  const mine = state.list.experiments, parts = [];
  for (const [layer, experiments] of Object.entries(state.start.experiments)) {
    for (const [name, one] of Object.entries(experiments)) {
      const got = mine[layer], variant = got === undefined ? null : String(got).split("/").pop();
      parts.push(make("p", { class: "variant" }, make("span", {}, `${layer} / ${name}`), make("b", { "data-layer": layer }, variant || "takes no part")));
      parts.push(make("p", { class: "soft" }, one.description));
      for (const [path, value] of Object.entries((variant && one.variants[variant]) || {})) parts.push(make("code", {}, `${path}: ${value}`));
    }
  }
  body("experiments").replaceChildren(...parts);
}

function drawShares() {
  const now = shares((state.tried || state.list).items), before = state.before || new Map();
  const names = [...new Set([...now.keys(), ...before.keys()])].sort((a, b) => (now.get(b) || 0) - (now.get(a) || 0) || (before.get(b) || 0) - (before.get(a) || 0)).slice(0, 8);
  const most = Math.max(0.01, ...now.values(), ...before.values());
  const rows = names.map((name) => {
    const bar = make("span", { class: "now" }), mark = make("span", { class: "before" });
    bar.style.width = percent((now.get(name) || 0) / most).replace(" ", "");
    mark.style.left = `calc(${percent((before.get(name) || 0) / most).replace(" ", "")} - 1px)`;
    return make("div", { class: "row", "data-share": name }, make("span", { class: "label", title: name }, name),
      make("span", { class: "track" }, bar, state.before ? mark : null), make("span", { class: "number" }, percent(now.get(name) || 0)));
  });
  body("shares").replaceChildren(...rows, make("p", { class: "soft" }, state.before ? "The mark is where it stood before your last click." : "Click an item, and see this change."));
}

function drawClicked(items) {
  body("clicked").replaceChildren(items.length
    ? make("div", { class: "small" }, ...items.map((item) => { const drawn = picture(item); drawn.append(svg("title", {}, item.title)); return drawn; }))
    : make("p", { class: "soft" }, "Nothing yet: nobody knows you."));
}

function choosing(key) {
  if (state.view !== "feed" || !state.list || key === state.chosen) return;
  state.chosen = key;
  for (const one of document.querySelectorAll("#cards .card")) one.classList.toggle("chosen", one.dataset.item === String(key));
  drawItem();
}

function drawItem() {
  const trace = (state.tried || state.list).trace, item = trace.items.find((one) => one.item_id === state.chosen);
  if (!item) return body("item").replaceChildren(make("p", { class: "soft" }, "Point at an item of your feed."));
  const step = (head, text, out = false) => make("li", { class: out ? "out" : "" }, make("b", {}, head), " ", make("span", { class: "soft" }, text));
  const steps = item.sources.map((one) => step(one.source, `recalled it as number ${one.rank + 1}${one.score == null ? "" : `, score ${number(one.score)}`}`));
  for (const name of trace.stages) {
    const told = item.stages[name];
    if (!told) continue;
    const score = told.score == null || name.startsWith("rerank") ? "" : `, score ${number(told.score, 4)}`;
    const tasks = Object.entries(told.tasks || {}).map(([task, value]) => `${task} ${number(value, 4)}`).join(", ");
    steps.push(step(name, `number ${told.rank + 1}${score}${tasks ? ` (${tasks})` : ""}`));
  }
  const shown = item.position != null;
  steps.push(step(shown ? `shown at place ${item.position + 1}` : item.ended, [item.reason, item.propensity == null ? "" : `chance ${number(item.propensity)}`].filter(Boolean).join(", "), !shown));
  return body("item").replaceChildren(make("p", {}, make("b", {}, item.title)), make("ul", { class: "steps" }, ...steps));
}

function drawTrace() {
  const list = state.tried || state.list, trace = list.trace;
  const funnel = [
    ...Object.entries(trace.sources).map(([name, count]) => [`recall ${name}`, "", count, trace.ms[`recall.${name}`]]),
    ...Object.entries(trace.counts).filter(([name]) => !name.startsWith("recall.")).map(([name, count]) => [name, count.in, count.out, trace.ms[name]]),
  ];
  const cells = (row) => row.map((value, at) => make("td", { class: at ? "n" : "" }, typeof value === "number" ? (at === 3 ? value.toFixed(1) : value.toLocaleString("en")) : String(value ?? "")));
  const rank = (item, name) => (item.stages[name] ? String(item.stages[name].rank + 1) : "");
  const items = trace.items.map((item) => make("tr", { "data-traced": item.item_id },
    make("td", { class: "n" }, item.position == null ? "–" : String(item.position + 1)),
    make("td", {}, make("button", { type: "button", onclick: () => { choosing(item.item_id); $("item").scrollIntoView({ block: "nearest" }); } }, item.title), chips(item.sources.map((one) => one.source))),
    make("td", { class: "n" }, rank(item, "prerank")), make("td", { class: "n" }, rank(item, "rank")),
    make("td", { class: "n" }, item.stages.rank ? number(item.stages.rank.score, 4) : "")));
  const head = (...names) => make("thead", {}, make("tr", {}, ...names.map(([name, right]) => make("th", { class: right ? "n" : "", scope: "col" }, name))));
  body("trace").replaceChildren(
    make("div", { class: "scroll" }, make("table", {}, head(["stage"], ["in", 1], ["out", 1], ["ms", 1]), make("tbody", {}, ...funnel.map((row) => make("tr", {}, ...cells(row)))))),
    make("p", { class: "soft" }, "The items, those that came furthest first: their place, and how they ranked on the way."),
    make("div", { class: "scroll" }, make("table", {}, head(["place", 1], ["item"], ["prerank", 1], ["rank", 1], ["score", 1]), make("tbody", {}, ...items))),
  );
}

// --------------------------------------------------------------------------------------------------- what if

function whatIf() {
  const start = state.start, own = state.list.parameters;
  const formula = own["rank.score"] ?? start.formula, lambda = own["rerank.mmr.lambda"] ?? start.lambda;
  const select = make("select", { id: "formula" }, ...Object.entries(start.formulas).map(([name, text]) => make("option", { value: text }, `${name}:  ${text}`)));
  select.value = formula;
  const range = make("input", { type: "range", id: "lambda", min: 0, max: 1, step: 0.1, value: lambda });
  const checks = Object.entries(start.sources).map(([name, why]) => make("label", {}, make("input", { type: "checkbox", value: name, checked: true }), make("span", {}, make("b", {}, name), ` ${why}`)));
  const changed = () => tryOut(select, range, checks.filter((one) => !one.firstChild.checked).map((one) => one.firstChild.value), formula, lambda);
  for (const one of [select, range, ...checks]) one.addEventListener("change", changed);
  body("what-if").replaceChildren(
    make("label", { class: "wide", for: "formula" }, "Order by"), select,
    make("label", { class: "wide", for: "lambda" }, "Variety … relevance"), range,
    make("fieldset", {}, make("legend", {}, "Sources"), make("div", { class: "checks" }, ...checks)),
    make("button", { type: "button", id: "back", onclick: () => { state.tried = null; whatIf(); drawFeed(); } }, "Back to what I was shown"));
}

async function tryOut(select, range, without, formula, lambda) {
  const turn = ++state.asked, what_if = {};
  if (select.value !== formula) what_if.formula = select.value;
  if (Number(range.value) !== lambda) what_if.lambda = Number(range.value);
  if (without.length) what_if.without = without;
  if (!Object.keys(what_if).length) state.tried = null;
  else {
    const tried = await ask("/shop/list", { ...state.list.body, what_if }); // the same request: chance falls as it fell
    if (turn !== state.asked) return;
    state.tried = tried;
  }
  if (state.view !== "feed") { state.view = "feed"; departments(); }
  drawFeed();
}

// --------------------------------------------------------------------------------------------------- the start

function togglePanel(open) {
  $("panel").classList.toggle("open", open);
  $("panel-button").setAttribute("aria-expanded", String(open));
  (open ? $("panel-close") : $("panel-button")).focus();
}

async function begin() {
  state.start = await ask("/shop/start");
  let kept = null;
  try { kept = localStorage.getItem("visitor"); } catch { /* a browser that keeps nothing */ }
  $("visitor").addEventListener("change", (event) => become(event.target.value));
  $("home").addEventListener("click", () => showFeed());
  $("again").addEventListener("click", () => showFeed(true));
  $("dialog").addEventListener("close", closed);
  $("dialog").addEventListener("click", (event) => { if (event.target === $("dialog")) $("dialog").close(); });
  $("panel-button").addEventListener("click", () => togglePanel(!$("panel").classList.contains("open")));
  $("panel-close").addEventListener("click", () => togglePanel(false));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && $("panel").classList.contains("open") && !$("dialog").open) togglePanel(false); });
  become(new URL(location.href).searchParams.get("user") || kept);
}

addEventListener("unhandledrejection", (event) => say(event.reason.message || "That did not work"));
begin();
