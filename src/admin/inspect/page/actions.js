"use strict";
// What a person does with an exchange: copy it, send it again, export it.
const actions = (() => {
  const { byId } = dom;
  const NO_REPLAY = "A WebSocket cannot be replayed. Connect a client again.";
  const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);
  // The proxy or the HTTP client sets these anew; a copy of the old value would be wrong.
  const MADE_ANEW = new Set(["host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "upgrade", "expect"]);
  // Stands in the place of a secret; the second form does in a path or query.
  const REDACTED = /\[redacted\]|%5Bredacted%5D/i;
  const COMMANDS = { curl: "curl command", call: "countersign call", fetch: "fetch call" };

  let toastTimer = null;
  function say(sentence) {
    byId("toast").textContent = sentence;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => byId("toast").replaceChildren(), 6000);
  }

  async function attempt(what, act) {
    try {
      return await act();
    } catch (error) {
      say(`${what} failed. ${error.message}`);
      return undefined;
    }
  }

  async function copy(value, label) {
    try {
      await navigator.clipboard.writeText(value);
      say(`Copied the ${label}.`);
    } catch {
      // No permission, or a page that the browser does not trust because it came over plain HTTP from another machine.
      byId("copy-text").value = value;
      byId("copy-dialog").showModal();
      byId("copy-text").select();
    }
  }

  // The exchange with its detail: what is shown, or else what is selected.
  async function whole() {
    const shown = detail.current() ?? list.selected();
    if (!shown) {
      say("Select a request first.");
      return undefined;
    }
    if (shown.curl !== undefined) return shown;
    const answer = await attempt("Loading the request", () => api.exchange(shown.id));
    return answer && { ...shown, ...(answer.exchange ?? answer) };
  }

  async function copyCommand(kind) {
    const exchange = await whole();
    if (!exchange) return;
    if (exchange[kind]) await copy(exchange[kind], COMMANDS[kind]);
    else say(`There is no ${COMMANDS[kind]} for this request.`);
  }

  function confirmed(method, path) {
    const dialog = byId("confirm-dialog");
    byId("confirm-title").textContent = `Send ${text.plain(method)} again?`;
    byId("confirm-text").textContent = `${text.plain(method)} ${text.plain(path)} may change something at the API, a second time.`;
    byId("confirm-yes").textContent = `Send ${text.plain(method)}`;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }

  const isRedacted = (value) => REDACTED.test(value ?? "");

  // Why the recorded body cannot be sent again as it was, or "".
  function missingBody({ request_body: body, bytes_up: sent }) {
    if (body?.truncated) return "Only the first 64 KiB of the body were kept.";
    if (isRedacted(body?.text)) return "Secrets in the body were not kept: replace [redacted].";
    if (body ? body.size > 0 && typeof body.text !== "string" : sent > 0) return "The body of this request was not kept.";
    return "";
  }

  async function replay() {
    const exchange = await whole();
    if (!exchange) return;
    if (exchange.websocket) return say(NO_REPLAY);
    // The form says what is missing.
    if (missingBody(exchange)) return edit();
    if (!SAFE.has(exchange.method) && !(await confirmed(exchange.method, text.target(exchange)))) return;
    await send({ id: exchange.id });
  }

  async function send(request) {
    const answer = await attempt("The replay", () => api.replay(request));
    if (!answer) return false;
    const leftOut = answer.left_out ?? answer.omitted_headers ?? [];
    const note = leftOut.length > 0 ? ` Left out, because their values are not kept: ${leftOut.map(text.plain).join(", ")}.` : "";
    say(`Sent again${answer.status ? `: ${answer.status}` : ""}.${note}`);
    if (answer.id) list.await(answer.id);
    return true;
  }

  async function edit() {
    const exchange = await whole();
    if (!exchange) return;
    if (exchange.websocket) return say(NO_REPLAY);
    const kept = [];
    const leftOut = [];
    for (const [name, value] of exchange.request_headers ?? []) {
      if (MADE_ANEW.has(name.toLowerCase())) continue;
      if (isRedacted(value)) leftOut.push(name);
      else kept.push(`${name}: ${value}`);
    }
    byId("edit-form").dataset.id = exchange.id;
    byId("edit-method").value = exchange.method;
    byId("edit-path").value = text.target(exchange);
    byId("edit-headers").value = kept.join("\n");
    byId("edit-body").value = exchange.request_body?.text ?? "";
    note("edit-path-note", isRedacted(text.target(exchange)) && "Secrets were not kept: replace %5Bredacted%5D. A query parameter that still has it is left out.");
    note("edit-left-out", leftOut.length > 0 && `Left out, because their values are not kept: ${leftOut.map(text.plain).join(", ")}.`);
    note("edit-body-note", missingBody(exchange));
    byId("edit-problem").textContent = "";
    byId("edit-dialog").showModal();
  }

  function note(id, sentence) {
    byId(id).textContent = sentence || "";
    byId(id).hidden = !sentence;
  }

  // The headers of the form, or a sentence about the first line that is none.
  function readHeaders(lines) {
    const headers = [];
    for (const [index, line] of lines.split("\n").entries()) {
      if (line.trim() === "") continue;
      const [, name, value] = line.match(/^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(.*?)\s*$/) ?? [];
      if (name === undefined) return { problem: `Line ${index + 1} of the headers is not “name: value”.` };
      headers.push([name, value]);
    }
    return { headers };
  }

  async function submitEdit(event) {
    event.preventDefault();
    const dialog = byId("edit-dialog");
    if (event.submitter?.value !== "send") return dialog.close();
    const { headers, problem } = readHeaders(byId("edit-headers").value);
    if (problem) {
      byId("edit-problem").textContent = problem;
      byId("edit-headers").focus();
      return undefined;
    }
    const method = byId("edit-method").value.trim();
    const path = byId("edit-path").value.trim();
    if (!SAFE.has(method) && !(await confirmed(method, path))) return undefined;
    const request = { id: byId("edit-form").dataset.id, method, path, headers, body: byId("edit-body").value };
    byId("edit-send").disabled = true;
    const sent = await send(request);
    byId("edit-send").disabled = false;
    if (sent) dialog.close();
    else byId("edit-problem").textContent = byId("toast").textContent;
    return undefined;
  }

  async function exportHar(id) {
    const blob = await attempt("The export", () => api.har(id));
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    const name = `countersign-${id === undefined ? new Date().toISOString().slice(0, 19).replaceAll(":", "") : id.replace(/[^\w-]/g, "")}.har`;
    dom.element("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(`Exported ${name}. Secrets are not in it.`);
  }

  async function clear() {
    const shown = detail.current()?.id;
    // The feed says when the list is to be emptied, so that what arrives after that stays, and may be open by now.
    const done = await attempt("Clearing", () => api.clear());
    if (done && detail.isOpen() && detail.current()?.id === shown) detail.close();
  }

  byId("edit-form").addEventListener("submit", submitEdit);

  return { isRedacted, say, copy, copyCommand, replay, edit, exportHar, clear };
})();
