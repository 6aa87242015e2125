"use strict";
// Turns values into text for people: figures, times, JSON, and texts that may hide something.
const text = (() => {
  // Characters that show nothing or reorder what is shown: C0 and C1 controls, zero-width and bidirectional marks, line
  // and paragraph separators, variation selectors of the tag block, and surrogates without their other half.
  const HIDDEN =
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Surrogate}]+/gu;
  const PLAIN = /^[\x20-\x7e]*$/;
  const MAX_MARKS = 4000;
  const MAX_FORMATTED = 512 * 1024;
  const MAX_INDENT = 24;

  const escapeOne = (character) => {
    const code = character.codePointAt(0);
    if (code === 9) return "\\t";
    if (code === 10) return "\\n";
    if (code === 13) return "\\r";
    if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
  };

  // The nodes of `value` in which hidden characters are marked escapes. Line breaks and tabs stay in a block.
  function visible(value, { block = false } = {}) {
    const whole = String(value ?? "");
    if (PLAIN.test(whole)) return whole === "" ? [] : [whole];
    const nodes = [];
    let from = 0;
    let marks = 0;
    for (const found of whole.matchAll(HIDDEN)) {
      const shown = block ? found[0].replace(/\r\n/g, "\n") : found[0];
      for (const run of block ? shown.split(/([\n\t]+)/) : [shown]) {
        if (from < found.index) nodes.push(whole.slice(from, found.index));
        from = found.index;
        if (run === "") continue;
        if (block && /^[\n\t]/.test(run)) nodes.push(run);
        else {
          const escaped = Array.from(run, escapeOne).join("");
          marks += 1;
          nodes.push(marks > MAX_MARKS ? escaped : dom.element("span", { class: "hidden-character", title: "character that would not be visible" }, escaped));
        }
      }
      from = found.index + found[0].length;
    }
    if (from < whole.length) nodes.push(whole.slice(from));
    return nodes;
  }

  // `visible` as one string, for attributes and dialogs.
  const plain = (value) => String(value ?? "").replace(HIDDEN, (run) => Array.from(run, escapeOne).join(""));

  function duration(milliseconds) {
    if (typeof milliseconds !== "number" || !Number.isFinite(milliseconds)) return "";
    if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
    if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
    if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(2)} s`;
    return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
  }

  function size(bytes) {
    if (typeof bytes !== "number" || !Number.isFinite(bytes)) return "";
    if (bytes < 1024) return `${bytes} B`;
    if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
    return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  }

  const two = (number) => String(number).padStart(2, "0");

  // The time of day, here, of an RFC 3339 time.
  function timeOfDay(started) {
    const at = new Date(started);
    if (Number.isNaN(at.getTime())) return plain(started);
    const seconds = `${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
    return `${two(at.getHours())}:${two(at.getMinutes())}:${seconds}`;
  }

  const target = (exchange) => `${exchange.path ?? ""}${exchange.query ? `?${exchange.query}` : ""}`;

  // A clause as a sentence. A first word that is a name in code, such as `x-amz-date`, stays as it is.
  function sentence(clause) {
    const words = String(clause ?? "").trim();
    const start = /^\p{Ll}+[ ,]/u.test(words) ? words[0].toUpperCase() + words.slice(1) : words;
    return /[\p{L}\p{N})"'”\]}]$/u.test(start) ? `${start}.` : start;
  }

  // JSON with one value a line, or null where `body` is not JSON. Only white space changes: numbers keep their digits
  // and repeated keys stay. `partial` allows a text that was cut off.
  function formattedJson(body, { partial = false } = {}) {
    if (!/^\s*[[{]/.test(body)) return null;
    if (!partial) {
      try {
        JSON.parse(body);
      } catch {
        return null;
      }
    }
    let written = "";
    let depth = 0;
    const line = () => `\n${"  ".repeat(Math.min(depth, MAX_INDENT))}`;
    for (const [token] of body.matchAll(/"(?:[^"\\]|\\[^])*"?|[[\]{},:]|[^\s"[\]{},:]+/g)) {
      const closes = token === "]" || token === "}";
      if (closes) depth = Math.max(0, depth - 1);
      const opened = written.endsWith("[") || written.endsWith("{");
      if (closes !== opened && written !== "" && (closes || opened)) written += line();
      written += token;
      if (token === "[" || token === "{") depth += 1;
      else if (token === ",") written += line();
      else if (token === ":") written += " ";
      if (written.length > MAX_FORMATTED) return null;
    }
    return written;
  }

  return { visible, plain, sentence, duration, size, timeOfDay, target, formattedJson };
})();
