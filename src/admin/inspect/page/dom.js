"use strict";
// Makes elements. What a request or an answer contains becomes text nodes only: nothing here parses markup.
const dom = (() => {
  const byId = (id) => document.getElementById(id);

  // An element with properties and children. A child is a node, a text, a list of these, or nothing.
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    append(made, children);
    return made;
  }

  function append(parent, children) {
    for (const child of children.flat(Infinity)) {
      if (child !== undefined && child !== null && child !== false && child !== "") parent.append(child);
    }
  }

  function replace(parent, ...children) {
    parent.replaceChildren();
    append(parent, children);
  }

  const button = (label, onclick, more = {}) => element("button", { type: "button", onclick, ...more }, label);
  const unseen = (words) => element("span", { class: "unseen" }, words);

  return { byId, element, append, replace, button, unseen };
})();
