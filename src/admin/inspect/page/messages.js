"use strict";
// The messages of a WebSocket, the newest last.
const messages = (() => {
  const { element, button, unseen } = dom;
  const OPCODES = { 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };
  const OMITTED = {
    binary: "not text",
    encoded: "compressed, and the proxy does not decompress",
    heads: "not kept: start the proxy with “--inspect bodies” to see messages",
  };
  const MAX_PREVIEW = 160;
  // Messages that the user has opened, by exchange and number: the list is made anew when a message arrives.
  const opened = new Set();

  function summary({ websocket }) {
    if (!websocket) return null;
    const counts = `${websocket.messages_up} sent, ${websocket.messages_down} received`;
    if (websocket.state === "open") return `open, ${counts}`;
    const code = websocket.code ? ` with ${websocket.code}` : "";
    return `closed by ${{ client: "the client", upstream: "the API", proxy: "Countersign" }[websocket.closed_by] ?? "nobody"}${code}, ${counts}`;
  }

  function list({ id, websocket, messages: recorded }) {
    if (!websocket || !recorded) return null;
    const { kept, forgotten } = recorded;
    if (kept.length === 0) return element("p", { class: "muted" }, "No message yet.");
    const older = forgotten > 0 && element("p", { class: "muted" }, `${forgotten} older ${forgotten === 1 ? "message is" : "messages are"} no longer kept.`);
    return [older, element("ol", { class: "messages" }, kept.map((message, at) => item(message, `${id}/${forgotten + at}`)))];
  }

  function item(message, key) {
    const isUp = message.direction === "up";
    const kind = OPCODES[message.opcode] ?? `opcode ${message.opcode}`;
    const facts = [kind, message.code, text.size(message.size)].filter((fact) => fact !== undefined).join(" ");
    return element(
      "li",
      { class: isUp ? "m-up" : "m-down" },
      element("span", { class: "m-time" }, text.timeOfDay(message.time)),
      element("span", { class: "sign", "aria-hidden": "true" }, isUp ? "↑" : "↓"),
      element("span", { class: "m-kind" }, unseen(isUp ? "sent: " : "received: "), text.visible(facts)),
      content(message, key),
    );
  }

  function content(message, key) {
    const { text: whole, omitted, truncated } = message;
    if (typeof whole !== "string") return element("span", { class: "muted" }, OMITTED[omitted] ?? "");
    if (whole.length <= MAX_PREVIEW && !/[\r\n]/.test(whole)) return element("span", { class: "m-text" }, text.visible(whole));
    const preview = whole.slice(0, MAX_PREVIEW).replace(/\s+/g, " ");
    const summaryLine = element("summary", { class: "m-text", "data-key": `message-${key}` }, text.visible(preview), whole.length > MAX_PREVIEW ? "…" : null);
    const cut = truncated && element("p", { class: "muted" }, "The text ends here: the proxy keeps the first 64 KiB of a message.");
    const block = element("pre", { tabindex: "0", "aria-label": "message" }, text.visible(text.formattedJson(whole, { partial: truncated === true }) ?? whole, { block: true }));
    const copy = button("Copy", () => actions.copy(whole, "message"), { "aria-label": "Copy message" });
    const made = element("details", { open: opened.has(key) }, summaryLine, element("div", { class: "copyable" }, block, copy), cut);
    made.addEventListener("toggle", () => (made.open ? opened.add(key) : opened.delete(key)));
    return made;
  }

  return { summary, list };
})();
