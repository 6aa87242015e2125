"use strict";
// Starts the page: connects the feed, the list and the detail, and gives keys their meaning.
(() => {
  const { byId, element } = dom;
  const OPEN_IT = ["In a terminal, run ", element("code", {}, "countersign inspect"), ". It opens this page with the token of the running proxy."];

  let shortcuts = true;
  let announcement = null;
  let counted = "";

  function notice(title, ...sentences) {
    byId("notice").hidden = false;
    dom.replace(byId("notice"), element("h2", {}, title), sentences.map((sentence) => element("p", {}, sentence)));
  }

  function state({ kind, since, reason }) {
    const words = { live: "live", connecting: "connecting", refused: "not connected" };
    const at = since && text.timeOfDay(since).slice(0, 8);
    byId("state").dataset.state = kind;
    byId("state").title = kind === "disconnected" ? `${reason} The page connects again by itself.` : "";
    byId("state-text").textContent = kind === "disconnected" ? `disconnected since ${at}` : words[kind];
    byId("notice").hidden = kind !== "refused";
    if (kind === "refused") notice("The proxy does not accept this page's token", reason, OPEN_IT);
    if (kind === "live" && isPaused()) showPaused(true);
  }

  function message(received) {
    if (received.type === "exchange") list.add(received.exchange);
    else if (received.type === "cleared") list.clear();
    else if (received.type === "hello") {
      // What the proxy still keeps follows.
      list.clear();
      byId("proxy").textContent = text.plain(received.proxy);
      byId("proxy").title = `Countersign ${text.plain(received.version)}, recording ${received.mode === "bodies" ? "heads and bodies" : "heads only"}`;
    }
  }

  function connect() {
    state({ kind: "connecting" });
    if (api.takeToken()) feed.open(message, state);
    else {
      state({ kind: "refused" });
      notice("This page needs its token", OPEN_IT);
    }
  }

  const isPaused = () => byId("pause").getAttribute("aria-pressed") === "true";

  function pause() {
    const paused = !isPaused();
    byId("pause").setAttribute("aria-pressed", paused);
    byId("pause").textContent = paused ? "Resume" : "Pause";
    if (["live", "paused"].includes(byId("state").dataset.state)) showPaused(paused);
    list.setPaused(paused);
  }

  function showPaused(paused) {
    byId("state").dataset.state = byId("state-text").textContent = paused ? "paused" : "live";
  }

  function applyFilter() {
    const parsed = filter.parse(byId("filter").value);
    byId("filter-problem").textContent = parsed.problem;
    list.setFilter(parsed, byId("only-refusals").checked);
  }

  function count({ shown, kept, waiting }) {
    const requests = (number) => `${number} ${number === 1 ? "request" : "requests"}`;
    const words = (shown === kept ? requests(kept) : `${shown} of ${requests(kept)}`) + (waiting > 0 ? `, ${waiting} more when resumed` : "");
    const isFiltered = kept > 0 && shown === 0;
    byId("empty").hidden = shown > 0;
    byId("empty").textContent = isFiltered ? "No request matches the filter." : "No requests yet. They appear here as the proxy receives them.";
    if (words === counted) return;
    counted = words;
    byId("count").textContent = words;
    // Once in a while: a busy proxy would have a screen reader speak without a pause.
    announcement ??= setTimeout(() => {
      announcement = null;
      byId("announce").textContent = counted;
    }, 2000);
  }

  function setDetailOpen(open) {
    document.body.classList.toggle("with-detail", open);
    byId("divider").hidden = !open;
  }

  function setWidth(percent) {
    const width = Math.max(20, Math.min(80, percent));
    byId("main").style.setProperty("--list-width", `${width}%`);
    byId("divider").setAttribute("aria-valuenow", Math.round(width));
  }

  const KEYS = {
    j: () => list.move(1),
    k: () => list.move(-1),
    r: () => actions.replay(),
    e: () => actions.edit(),
    c: () => actions.copyCommand("curl"),
    "/": () => byId("filter").focus(),
    "?": () => byId("help-dialog").showModal(),
  };
  const LIST_KEYS = {
    ArrowDown: () => list.move(1),
    ArrowUp: () => list.move(-1),
    Home: () => list.move(-Infinity),
    End: () => list.move(Infinity),
    Enter: () => list.selected() && list.select(list.selected().id, { open: true, focus: false }),
  };

  function key(event) {
    const { target, key: pressed } = event;
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (pressed === "Escape") return escape(event);
    if (target.matches("input, textarea, select")) return;
    const inList = target === document.body || byId("requests").contains(target);
    const act = inList && !target.matches("button") && LIST_KEYS[pressed] ? LIST_KEYS[pressed] : shortcuts && KEYS[pressed];
    if (!act) return;
    event.preventDefault();
    act();
  }

  function escape(event) {
    const box = byId("filter");
    if (event.target === box) {
      if (box.value === "") list.focus();
      box.value = "";
      applyFilter();
    } else if (detail.isOpen()) detail.close();
    else if (box.value !== "") {
      box.value = "";
      applyFilter();
    } else return;
    event.preventDefault();
  }

  function drag(event) {
    const { left, width } = byId("main").getBoundingClientRect();
    const move = ({ clientX }) => setWidth(((clientX - left) / width) * 100);
    const divider = byId("divider");
    divider.setPointerCapture(event.pointerId);
    divider.addEventListener("pointermove", move);
    divider.addEventListener("lostpointercapture", () => divider.removeEventListener("pointermove", move), { once: true });
  }

  list.listen({
    select: (exchange) => detail.isOpen() && detail.current()?.id !== exchange.id && detail.show(exchange),
    open(exchange) {
      setDetailOpen(true);
      // In a narrow window the detail takes the place of the list.
      if (byId("requests").offsetParent === null) detail.focus();
      if (detail.current()?.id !== exchange.id) detail.show(exchange);
    },
    change: (exchange) => detail.update(exchange),
    count,
  });
  detail.listen({
    close() {
      setDetailOpen(false);
      list.focus();
    },
  });
  byId("filter").addEventListener("input", applyFilter);
  byId("only-refusals").addEventListener("change", applyFilter);
  byId("pause").addEventListener("click", pause);
  byId("har-all").addEventListener("click", () => actions.exportHar());
  byId("clear").addEventListener("click", () => actions.clear());
  byId("help").addEventListener("click", KEYS["?"]);
  byId("shortcuts").addEventListener("change", (event) => {
    shortcuts = event.target.checked;
  });
  byId("divider").addEventListener("pointerdown", drag);
  byId("divider").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    if (step) setWidth(Number(byId("divider").getAttribute("aria-valuenow")) + step);
  });
  document.addEventListener("keydown", key);
  addEventListener("hashchange", connect);
  addEventListener("online", feed.hurry);
  document.addEventListener("visibilitychange", () => document.hidden || feed.hurry());
  applyFilter();
  connect();
})();
