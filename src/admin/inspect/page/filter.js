"use strict";
// What the filter box says: words, and tokens such as `method:POST`, `status:4xx` and `is:refused`.
const filter = (() => {
  const isRefused = (exchange) => {
    const { status, origin } = exchange;
    if (exchange.meaning || exchange.code) return true;
    return status === 401 || status === 403 || status === 407 || status === 429 || (origin === "proxy" && status >= 400);
  };

  const STATES = {
    refused: isRefused,
    replay: (exchange) => Boolean(exchange.replay_of),
    active: (exchange) => exchange.state === "active",
    aborted: (exchange) => exchange.state === "aborted",
    retried: (exchange) => (exchange.attempts?.length ?? 0) > 1,
  };
  const ORIGINS = { proxy: "proxy", countersign: "proxy", api: "upstream", upstream: "upstream" };

  // The test of one value of a key, or null where the value has no meaning.
  const KEYS = {
    method: (value) => (exchange) => String(exchange.method).toLowerCase() === value,
    status(value) {
      if (value === "none") return (exchange) => typeof exchange.status !== "number";
      const parts = value.match(/^(\d)xx$/);
      if (parts) return (exchange) => Math.floor(exchange.status / 100) === Number(parts[1]);
      const range = value.match(/^(\d{3})(?:-(\d{3}))?$/);
      if (!range) return null;
      const [low, high] = [Number(range[1]), Number(range[2] ?? range[1])];
      return (exchange) => exchange.status >= low && exchange.status <= high;
    },
    origin(value) {
      const origin = ORIGINS[value];
      return origin ? (exchange) => exchange.origin === origin : null;
    },
    is: (value) => (Object.hasOwn(STATES, value) ? STATES[value] : null),
  };
  const TAKES = {
    method: "a method, such as method:POST",
    status: "a status, such as status:403, 4xx, 400-404 or none",
    origin: "proxy or api",
    is: `one of ${Object.keys(STATES).join(", ")}`,
  };

  const identityOf = ({ identity }) => identity?.username ?? identity?.identity_id ?? "";

  const searchable = (exchange) =>
    [exchange.method, text.target(exchange), exchange.status, exchange.meaning?.name, exchange.code, identityOf(exchange), exchange.request_id]
      .filter((part) => part !== undefined && part !== null)
      .join(" ")
      .toLowerCase();

  // {matches(exchange, searchable), problem}: `problem` is a sentence about the first token that has no meaning.
  function parse(input) {
    const tests = [];
    let problem = "";
    for (const [, minus, quoted, word] of input.matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)) {
      const read = token(quoted ?? word, quoted !== undefined);
      problem ||= read.problem ?? "";
      if (!read.test) continue;
      tests.push(minus ? (exchange, searched) => !read.test(exchange, searched) : read.test);
    }
    return { matches: (exchange, searched) => tests.every((test) => test(exchange, searched)), problem };
  }

  function token(word, isQuoted) {
    const lower = word.toLowerCase();
    if (lower === "") return {};
    const at = lower.indexOf(":");
    const key = lower.slice(0, at);
    if (isQuoted || at < 1 || !Object.hasOwn(KEYS, key)) return { test: (_, searched) => searched.includes(lower) };
    // A token that is still being typed hides nothing.
    const values = lower.slice(at + 1).split(",").filter((value) => value !== "");
    if (values.length === 0) return {};
    const tests = values.map((value) => KEYS[key](value));
    if (tests.includes(null)) return { problem: `${key}: takes ${TAKES[key]}.` };
    return { test: (exchange) => tests.some((test) => test(exchange)) };
  }

  return { parse, searchable, isRefused, identityOf };
})();
