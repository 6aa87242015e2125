"use strict";

const element = (id) => document.getElementById(id);

function rows(id, lists) {
  element(id).replaceChildren(...lists.map((texts) => {
    const row = document.createElement("tr");
    for (const text of texts) row.insertCell().textContent = text;
    return row;
  }));
}

function showFaults({ faults, skewMillis }) {
  rows("faults", faults.map(({ service, operation, fault, times }) => [operation ?? service, fault, times]));
  element("skew").textContent = skewMillis === 0 ? "" : `The sandbox's clock is ${skewMillis / 1000} s ahead.`;
}

async function refresh() {
  const read = async (path) => (await fetch(path, { headers: { accept: "application/json" } })).json();
  try {
    const [outbox, faults] = await Promise.all([read("/_sandbox/outbox"), read("/_sandbox/faults")]);
    const cells = ({ username, purpose, medium, address, code }) => [username, purpose, medium, address, code];
    rows("outbox", outbox.messages.map(cells));
    element("outbox-empty").hidden = outbox.messages.length > 0;
    showFaults(faults);
  } catch {
    element("status").textContent = "The sandbox does not answer.";
  }
}

async function change(method, body) {
  const headers = { accept: "application/json", "content-type": "application/json" };
  const response = await fetch("/_sandbox/faults", { method, headers, body });
  const answer = await response.json();
  element("status").textContent = response.ok ? "" : answer.message;
  if (response.ok) showFaults(answer);
}

// What is no number goes as it is to the sandbox, which says what it expects.
const numberIfOne = (text) => (Number.isNaN(Number(text)) ? text : Number(text));

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
  if (asked.kind === "skew") {
    for (const name of ["service", "operation", "times"]) delete asked[name];
  }
  for (const name of ["times", "after", "code"]) {
    if (asked[name] !== undefined) asked[name] = numberIfOne(asked[name]);
  }
  change("POST", JSON.stringify(asked));
});
element("clear").addEventListener("click", () => change("DELETE"));

refresh();
setInterval(refresh, 2000);
