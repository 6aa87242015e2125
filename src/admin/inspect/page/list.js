"use strict";
// The list of exchanges. All rows are in the document; style.css lets the browser skip those that are not in view.
const list = (() => {
  const MAX_ROWS = 500;
  // Bars are logarithmic: the longest one, in pixels, stands for 30 s.
  const MAX_BAR = 66;
  const MAX_LOG = Math.log1p(30_000);

  const { byId, element } = dom;
  const scroll = byId("scroll");
  const rows = byId("rows");
  const grid = byId("grid");
  const newest = byId("newest");

  // By id, oldest first: {exchange, row, cells, searched}.
  const records = new Map();
  // What the next frame shows, by id. Bounded also while the page is hidden and has no frames.
  const pending = new Map();
  let scheduled = false;
  let paused = false;
  let filtering = { matches: () => true };
  let onlyRefusals = false;
  let selected = null;
  let awaited = null;
  let following = true;
  let unread = 0;
  let shownRows = 0;
  let on = { select() {}, open() {}, change() {}, count() {} };

  const statusClass = ({ status, state }) => {
    if (state === "aborted") return "s-aborted";
    if (typeof status !== "number") return "s-active";
    return `s-${Math.floor(status / 100)}`;
  };

  function statusText({ status, state }) {
    if (state === "aborted") return "aborted";
    if (typeof status === "number") return String(status);
    return state === "active" ? "…" : "";
  }

  const originText = ({ origin }) => ({ proxy: "proxy", upstream: "API" })[origin] ?? "";

  function add(exchange) {
    if (typeof exchange?.id !== "string") return;
    const known = pending.get(exchange.id) ?? records.get(exchange.id)?.exchange;
    if (known && known.revision > exchange.revision) return;
    pending.set(exchange.id, exchange);
    if (pending.size > MAX_ROWS) pending.delete(pending.keys().next().value);
    schedule();
  }

  function schedule() {
    if (scheduled || paused) return report();
    scheduled = true;
    requestAnimationFrame(flush);
  }

  function flush() {
    scheduled = false;
    if (paused) return report();
    const fresh = document.createDocumentFragment();
    let added = 0;
    for (const exchange of pending.values()) {
      const record = records.get(exchange.id);
      if (record) {
        update(record, exchange);
        continue;
      }
      const made = make(exchange);
      records.set(exchange.id, made);
      fresh.append(made.row);
      if (!made.row.hidden) added += 1;
    }
    pending.clear();
    rows.append(fresh);
    dropOldest();
    number();
    if (!following) unread += added;
    report();
    if (records.has(awaited)) {
      const id = awaited;
      awaited = null;
      select(id, { open: true });
    }
  }

  function make(exchange) {
    const cells = {};
    const cell = (name, ...children) => {
      cells[name] = element("span", { role: "gridcell", class: `c-${name}` }, children);
      return cells[name];
    };
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    const figure = element("span", { class: "figure" });
    const row = element(
      "div",
      { role: "row", class: "row", tabindex: "-1", "aria-selected": String(exchange.id === selected), "data-id": exchange.id },
      cell("time"), cell("method"), cell("path"), cell("status"), cell("origin"), cell("identity"), cell("duration", bar, figure), cell("meaning"),
    );
    const record = { exchange, row, cells, bar, figure, searched: "" };
    update(record, exchange);
    return record;
  }

  function update(record, exchange) {
    const { row, cells, bar, figure } = record;
    record.exchange = exchange;
    record.searched = filter.searchable(exchange);
    const refused = filter.isRefused(exchange);
    const name = exchange.meaning?.name ?? exchange.code ?? "";
    row.className = `row ${statusClass(exchange)}${refused ? " refused" : ""}${name ? " explained" : ""}`;
    dom.replace(cells.time, text.timeOfDay(exchange.started));
    dom.replace(cells.method, text.visible(exchange.method));
    const query = exchange.query ? element("span", { class: "muted" }, text.visible(`?${exchange.query}`)) : null;
    const replay = exchange.replay_of ? element("span", { class: "tag" }, "replay") : null;
    dom.replace(cells.path, replay, text.visible(exchange.path), query);
    dom.replace(cells.status, statusText(exchange));
    dom.replace(cells.origin, originText(exchange));
    dom.replace(cells.identity, text.visible(filter.identityOf(exchange)));
    const milliseconds = exchange.duration_ms;
    figure.textContent = exchange.state === "active" ? "" : text.duration(milliseconds);
    const share = typeof milliseconds === "number" ? Math.min(1, Math.log1p(Math.max(0, milliseconds)) / MAX_LOG) : 0;
    bar.style.width = `${Math.round(share * MAX_BAR)}px`;
    dom.replace(cells.meaning, text.visible(name));
    show(record);
    if (exchange.id === selected) on.change(exchange);
  }

  function show(record) {
    const matches = filtering.matches(record.exchange, record.searched);
    record.row.hidden = !(matches && (!onlyRefusals || filter.isRefused(record.exchange)));
  }

  function dropOldest() {
    for (const [id, record] of records) {
      if (records.size <= MAX_ROWS) return;
      if (record.row.contains(document.activeElement)) scroll.focus({ preventScroll: true });
      record.row.remove();
      records.delete(id);
    }
  }

  // Row numbers for screen readers count what the filter shows; one row takes part in the order of focus.
  function number() {
    let index = 1;
    let focusable = null;
    for (const { row, exchange } of records.values()) {
      if (row.hidden) continue;
      index += 1;
      row.setAttribute("aria-rowindex", index);
      if (row.tabIndex === 0) row.tabIndex = -1;
      if (focusable === null || exchange.id === selected) focusable = row;
    }
    if (focusable) focusable.tabIndex = 0;
    grid.setAttribute("aria-rowcount", index);
    shownRows = index - 1;
  }

  function report() {
    newest.hidden = following || unread === 0;
    newest.textContent = `${unread} new ↓`;
    on.count({ shown: shownRows, kept: records.size, waiting: paused ? pending.size : 0 });
  }

  function setFilter(parsed, refusalsOnly) {
    filtering = parsed;
    onlyRefusals = refusalsOnly;
    for (const record of records.values()) show(record);
    number();
    if (!following) records.get(selected)?.row.scrollIntoView({ block: "nearest" });
    report();
  }

  function setPaused(value) {
    paused = value;
    if (!paused && pending.size > 0) schedule();
    report();
  }

  function clear() {
    pending.clear();
    records.clear();
    rows.replaceChildren();
    unread = 0;
    following = true;
    number();
    report();
  }

  function select(id, { open = false, focus = true } = {}) {
    const record = records.get(id);
    if (!record) return;
    records.get(selected)?.row.setAttribute("aria-selected", "false");
    selected = id;
    record.row.setAttribute("aria-selected", "true");
    number();
    if (focus) record.row.focus({ preventScroll: true });
    on.select(record.exchange);
    if (open) on.open(record.exchange);
    record.row.scrollIntoView({ block: "nearest" });
  }

  const visibleIds = () => [...records.values()].filter(({ row }) => !row.hidden).map(({ exchange }) => exchange.id);

  // Selects the row `steps` further down, or the first or last one.
  function move(steps, options) {
    const ids = visibleIds();
    if (ids.length === 0) return;
    const at = ids.indexOf(selected);
    const start = at === -1 ? (steps > 0 ? -1 : ids.length) : at;
    select(ids[Math.max(0, Math.min(ids.length - 1, start + steps))], options);
  }

  function focus() {
    const record = records.get(selected);
    const row = record && !record.row.hidden ? record.row : rows.querySelector('[tabindex="0"]');
    (row ?? scroll).focus();
  }

  const idOf = (event) => event.target.closest?.("[data-id]")?.dataset.id;
  rows.addEventListener("click", (event) => {
    // A click that ends the selection of text opens nothing.
    if (idOf(event) !== undefined && getSelection().isCollapsed) select(idOf(event), { open: true });
  });
  rows.addEventListener("focusin", (event) => {
    const id = idOf(event);
    if (id !== undefined && id !== selected && event.target.matches(":focus-visible")) select(id, { focus: false });
  });
  scroll.addEventListener("scroll", () => {
    const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 24;
    if (atEnd === following) return;
    following = atEnd;
    if (following) unread = 0;
    report();
  });
  // Observers run when the layout is known: to ask for it earlier would compute it twice in a frame.
  const follow = () => {
    if (following) scroll.scrollTop = scroll.scrollHeight;
  };
  new ResizeObserver(follow).observe(grid);
  new ResizeObserver(() => {
    // Rows change their height with the width of the list.
    if (!following) records.get(selected)?.row.scrollIntoView({ block: "nearest" });
    follow();
  }).observe(scroll);
  newest.addEventListener("click", () => {
    scroll.scrollTop = scroll.scrollHeight;
  });

  return {
    add, clear, select, move, focus, setFilter, setPaused, statusClass, statusText, originText,
    await: (id) => {
      awaited = id;
      if (records.has(id)) schedule();
    },
    selected: () => records.get(selected)?.exchange ?? null,
    get: (id) => records.get(id)?.exchange,
    listen: (handlers) => (on = { ...on, ...handlers }),
  };
})();
