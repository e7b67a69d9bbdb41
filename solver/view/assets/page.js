"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const devices = data.trays.flatMap(([host, domain, rack, names]) => names.map((name) => ({ name, host, domain, rack })));
  const section = document.getElementById("cluster");
  const racks = document.getElementById("racks");
  const detail = document.getElementById("detail");
  const PARTS = ["weights", "KV cache", "idle KV", "activations", "buffers", "reserve"];
  let kept = null;

  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // What a device runs, in words.
  const use = (i) => {
    if (data.pool[i] === -3) return "billed, runs nothing";
    if (data.pool[i] === -2) return "not healthy";
    if (data.pool[i] === -1) return "not used";
    return `${data.pools[data.pool[i]].name}, replica ${data.replica[i]}, stage ${data.stage[i]}, rank ${data.rank[i]}`;
  };

  // Layers and experts of a device, as pairs.
  const holds = (i) => {
    if (data.pool[i] < 0) return [];
    const pool = data.pools[data.pool[i]];
    const expert = pool.expertRank[data.rank[i]];
    const rows = [["layers", pool.stages[data.stage[i]].layers]];
    if (expert === null || expert === undefined) return rows;
    const held = pool.experts.map(([layers, by]) => (pool.experts.length > 1 ? `layers ${layers}: ` : "") + by[expert]);
    return [...rows, ["expert rank", String(expert)], ["experts", held.join("; ")]];
  };

  // All of it in a line, for who points at the device; what is longer is in the panel.
  const line = (i) => [`${devices[i].name}: ${use(i)}`, ...holds(i).map((pair) => pair.join(" "))].join("; ");
  const brief = (text) => (text.length > 240 ? `${text.slice(0, 239)}…` : text);

  // Devices drawn as SVG become reachable by keyboard and say what they are.
  const adopt = (root) => {
    for (const cell of root.querySelectorAll(".d[data-i]")) {
      const i = Number(cell.dataset.i);
      cell.setAttribute("role", "button");
      cell.setAttribute("tabindex", "-1");
      cell.setAttribute("aria-label", brief(line(i)));
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = brief(line(i));
      cell.prepend(title);
    }
    letter(root);
    const first = root.querySelector(".d[data-i]");
    if (first && !racks.querySelector('.d[tabindex="0"]')) first.setAttribute("tabindex", "0");
  };

  const letter = (root) => {
    const letters = data.letters[section.dataset.by];
    for (const cell of root.querySelectorAll(".d[data-i]")) {
      const text = cell.querySelector("text");
      if (text) text.textContent = letters[Number(cell.dataset.i)];
    }
  };

  const pairs = (entries) => {
    const list = element("dl");
    for (const [name, value, mark] of entries) {
      const term = element("dt");
      if (mark) term.append(element("i", "", mark));
      term.append(name);
      list.append(term, element("dd", value));
    }
    return list;
  };

  const gigabytes = (size) => `${size.toLocaleString("en", { maximumSignificantDigits: 3 })} GB`;

  const memory = (stage) => {
    const bar = element("div", "", "ledger");
    stage.ledger.forEach((size, part) => {
      const box = element("i", "", `part${part}`);
      box.style.width = `${(100 * size) / stage.capacity}%`;
      bar.append(box);
    });
    const used = stage.ledger.reduce((sum, size) => sum + size, 0);
    const rows = stage.ledger.map((size, part) => [PARTS[part], gigabytes(size), `part${part}`]);
    return [bar, pairs([...rows, ["together", `${gigabytes(used)} of ${gigabytes(stage.capacity)}`]])];
  };

  const show = (i) => {
    const { name, host, domain, rack } = devices[i];
    const pin = element("button", kept === i ? "Let go of it" : "Pin it");
    pin.type = "button";
    pin.addEventListener("click", () => { keep(i); detail.querySelector("button").focus(); });
    const rows = [["host", host], ["domain", domain], ["rack", rack]];
    if (data.pool[i] >= 0) {
      const pool = data.pools[data.pool[i]];
      rows.push(["role", pool.about], ["fullest link", data.letters.load[i]], ...holds(i));
      detail.replaceChildren(element("h3", name), element("div", use(i)), pin, pairs(rows), ...memory(pool.stages[data.stage[i]]));
    } else detail.replaceChildren(element("h3", name), element("div", use(i)), pin, pairs(rows));
    detail.classList.add("told");
    detail.classList.toggle("pinned", kept === i);
    light(i);
  };

  // The replica of the device under the pointer stands out.
  const light = (i) => {
    for (const cell of racks.querySelectorAll(".d.lit, .d.kept")) cell.classList.remove("lit", "kept");
    racks.classList.toggle("dimmed", data.pool[i] >= 0);
    for (const cell of racks.querySelectorAll(".d[data-i]")) {
      const j = Number(cell.dataset.i);
      if (data.pool[i] >= 0 && data.pool[j] === data.pool[i] && data.replica[j] === data.replica[i]) cell.classList.add("lit");
      if (j === kept) cell.classList.add("kept");
    }
  };

  const leave = () => {
    if (kept !== null) return show(kept);
    detail.classList.remove("told", "pinned");
    racks.classList.remove("dimmed");
    for (const cell of racks.querySelectorAll(".d.lit, .d.kept")) cell.classList.remove("lit", "kept");
    return undefined;
  };

  const keep = (i) => {
    kept = kept === i ? null : i;
    show(i);
    if (kept === null) leave();
  };

  const cellOf = (event) => event.target.closest(".d[data-i]");
  const at = (cell) => Number(cell.dataset.i);

  racks.addEventListener("pointerover", (event) => {
    const cell = cellOf(event);
    if (cell && event.pointerType === "mouse") show(at(cell));
  });
  racks.addEventListener("pointerleave", leave);
  racks.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (cell) show(at(cell));
  });
  racks.addEventListener("focusout", leave);
  document.addEventListener("click", (event) => {
    const cell = racks.contains(event.target) ? cellOf(event) : null;
    if (cell) keep(at(cell));
  });

  // The nearest device in the direction of an arrow key.
  const nearest = (from, dx, dy) => {
    const centre = (cell) => {
      const box = cell.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const [x, y] = centre(from);
    let best = null;
    let least = Infinity;
    for (const cell of racks.querySelectorAll(".d[data-i]")) {
      const [cx, cy] = centre(cell);
      const along = (cx - x) * dx + (cy - y) * dy;
      const across = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      if (along > 1 && along + 3 * across < least) [best, least] = [cell, along + 3 * across];
    }
    return best;
  };

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  racks.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") keep(at(cell));
    else if (event.key in ARROWS) {
      const next = nearest(cell, ...ARROWS[event.key]);
      if (next) {
        cell.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
    } else return;
    event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && kept !== null) keep(kept);
  });

  for (const choice of section.querySelectorAll("input[name=by]")) {
    choice.addEventListener("change", () => {
      section.dataset.by = choice.value;
      letter(racks);
    });
  }

  // What is folded away is made when it is opened for the first time.
  document.addEventListener("toggle", (event) => {
    const template = event.target.open ? event.target.querySelector(":scope > template") : null;
    if (!template) return;
    const content = template.content.cloneNode(true);
    adopt(content);
    template.replaceWith(content);
  }, true);

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  adopt(racks);
})();
