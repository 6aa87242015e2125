"use strict";
// What was signed beside what the gateway received, with what differs between them marked.
const difference = (() => {
  const { element } = dom;

  // Both canonical requests, or only the parts that differ where ours is not known. `entries` are the parts that differ:
  // {part, ours, theirs}, named as `explain` names them; a side that does not have the part lacks the value.
  function sideBySide(canonical, entries) {
    const lines = canonical ? wholeRequests(canonical, entries) : entries.map(partAlone);
    const sides = [[], []];
    for (const { part, ours, theirs, differs } of lines) {
      const nodes = differs ? marked(ours, theirs) : [text.visible(ours), text.visible(theirs)];
      for (const [side, value] of [ours, theirs].entries()) {
        if (part !== undefined) sides[side].push(element("span", { class: "line part" }, text.visible(part)));
        const kind = value === null ? "line absent" : differs ? "line differs" : "line";
        sides[side].push(element("span", { class: kind }, value === null ? dom.unseen("not there") : nodes[side]));
      }
    }
    const columns = [column("Countersign signed", sides[0]), column("The gateway received", sides[1])];
    scrollTogether(columns.map((side) => side.querySelector("pre")));
    return element("div", { class: "pair" }, columns);
  }

  function scrollTogether([left, right]) {
    const follow = (leader, follower) =>
      leader.addEventListener("scroll", () => {
        follower.scrollTo(leader.scrollLeft, leader.scrollTop);
      });
    follow(left, right);
    follow(right, left);
  }

  const column = (title, nodes) =>
    element("div", { class: "side" }, element("h4", {}, title), element("pre", { tabindex: "0", "aria-label": title }, nodes));

  const partAlone = ({ part, ours, theirs }) => ({ part, ours: ours ?? null, theirs: theirs ?? null, differs: true });

  // The lines of a canonical request: method, path, query, headers by name, an empty line, their names, the payload's hash.
  function wholeRequests(canonical, entries) {
    const ours = canonical.split("\n");
    const end = Math.max(3, ours.indexOf("", 3));
    const left = new Map(entries.map((entry) => [entry.part, entry]));
    const take = (part) => {
      const entry = left.get(part);
      left.delete(part);
      return entry;
    };
    const line = (value, entry, prefix = "") => {
      if (!entry) return { ours: value, theirs: value, differs: false };
      return { ours: value, theirs: entry.theirs === undefined || entry.theirs === null ? null : prefix + entry.theirs, differs: true };
    };
    const first = ["method", "path", "query"].map((part, index) => line(ours[index] ?? "", take(part)));
    const headers = ours.slice(3, end).map((header) => {
      const name = header.split(":", 1)[0];
      return { name, ...line(header, take(`header ${name}`), `${name}:`) };
    });
    const last = ["signed headers", "payload hash"].map((part, index) => line(ours[end + 1 + index] ?? "", take(part)));
    for (const { part, theirs } of left.values()) {
      const name = part.replace(/^header /, "");
      headers.push({ name, ours: null, theirs: `${name}:${theirs ?? ""}`, differs: true });
    }
    headers.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
    return [...first, ...headers, line("", undefined), ...last];
  }

  // The nodes of both texts of a line: what lies between the common start and the common end is marked.
  function marked(ours, theirs) {
    const sides = [Array.from(ours ?? ""), Array.from(theirs ?? "")];
    const [left, right] = sides;
    const shorter = Math.min(left.length, right.length);
    let start = 0;
    while (start < shorter && left[start] === right[start]) start += 1;
    // Values that are both kept secret look alike.
    if (start === left.length && start === right.length) start = 0;
    let end = 0;
    while (end < shorter - start && start > 0 && left.at(-1 - end) === right.at(-1 - end)) end += 1;
    return sides.map((characters) => {
      const piece = (from, to) => text.visible(characters.slice(from, to).join(""));
      const middle = piece(start, characters.length - end);
      const mark = middle.length > 0 ? element("mark", {}, middle) : element("mark", { class: "nothing" }, dom.unseen("nothing"));
      return [piece(0, start), mark, piece(characters.length - end, characters.length)];
    });
  }

  return { sideBySide };
})();
