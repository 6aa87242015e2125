"use strict";
// Two texts beside each other, with what differs between them marked.
const difference = (() => {
  const MAX_LINES = 400;
  const { element } = dom;

  // The nodes of both texts of one line: what lies between the common start and the common end is marked.
  function markLine(ours, theirs) {
    const [left, right] = [Array.from(ours), Array.from(theirs)];
    const shorter = Math.min(left.length, right.length);
    let start = 0;
    while (start < shorter && left[start] === right[start]) start += 1;
    let end = 0;
    while (end < shorter - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
    return [left, right].map((characters) => nodesOf(characters, start, end));
  }

  function nodesOf(characters, start, end) {
    const piece = (from, to) => text.visible(characters.slice(from, to).join(""));
    const changed = piece(start, characters.length - end);
    return [
      piece(0, start),
      changed.length > 0 ? element("mark", {}, changed) : element("mark", { class: "nothing" }, dom.unseen("nothing")),
      piece(characters.length - end, characters.length),
    ];
  }

  // Pairs of lines [ours, theirs]; one of them is null where the other text has no such line.
  function align(ours, theirs) {
    if (Math.max(ours.length, theirs.length) > MAX_LINES) {
      const length = Math.max(ours.length, theirs.length);
      return Array.from({ length }, (_, index) => [ours[index] ?? null, theirs[index] ?? null]);
    }
    const common = commonLengths(ours, theirs);
    const pairs = [];
    const [onlyOurs, onlyTheirs] = [[], []];
    const flush = () => {
      const length = Math.max(onlyOurs.length, onlyTheirs.length);
      for (let index = 0; index < length; index += 1) pairs.push([onlyOurs[index] ?? null, onlyTheirs[index] ?? null]);
      onlyOurs.length = onlyTheirs.length = 0;
    };
    let [i, j] = [0, 0];
    while (i < ours.length || j < theirs.length) {
      if (i < ours.length && j < theirs.length && ours[i] === theirs[j]) {
        flush();
        pairs.push([ours[i++], theirs[j++]]);
      } else if (j >= theirs.length || (i < ours.length && common[i + 1][j] >= common[i][j + 1])) onlyOurs.push(ours[i++]);
      else onlyTheirs.push(theirs[j++]);
    }
    flush();
    return pairs;
  }

  // The lengths of the longest common subsequences of the ends of both lists.
  function commonLengths(ours, theirs) {
    const lengths = Array.from({ length: ours.length + 1 }, () => new Uint16Array(theirs.length + 1));
    for (let i = ours.length - 1; i >= 0; i -= 1) {
      for (let j = theirs.length - 1; j >= 0; j -= 1) {
        lengths[i][j] = ours[i] === theirs[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
      }
    }
    return lengths;
  }

  // Two blocks of lines that scroll on their own.
  function blocks(ours, theirs) {
    const [left, right] = [[], []];
    for (const [mine, other] of align(ours.split("\n"), theirs.split("\n"))) {
      const same = mine === other;
      const marked = same ? [text.visible(mine), text.visible(other)] : markLine(mine ?? "", other ?? "");
      for (const [side, line, nodes] of [[left, mine, marked[0]], [right, other, marked[1]]]) {
        const kind = line === null ? "line absent" : same ? "line" : "line differs";
        side.push(element("span", { class: kind }, line === null ? "" : nodes));
      }
    }
    return pair("Countersign signed", left, "The gateway received", right);
  }

  function pair(leftTitle, left, rightTitle, right) {
    const side = (title, nodes) =>
      element("div", { class: "side" }, element("h4", {}, title), element("pre", { tabindex: "0", "aria-label": title }, nodes));
    return element("div", { class: "pair" }, side(leftTitle, left), side(rightTitle, right));
  }

  // The parts of a request that differ, each with both values.
  function parts(entries) {
    const [left, right] = [[], []];
    for (const { part, ours, theirs } of entries) {
      const [mine, other] = markLine(ours ?? "", theirs ?? "");
      for (const [side, value, nodes] of [[left, ours, mine], [right, theirs, other]]) {
        const shown = value === undefined || value === null ? element("mark", { class: "nothing" }, "not there") : nodes;
        side.push(element("span", { class: "line part" }, text.visible(part)), element("span", { class: "line differs" }, shown));
      }
    }
    return pair("Countersign signed", left, "The gateway received", right);
  }

  return { blocks, parts };
})();
