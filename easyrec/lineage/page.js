"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const graph = JSON.parse(byId("graph").textContent);
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const into = new Map(), out = new Map();
  for (const edge of graph.edges) {
    for (const [map, end] of [[into, edge.target], [out, edge.source]]) {
      if (!map.has(end)) map.set(end, []);
      map.get(end).push(edge);
    }
  }
  const buttons = new Map([...document.querySelectorAll(".node")].map((button) => [button.dataset.id, button]));
  const find = byId("find"), model = byId("model"), gone = byId("gone"), told = byId("told"), facts = byId("facts");
  const threads = byId("threads"), stage = byId("stage"), columns = byId("columns");
  let chosen = null;

  const walk = (start, edges, end) => {
    const seen = new Set([start]), left = [start];
    while (left.length) {
      for (const edge of edges.get(left.pop()) || []) {
        if (!seen.has(edge[end])) { seen.add(edge[end]); left.push(edge[end]); }
      }
    }
    return seen;
  };
  // The same rule as `Graph._reached`: a trained version goes on without its labels.
  const reached = (start) => {
    const seen = new Map([[start, false]]), left = [[start, false]];
    while (left.length) {
      const [at, training] = left.pop();
      if (training && nodes.get(at).kind === "model") continue;
      for (const edge of out.get(at) || []) {
        const now = training || edge.training;
        if (!seen.has(edge.target) || (seen.get(edge.target) && !now)) {
          seen.set(edge.target, now); left.push([edge.target, now]);
        }
      }
    }
    return seen;
  };
  const name = (id) => { const node = nodes.get(id); return node.name ? `${node.group}.${node.name}` : node.group; };
  const add = (parent, tag, text) => { const made = document.createElement(tag); made.textContent = text; parent.append(made); return made; };

  const describe = () => {
    facts.replaceChildren();
    facts.hidden = chosen === null;
    if (chosen === null) return;
    const node = nodes.get(chosen);
    add(facts, "h3", `${node.kind} ${name(chosen)}`);
    const list = add(facts, "dl", "");
    const tell = (key, value) => { add(list, "dt", key); add(list, "dd", value); };
    for (const [key, value] of Object.entries(node.facts)) tell(key, value);
    for (const [key, edges, end] of [["made of", into, "source"], ["read by", out, "target"]]) {
      for (const edge of edges.get(chosen) || []) {
        const how = [edge.how, edge.direct ? "" : "has a say", edge.training ? "in training alone" : "", edge.text];
        tell(key, `${name(edge[end])} (${how.filter(Boolean).join(", ")})`);
      }
    }
  };

  const draw = (shown) => {
    threads.replaceChildren();
    threads.setAttribute("width", columns.scrollWidth);
    threads.setAttribute("height", columns.scrollHeight);
    if (chosen === null) return;
    const frame = columns.getBoundingClientRect();
    const place = (id) => { const box = buttons.get(id).getBoundingClientRect();
      return [box.left - frame.left, box.right - frame.left, (box.top + box.bottom) / 2 - frame.top]; };
    for (const edge of graph.edges) {
      if (!shown.has(edge.source) || !shown.has(edge.target)) continue;
      if (buttons.get(edge.source).offsetParent === null || buttons.get(edge.target).offsetParent === null) continue;
      const [, x1, y1] = place(edge.source), [x2, x3, y2] = place(edge.target);
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const same = Math.abs(x3 - x1) < 2;
      path.setAttribute("d", same
        ? `M${x1},${y1} C${x1 + 40},${y1} ${x3 + 40},${y2} ${x3},${y2}`
        : `M${x1},${y1} C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}`);
      if (edge.training) path.setAttribute("class", "training");
      else if (!edge.direct) path.setAttribute("class", "indirect");
      threads.append(path);
    }
  };

  const update = () => {
    let shown = new Set(nodes.keys());
    const up = chosen === null ? new Set() : walk(chosen, into, "source");
    const down = chosen === null ? new Map() : reached(chosen);
    if (chosen !== null) shown = new Set(gone.checked ? down.keys() : [...up, ...down.keys()]);
    if (model.value) {
      const own = new Set([...walk(model.value, into, "source"), ...walk(model.value, out, "target")]);
      shown = new Set([...shown].filter((id) => own.has(id)));
    }
    const kinds = new Set([...document.querySelectorAll(".kind input:checked")].map((box) => box.name));
    const text = find.value.trim().toLowerCase();
    for (const [id, button] of buttons) {
      const matches = !text || id === chosen || name(id).toLowerCase().includes(text);
      button.hidden = !(shown.has(id) && kinds.has(nodes.get(id).kind) && matches);
      const removed = gone.checked && down.has(id) && id !== chosen;
      button.classList.toggle("chosen", id === chosen);
      button.classList.toggle("up", !removed && up.has(id) && id !== chosen);
      button.classList.toggle("down", !removed && down.has(id) && id !== chosen);
      button.classList.toggle("broken", removed && !down.get(id));
      button.classList.toggle("untrained", removed && down.get(id));
      button.setAttribute("aria-pressed", String(id === chosen));
    }
    for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".node:not([hidden])");
    for (const column of document.querySelectorAll(".column")) column.hidden = !column.querySelector(".node:not([hidden])");
    const of = (kind, training) => [...down].filter(([id, only]) => nodes.get(id).kind === kind && only === training && id !== chosen).map(([id]) => name(id));
    told.classList.toggle("breaks", chosen !== null && gone.checked);
    if (chosen === null) told.textContent = `${nodes.size} nodes, ${graph.edges.length} edges`;
    else if (!gone.checked) told.textContent = `${name(chosen)}: made of ${up.size - 1}, read by ${down.size - 1}`;
    else {
      const parts = [["models broken", of("model", false)], ["cannot be trained again", of("model", true)],
        ["versions broken", of("version", false)], ["endpoints broken", of("endpoint", false)]];
      const words = parts.filter(([, names]) => names.length).map(([what, names]) => `${what}: ${names.join(", ")}`);
      told.textContent = `without ${name(chosen)}: ${words.join("; ") || "no model breaks"}`;
    }
    describe();
    draw(shown);
  };

  columns.addEventListener("click", (event) => {
    const button = event.target.closest(".node");
    if (!button) return;
    chosen = button.dataset.id === chosen ? null : button.dataset.id;
    location.hash = chosen === null ? "" : encodeURIComponent(chosen);
    update();
  });
  byId("tools").addEventListener("input", update);
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("resize", update);
  const asked = decodeURIComponent(location.hash.slice(1));
  if (nodes.has(asked)) chosen = asked;
  update();
})();
