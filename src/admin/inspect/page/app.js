"use strict";
(async () => {
  const token = location.hash.slice(1);
  if (token === "") return;
  history.replaceState(null, "", location.pathname);
  const feed = await fetch("/inspect/feed", { headers: { authorization: `Bearer ${token}` } });
  const lines = feed.body.pipeThrough(new TextDecoderStream()).getReader();
  const rows = new Map();
  let rest = "";
  for (;;) {
    const { done, value } = await lines.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts.filter((part) => part !== "")) {
      const { type, exchange } = JSON.parse(line);
      if (type !== "exchange") continue;
      const row = rows.get(exchange.id) ?? document.getElementById("list").appendChild(document.createElement("li"));
      rows.set(exchange.id, row);
      row.textContent = `${exchange.method} ${exchange.path} ${exchange.status ?? exchange.state}`;
    }
  }
})();
