// An admin listener in the words of the real one, with exchanges that a test stages: for states that a proxy reaches
// rarely, or not at once. The page comes from the source tree, with the policy that `page.rs` computes for it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { listen } from "../harness.mjs";

const folder = new URL("../../../src/admin/inspect/page/", import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), "utf8");

function assemble() {
  const hash = (content) => `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
  const scripts = [];
  const style = read("style.css");
  const html = read("index.html")
    .replace('<link rel="stylesheet" href="style.css">', () => `<style>${style}</style>`)
    .replace(/<script src="([\w.]+)"><\/script>/g, (_, name) => {
      scripts.push(read(name));
      return `<script>${scripts.at(-1)}</script>`;
    });
  const policy = `default-src 'none'; script-src ${scripts.map(hash).join(" ")}; style-src ${hash(style)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;
  return { html, policy };
}

export async function stagedAdmin(token = "staged-token-of-32-bytes") {
  const exchanges = new Map();
  const viewers = new Set();
  const replays = [];
  let away = false;
  const { html, policy } = assemble();
  const bare = ({ messages, request_body, response_body, canonical_request, string_to_sign, curl, call, fetch, ...rest }) => ({ ...rest, has_detail: true });
  const line = (exchange) => `${JSON.stringify({ type: "exchange", exchange: bare(exchange) })}\n`;

  function stage(...staged) {
    away = false;
    for (const exchange of staged) exchanges.set(exchange.id, exchange);
    for (const viewer of viewers) viewer.write(staged.map(line).join(""));
  }

  const [server, port] = await listen(async (request, response) => {
    const { pathname } = new URL(request.url, "http://admin");
    const answer = (status, type, content, headers = {}) =>
      response.writeHead(status, { "content-type": type, "cache-control": "no-store", "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin", ...headers }).end(content);
    const json = (status, value) => answer(status, "application/json", JSON.stringify(value));
    if (pathname === "/inspect") return answer(200, "text/html; charset=utf-8", html, { "content-security-policy": policy, "cross-origin-opener-policy": "same-origin", "referrer-policy": "no-referrer" });
    if (request.headers.authorization !== `Bearer ${admin.token}`) return json(401, { detail: "The token is missing or wrong." });
    if (pathname === "/inspect/feed") {
      if (away) return request.destroy();
      response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
      response.write(`${JSON.stringify({ type: "hello", version: "0.1.0", proxy: "http://localhost:8181", mode: "bodies", region: "eu-central-1", limits: { exchanges: 500, bytes: 16777216 } })}\n`);
      response.write([...exchanges.values()].map(line).join(""));
      viewers.add(response);
      return response.on("close", () => viewers.delete(response));
    }
    const id = decodeURIComponent(pathname.split("/").at(-1));
    if (pathname.startsWith("/inspect/exchanges/")) return exchanges.has(id) ? json(200, exchanges.get(id)) : json(404, { detail: "No such exchange." });
    if (pathname.startsWith("/inspect/har")) return json(200, { log: { version: "1.2", creator: { name: "countersign", version: "0.1.0" }, entries: [...exchanges.keys()] } });
    if (pathname === "/inspect/clear") {
      exchanges.clear();
      for (const viewer of viewers) viewer.write(`${JSON.stringify({ type: "cleared" })}\n`);
      // What arrives while the answer is under way.
      stage(...admin.afterClear.splice(0));
      return setTimeout(() => response.writeHead(204).end(), 100);
    }
    if (pathname === "/inspect/replay") {
      const asked = JSON.parse(await new Response(request).text());
      replays.push(asked);
      const original = exchanges.get(asked.id);
      const made = { ...original, id: `replay-${replays.length}`, revision: 1, replay_of: asked.id, method: asked.method ?? original.method };
      stage(made);
      return json(200, { id: made.id, status: made.status, left_out: ["authorization"] });
    }
    return json(404, {});
  });

  const admin = {
    token,
    port,
    replays,
    stage,
    exchanges,
    afterClear: [],
    url: `http://localhost:${port}/inspect`,
    // Breaks every connection off, as a proxy that restarts does, and takes no other until an exchange is staged: the page
    // soon tries again, and a test may be too slow to see that it was disconnected.
    disconnect() {
      away = true;
      for (const viewer of viewers) viewer.destroy();
    },
    close: () => server.closeAllConnections(),
  };
  return admin;
}
