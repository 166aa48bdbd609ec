"use strict";
(function () {
  const ROWS = 50;
  // As in the figures: from sure of the sign (dark) to unsure, with the lfsr below which a colour is used.
  const LIMITS = [0.001, 0.01, 0.05, 0.2, Infinity], COLORS = ["#4B1D52", "#B5332E", "#E58A1F", "#E9CF9C", "#C6C6C6"];

  function write(value, kind) {
    if (value === null || value === undefined) return "–";
    if (kind === "text") return value;
    if (kind === "log2") return value.toFixed(2);
    if (kind === "count") return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
    return value >= 0.001 ? value.toFixed(3) : value.toExponential(2);
  }

  function element(name, text, parent) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  function explore(box) {
    const data = JSON.parse(box.querySelector(".data").textContent);
    const find = (selector) => box.querySelector(selector);
    const rows = data.rows, size = rows.gene.length;
    const lower = rows.gene.map((name) => name.toLowerCase());
    let order = Array.from({ length: size }, (_, i) => i), key = "lfdr", rising = true, page = 0, shown = order;

    const headings = data.columns.map((column) => {
      const heading = element("th", undefined, find("thead tr"));
      heading.scope = "col";
      heading.title = column.words;
      const button = element("button", column.label, heading);
      button.type = "button";
      button.addEventListener("click", () => {
        // numbers for which large is interesting start with the largest
        rising = key === column.key ? !rising : !["baseMean", "log2FoldChange", "prob_gt", "lfc_if_changed", "ci_lower", "ci_upper"].includes(column.key);
        key = column.key;
        sort();
      });
      return heading;
    });

    function sort() {
      const values = rows[key], sign = rising ? 1 : -1;
      order = Array.from({ length: size }, (_, i) => i);
      order.sort((a, b) => {
        const x = values[a], y = values[b];
        if (x === y) return a - b;
        if (x === null) return 1;
        if (y === null) return -1;
        return x < y ? -sign : sign;
      });
      data.columns.forEach((column, i) => headings[i].setAttribute("aria-sort", column.key === key ? (rising ? "ascending" : "descending") : "none"));
      filter();
    }

    function filter() {
      const wanted = find(".search").value.trim().toLowerCase(), only = find(".only").checked;
      shown = order.filter((i) => (!only || data.called[i]) && (!wanted || lower[i].includes(wanted)));
      page = 0;
      fill();
    }

    function fill() {
      const body = find(".genes tbody"), pages = Math.max(1, Math.ceil(shown.length / ROWS));
      body.textContent = "";
      for (const i of shown.slice(page * ROWS, (page + 1) * ROWS)) {
        const row = element("tr", undefined, body);
        if (data.called[i]) row.className = "called";
        for (const column of data.columns) {
          if (column.key === "gene") {
            const head = element("th", undefined, row);
            head.scope = "row";
            head.title = rows.gene[i];
            element("bdi", rows.gene[i], head);
          } else {
            element("td", column.key === "status" ? data.statuses[rows.status[i]] : write(rows[column.key][i], column.kind), row);
          }
        }
      }
      find(".page").textContent = "page " + (page + 1) + " of " + pages;
      find(".found").textContent = shown.length.toLocaleString("en") + (shown.length === 1 ? " gene" : " genes");
      find(".previous").disabled = page === 0;
      find(".next").disabled = page + 1 >= pages;
    }

    find(".search").addEventListener("input", filter);
    find(".only").addEventListener("change", filter);
    find(".previous").addEventListener("click", () => { page -= 1; fill(); });
    find(".next").addEventListener("click", () => { page += 1; fill(); });
    box.hidden = false;
    sort();
    volcano(box, data, (name) => { find(".search").value = name; filter(); });
  }

  function volcano(box, data, choose) {
    const canvas = box.querySelector(".volcano"), tip = box.querySelector(".tip"), pen = canvas.getContext("2d");
    const x = data.rows.log2FoldChange, y = data.rows.svalue.map((s) => -Math.log10(s));
    const bands = data.rows.lfsr.map((v) => LIMITS.findIndex((limit) => v < limit));
    const left = 44, right = 10, top = 44, bottom = 40;
    let reach = 0.5, height = 0.5, width = 0, tall = 0;
    for (let i = 0; i < x.length; i += 1) { reach = Math.max(reach, Math.abs(x[i])); height = Math.max(height, y[i]); }
    reach *= 1.05; height *= 1.05;
    const across = (v) => left + (v + reach) / (2 * reach) * (width - left - right);
    const up = (v) => tall - bottom - v / height * (tall - top - bottom);

    function step(range, count) {
      const rough = range / count, power = Math.pow(10, Math.floor(Math.log10(rough)));
      return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    }

    function triangle(px, py, r) {
      pen.beginPath(); pen.moveTo(px, py + r); pen.lineTo(px - r, py - r * 0.8); pen.lineTo(px + r, py - r * 0.8); pen.fill();
    }

    function legend() {
      const words = LIMITS.map((limit) => (limit === Infinity ? "unsure of sign" : "lfsr < " + limit)).concat(["called"]);
      const inner = width - left - right, columns = inner > 560 ? 6 : 3;
      pen.textAlign = "left";
      words.forEach((word, i) => {
        const px = left + 4 + (i % columns) * (inner / columns), py = 9 + 15 * Math.floor(i / columns);
        pen.fillStyle = COLORS[i] || "#222";
        if (i < COLORS.length) pen.fillRect(px, py - 4, 8, 8);
        else triangle(px + 4, py, -4);
        pen.fillStyle = "#444";
        pen.fillText(word, px + 13, py + 4);
      });
    }

    function draw() {
      const ratio = window.devicePixelRatio || 1;
      width = canvas.clientWidth; tall = canvas.clientHeight;
      if (!width) return;
      canvas.width = width * ratio; canvas.height = tall * ratio;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, tall);
      pen.font = "12px system-ui, sans-serif"; pen.fillStyle = "#444"; pen.strokeStyle = "#888";
      pen.textAlign = "center";
      const sx = step(2 * reach, width / 60), sy = step(height, tall / 60);
      for (let v = Math.ceil(-reach / sx) * sx; v <= reach; v += sx) pen.fillText(String(Number(v.toFixed(6))), across(v), tall - bottom + 18);
      pen.textAlign = "right";
      for (let v = 0; v <= height; v += sy) pen.fillText(String(Number(v.toFixed(6))), left - 6, up(v) + 4);
      pen.textAlign = "center";
      pen.fillText("log2 fold change (posterior mean)", (left + width - right) / 2, tall - 6);
      pen.save(); pen.translate(12, (top + tall - bottom) / 2); pen.rotate(-Math.PI / 2); pen.fillText("-log10 s-value", 0, 0); pen.restore();
      pen.beginPath(); pen.moveTo(left, top); pen.lineTo(left, tall - bottom); pen.lineTo(width - right, tall - bottom);
      pen.moveTo(across(0), top); pen.lineTo(across(0), tall - bottom); pen.stroke();
      for (let band = COLORS.length - 1; band >= 0; band -= 1) {
        pen.fillStyle = COLORS[band];
        for (let i = 0; i < x.length; i += 1) {
          if (bands[i] !== band) continue;
          const px = across(x[i]), py = up(y[i]);
          if (data.called[i]) triangle(px, py, x[i] > 0 ? -3.5 : 3.5);
          else pen.fillRect(px - 1.4, py - 1.4, 2.8, 2.8);
        }
      }
      legend();
    }

    function nearest(event) {
      const frame = canvas.getBoundingClientRect(), px = event.clientX - frame.left, py = event.clientY - frame.top;
      let best = -1, least = 144;
      for (let i = 0; i < x.length; i += 1) {
        const dx = across(x[i]) - px, dy = up(y[i]) - py, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = i; }
      }
      return best;
    }

    canvas.addEventListener("pointermove", (event) => {
      const i = nearest(event);
      tip.style.visibility = i < 0 ? "hidden" : "visible";
      if (i < 0) return;
      const rows = data.rows, name = rows.gene[i].length > 60 ? rows.gene[i].slice(0, 59) + "…" : rows.gene[i];
      tip.textContent = name + "\nlog2 fold change " + write(x[i], "log2") + " (" + write(rows.ci_lower[i], "log2") + " to " + write(rows.ci_upper[i], "log2") + ")\nmean count " + write(rows.baseMean[i], "count") + ", s-value " + write(rows.svalue[i], "share") + ", q-value " + write(rows.qvalue[i], "share");
      const at = across(x[i]);
      tip.style.left = Math.max(0, Math.min(at + 12, width - tip.offsetWidth)) + "px";
      tip.style.top = Math.max(0, up(y[i]) + 12) + "px";
    });
    canvas.addEventListener("pointerleave", () => { tip.style.visibility = "hidden"; });
    canvas.addEventListener("click", (event) => { const i = nearest(event); if (i >= 0) choose(data.rows.gene[i]); });
    window.addEventListener("resize", draw);
    draw();
  }

  // Tables that are whole in the page: their rows are put in order.
  function sortable(table) {
    const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
    const value = (row, i) => {
      const cell = row.cells[i], number = Number(cell.dataset.value);
      return cell.dataset.value === undefined ? cell.textContent : Number.isNaN(number) ? Infinity : number;
    };
    headings.forEach((heading, i) => {
      const label = heading.textContent, button = element("button", label);
      heading.textContent = "";
      heading.appendChild(button).type = "button";
      button.addEventListener("click", () => {
        const rising = heading.getAttribute("aria-sort") !== "ascending", sign = rising ? 1 : -1;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [value(row, i), row]);
        rows.sort((a, b) => (a[0] === b[0] ? 0 : a[0] < b[0] ? -sign : sign));
        rows.forEach(([, row]) => body.appendChild(row));
      });
    });
    table.classList.add("sorting");
  }

  document.querySelectorAll(".bx .sortable:not(.sorting)").forEach(sortable);
  // in a notebook every section brings this script: a box is made ready once
  document.querySelectorAll(".bx .explorer[hidden]").forEach(explore);
})();
