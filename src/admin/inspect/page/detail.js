"use strict";
// The detail of one exchange: what it was, what it meant, where the time went, and what went over the wire.
const detail = (() => {
  const { byId, element, button } = dom;
  const pane = byId("detail");

  let current = null;
  let controller = null;
  let reloads = null;
  // Sections that the user has closed or opened stay so from one exchange to the next.
  const open = { messages: true, timing: true, attempt: false, attempts: true, identity: false, request: true, response: true, signature: false, bodies: true };
  let on = { close() {} };

  const isOpen = () => !pane.hidden;
  const shows = (id) => isOpen() && current?.id === id;

  // Shows what the list knows at once, and the rest as soon as it is there.
  function show(exchange) {
    const isOther = current?.id !== exchange.id;
    pane.hidden = false;
    current = exchange;
    render(exchange, { keep: !isOther });
    load(exchange.id);
  }

  async function load(id) {
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    try {
      const answer = await api.exchange(id, signal);
      if (signal.aborted || !shows(id)) return;
      current = { ...current, ...(answer.exchange ?? answer) };
      render(current, { keep: true });
    } catch (error) {
      if (signal.aborted || !shows(id)) return;
      const gone = error instanceof api.Refused && error.status === 404;
      note(gone ? "The proxy no longer keeps this request: newer ones took its place." : `The rest of this request could not be loaded. ${error.message}`);
    }
  }

  // The feed has a newer state of an exchange. Several changes in a moment load once.
  function update(exchange) {
    if (!shows(exchange.id)) return;
    if (exchange.revision === current.revision) return;
    reloads ??= setTimeout(() => {
      reloads = null;
      if (isOpen() && current) load(current.id);
    }, 250);
  }

  function close() {
    controller?.abort();
    current = null;
    pane.hidden = true;
    pane.replaceChildren();
    on.close();
  }

  function note(sentence) {
    pane.querySelector(".detail-note")?.replaceChildren(sentence);
  }

  function render(exchange, { keep }) {
    const place = keep ? pane.scrollTop : 0;
    const focused = keep ? pane.contains(document.activeElement) && document.activeElement.dataset.key : undefined;
    dom.replace(
      pane,
      heading(exchange),
      element("p", { class: "detail-note problem", role: "status" }),
      sections.meaning(exchange),
      facts(exchange),
      section("messages", "Messages", messages.list(exchange)),
      section("timing", "Timing", sections.timing(exchange)),
      attemptsSection(exchange),
      section("identity", "Identity", sections.identity(exchange)),
      section("request", "Request headers: from the client, and as signed and sent", sections.headers(exchange.request_headers, exchange.sent_headers, exchange.attempts?.at(-1)?.signed_headers)),
      section("response", "Response headers: from the upstream, and as sent to the client", responseHeaders(exchange)),
      section("signature", "What was signed", sections.signature(exchange)),
      section("bodies", "Bodies", bodies(exchange)),
    );
    pane.scrollTop = place;
    if (focused) pane.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  // A refusal of the proxy has no answer of an upstream.
  const responseHeaders = ({ upstream_headers: from, response_headers: sent }) =>
    sections.headers(from?.length ? from : sent, sent);

  function attemptsSection(exchange) {
    const count = exchange.attempts?.length ?? 0;
    const [key, title] = count > 1 ? ["attempts", `Attempts: ${count}`] : ["attempt", "Attempt"];
    return section(key, title, sections.attempts(exchange));
  }

  function bodies(exchange) {
    const { request_body: up, response_body: down } = exchange;
    if ((!up && !down) || exchange.websocket) return null;
    return [element("h3", {}, "Request body"), sections.body(up, "request body"), element("h3", {}, "Response body"), sections.body(down, "response body")];
  }

  function section(key, title, content) {
    if (!content) return null;
    const made = element("details", { class: `section s-${key}`, open: open[key] }, element("summary", { "data-key": `section-${key}` }, element("h2", {}, title)), content);
    made.addEventListener("toggle", () => {
      open[key] = made.open;
    });
    return made;
  }

  function heading(exchange) {
    const doing = [
      ["curl", "Copy curl", () => actions.copyCommand("curl")],
      ["call", "Copy countersign call", () => actions.copyCommand("call")],
      ["fetch", "Copy fetch", () => actions.copyCommand("fetch")],
      // What passed behind a handshake cannot be sent again.
      ...(exchange.websocket ? [] : [["replay", "Replay", () => actions.replay()], ["edit", "Edit and resend", () => actions.edit()]]),
      ["har", "HAR", () => actions.exportHar(current.id)],
    ];
    return element(
      "header",
      { class: "detail-head" },
      element(
        "div",
        { class: "detail-title" },
        element("h2", { class: "mono" }, element("span", { class: "c-method" }, text.visible(exchange.method)), " ", text.visible(text.target(exchange))),
        button("Close", close, { "data-key": "close", class: "close" }),
      ),
      element("p", { class: `summary ${list.statusClass(exchange)}${filter.isRefused(exchange) ? " refused" : ""}` }, summary(exchange)),
      element("div", { class: "doing" }, doing.map(([key, label, act]) => button(label, act, { "data-key": key }))),
    );
  }

  const facts = (exchange) =>
    sections.pairs([
      ["Aborted", exchange.aborted],
      ["Refused as", exchange.code],
      ["WebSocket", messages.summary(exchange)],
      ["Page", exchange.page_origin],
      ["Request id", exchange.request_id ?? exchange.id],
      ["Request id of the API", exchange.upstream_request_id],
      ["Replay of", exchange.replay_of && original(exchange.replay_of)],
    ]);

  function summary(exchange) {
    const origin = { proxy: "answered by Countersign", upstream: "answered by the API" }[exchange.origin];
    const sizes = [`${text.size(exchange.bytes_up ?? 0)} sent`, `${text.size(exchange.bytes_down ?? 0)} received`];
    const facts = [origin, exchange.state === "active" ? "in progress" : text.duration(exchange.duration_ms), ...sizes, text.timeOfDay(exchange.started), exchange.http && `HTTP/${text.plain(exchange.http)}`];
    const status = [exchange.status, exchange.state === "aborted" && "aborted"].filter(Boolean).join(" ") || "no answer yet";
    return [element("strong", { class: "c-status" }, status), ` ${facts.filter(Boolean).join(" · ")}`];
  }

  function original(id) {
    return list.get(id) ? button(text.plain(id), () => list.select(id, { open: true }), { class: "link" }) : text.plain(id);
  }

  return {
    show, update, close, isOpen, note,
    current: () => (isOpen() ? current : null),
    focus: () => pane.focus({ preventScroll: true }),
    listen: (handlers) => (on = { ...on, ...handlers }),
  };
})();
