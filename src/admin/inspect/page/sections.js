"use strict";
// The parts of a request's detail, each made from the exchange as the admin listener describes it.
const sections = (() => {
  const { element, button, unseen } = dom;
  const PHASES = ["queue", "credentials", "connect", "send", "wait", "receive"];
  const PHASE_HELP = {
    queue: "until the body was read and a place was free",
    credentials: "until credentials were ready and the request was signed",
    connect: "name lookup, connection and TLS; none on a reused connection",
    send: "until the system had taken the last byte",
    wait: "until the first byte of the answer",
    receive: "until the last byte had gone to the client",
    other: "pauses between attempts, and work of the proxy",
  };
  const OMITTED = {
    binary: "It is not text.",
    encoded: "It is compressed, and the proxy does not decompress.",
    heads: "The proxy keeps no bodies: start it with “--inspect bodies” to see them.",
    streamed: "It was sent while it arrived, and none of it is kept.",
    unread: "The proxy refused the request before it read the body.",
  };

  const pairs = (entries) =>
    element(
      "dl",
      { class: "facts" },
      entries
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => [element("dt", {}, name), element("dd", {}, typeof value === "string" ? text.visible(value) : value)]),
    );

  // A value that both sides keep secret may have changed all the same; that of a signature always has.
  const isNew = (name, value) => name === "authorization" && actions.isRedacted(value);

  const block = (label, nodes) => element("pre", { tabindex: "0", "aria-label": label }, nodes);

  function copyable(label, value) {
    const copy = button("Copy", () => actions.copy(value, label), { "aria-label": `Copy ${label}` });
    return element("div", { class: "copyable" }, block(label, text.visible(value, { block: true })), copy);
  }

  function meaning(exchange) {
    const { meaning: explained } = exchange;
    if (!explained) return null;
    const { name, cause, cure, policy, difference: differing, principal, action, resource } = explained;
    const skew = explained.skew_seconds;
    const ahead = typeof skew === "number" ? `${Math.abs(skew)} s ${skew < 0 ? "behind" : "ahead"}` : undefined;
    return element(
      "section",
      { class: "meaning", "aria-label": "Meaning" },
      element("p", { class: "name" }, text.visible(name)),
      element("p", { class: "cause" }, text.visible(text.sentence(cause))),
      cure && element("p", { class: "cure" }, text.visible(text.sentence(cure))),
      pairs([["Role or user", principal], ["Action", action], ["Resource", resource], ["Signing clock", ahead], ["Expected", explained.expected]]),
      policy && [element("h3", {}, "Policy statement that would allow it"), copyable("policy statement", text.formattedJson(policy) ?? policy)],
      differing?.length > 0 && [element("h3", {}, "What differs"), difference.sideBySide(exchange.canonical_request, differing)],
    );
  }

  function timing({ timing: phases, duration_ms: total, state }) {
    const known = PHASES.map((name) => [name, phases?.[name]]).filter(([, value]) => typeof value === "number");
    if (known.length === 0) return null;
    const sum = known.reduce((all, [, value]) => all + value, 0);
    if (typeof total === "number" && total - sum > 0.1 && state !== "active") known.push(["other", total - sum]);
    const bar = element("div", { class: "phases", "aria-hidden": "true" });
    for (const [name, value] of known) {
      const part = element("span", { class: `phase p-${name}` });
      part.style.flexGrow = Math.max(value, 0);
      bar.append(part);
    }
    const figures = known.map(([name, value]) =>
      element("div", { class: "phase-figure", title: PHASE_HELP[name] }, element("dt", {}, element("span", { class: `swatch p-${name}`, "aria-hidden": "true" }), name), element("dd", {}, text.duration(value))),
    );
    return [bar, element("dl", { class: "phase-figures" }, figures)];
  }

  function attempts({ attempts: all }) {
    if (!all?.length) return null;
    const one = (attempt) => {
      const outcome = attempt.error ?? attempt.status ?? "no answer";
      const scope = [attempt.region, attempt.service].filter(Boolean).join(" / ");
      return element(
        "li",
        {},
        element("p", {}, element("strong", {}, `Attempt ${attempt.number}: `), text.visible(outcome)),
        attempt.reason && element("p", { class: "cause" }, "Repeated because: ", text.visible(attempt.reason)),
        pairs([["Upstream", attempt.upstream], ["Connection", attempt.connection], ["Region and service", scope], ["Access key", attempt.access_key_id], ["Signed at", attempt.signed_at]]),
      );
    };
    return element("ol", { class: "attempts" }, all.map(one));
  }

  function identity({ identity: who }) {
    if (!who || typeof who !== "object") return null;
    const names = { username: "User", identity_id: "Identity", subject: "Subject" };
    return pairs(Object.entries(who).map(([key, value]) => [names[key] ?? key.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value ?? "")]));
  }

  // Headers of one direction before and after the proxy, as the lines of a diff.
  function headers(before, after, signed = []) {
    if (!before?.length && !after?.length) return null;
    const isSigned = new Set(signed.map((name) => name.toLowerCase()));
    const later = grouped(after ?? []);
    const lines = [];
    for (const [name, values] of grouped(before ?? [])) {
      const now = after ? later.get(name) ?? [] : values;
      later.delete(name);
      const rest = [...now];
      const gone = values.filter((value) => {
        const at = isNew(name, value) && signed.length > 0 ? -1 : rest.indexOf(value);
        if (at >= 0) rest.splice(at, 1);
        return at < 0;
      });
      for (const value of values) if (!gone.includes(value)) lines.push(["same", name, value]);
      for (const value of gone) lines.push([rest.length > 0 ? "was" : "removed", name, value]);
      for (const value of rest) lines.push([gone.length > 0 ? "changed" : "added", name, value]);
    }
    for (const [name, values] of later) for (const value of values) lines.push(["added", name, value]);
    return element("ul", { class: "headers" }, lines.map((line) => header(line, isSigned)));
  }

  function grouped(list) {
    const byName = new Map();
    for (const [name, value] of list) {
      const key = String(name).toLowerCase();
      byName.set(key, [...(byName.get(key) ?? []), String(value)]);
    }
    return byName;
  }

  const SIGNS = { same: " ", was: "−", removed: "−", changed: "+", added: "+" };
  const WORDS = { same: "", was: "before: ", removed: "removed: ", changed: "changed to: ", added: "added: " };

  function header([kind, name, value], isSigned) {
    const tag = isSigned.has(name) && kind !== "was" && kind !== "removed" && element("span", { class: "tag signed" }, "signed");
    return element(
      "li",
      { class: `h-${kind}` },
      element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]),
      element("span", {}, WORDS[kind] && unseen(WORDS[kind]), element("span", { class: "header-name" }, text.visible(name)), ": ", text.visible(value), tag),
    );
  }

  function signature({ canonical_request: canonical, string_to_sign: toSign, attempts: all }) {
    const last = all?.at(-1);
    const names = last?.signed_headers?.join(", ");
    if (!canonical && !toSign && !names) return null;
    return [
      pairs([["Signed headers", names]]),
      canonical && [element("h3", {}, "Canonical request"), copyable("canonical request", canonical)],
      toSign && [element("h3", {}, "String to sign"), copyable("string to sign", toSign)],
    ];
  }

  // A body as text, laid out where it is JSON, and why there is none.
  function body(recorded, label) {
    if (!recorded || (!recorded.size && recorded.text === undefined && !recorded.omitted)) return element("p", { class: "muted" }, "No body.");
    const { text: content, size, truncated, media_type: type, omitted } = recorded;
    const facts = [text.size(size), type].filter(Boolean).join(", ");
    const line = [element("span", { class: "muted" }, text.visible(facts))];
    if (typeof content !== "string") {
      return element("p", { class: "muted" }, text.visible(facts), facts && ". ", OMITTED[omitted] ?? "The body was not kept.");
    }
    const laidOut = text.formattedJson(content, { partial: truncated === true && /json/i.test(type ?? "") });
    const shown = block(label, text.visible(laidOut ?? content, { block: true }));
    if (laidOut !== null) {
      let raw = false;
      const toggle = button("Raw", () => {
        raw = !raw;
        toggle.setAttribute("aria-pressed", raw);
        dom.replace(shown, text.visible(raw ? content : laidOut, { block: true }));
      }, { "aria-pressed": "false" });
      line.push(toggle);
    }
    line.push(button("Copy", () => actions.copy(content, label), { "aria-label": `Copy ${label}` }));
    const cut = truncated && element("p", { class: "muted" }, "The text ends here: the proxy keeps the first 64 KiB of a body.");
    return [element("div", { class: "body-line" }, line), shown, cut];
  }

  return { pairs, meaning, timing, attempts, identity, headers, signature, body };
})();
