// The table of trials: sorted by a click on a column's name, filtered by state, a page at a time.
(function () {
  const place = document.getElementById("trials");
  if (!place) return;
  const { columns, rows, best } = JSON.parse(document.getElementById("trials-data").textContent);
  const isBest = new Set(best);
  const size = 50, FRONT = "Pareto front";
  const view = { column: 0, down: false, state: null, page: 0 };

  function isIn(state) {
    return (row) => state === null || (state === FRONT ? isBest.has(row[0]) : row[1] === state);
  }

  function element(name, text, attributes) {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    return Object.assign(made, attributes);
  }

  function shown(value) {
    if (typeof value !== "number") return value === null ? "" : String(value);
    if (Number.isInteger(value)) return String(value);
    const rounded = Number(value.toPrecision(6));
    return Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
  }

  function compare(one, other) {
    const a = one[view.column], b = other[view.column];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), undefined, { numeric: true });
    return view.down ? -order : order;
  }

  function button(text, act, properties) {
    return element("button", text, { type: "button", onclick: act, ...properties });
  }

  function show(change) {
    Object.assign(view, change);
    draw();
  }

  function bar(count) {
    const made = element("div", null, { className: "bar" });
    const states = [...new Set(rows.map((row) => row[1]))];
    const filters = [...(states.length > 1 ? states : []), ...(best.length > 1 ? [FRONT] : [])];
    for (const state of filters.length ? [null, ...filters] : []) {
      const total = rows.filter(isIn(state)).length;
      made.append(button(`${state ?? "all"} ${total}`, () => show({ state, page: 0 }),
        { ariaPressed: String(view.state === state) }));
    }
    if (count > size) {
      const last = Math.ceil(count / size) - 1;
      const pages = element("span", null, { className: "pages bar" });
      const from = view.page * size + 1, to = Math.min(count, from + size - 1);
      pages.append(
        button("‹", () => show({ page: view.page - 1 }), { disabled: view.page === 0 }),
        element("span", `${from}–${to} of ${count}`),
        button("›", () => show({ page: view.page + 1 }), { disabled: view.page === last }));
      made.append(pages);
    }
    return made;
  }

  function draw() {
    const kept = rows.filter(isIn(view.state)).sort(compare);
    const table = element("table");
    const head = table.createTHead().insertRow();
    columns.forEach((name, column) => {
      const cell = element("th", name, {
        onclick: () => show({ column, down: view.column === column && !view.down, page: 0 }),
      });
      if (column === view.column) cell.ariaSort = view.down ? "descending" : "ascending";
      head.append(cell);
    });
    const body = table.createTBody();
    for (const row of kept.slice(view.page * size, (view.page + 1) * size)) {
      const line = body.insertRow();
      if (isBest.has(row[0])) line.className = "best";
      row.forEach((value, column) => {
        line.append(element("td", shown(value), { className: column === 1 ? value : "" }));
      });
    }
    const scroll = element("div", null, { className: "scroll" });
    scroll.append(table);
    place.replaceChildren(bar(kept.length), scroll);
  }

  draw();
})();
