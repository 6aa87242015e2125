// Drives headless Chromium against a sandbox whose API is a server of this script, which records what it gets.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const tools = new URL("../../target/browser/", import.meta.url);
const { chromium } = createRequire(new URL("package.json", tools))("playwright-core");
const attacks = readFileSync(new URL("attacks.js", import.meta.url), "utf8");

const results = { passed: 0, failed: 0 };
async function check(name, test) {
  try {
    await test();
    results.passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    results.failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error.message ?? error).replaceAll("\n", "\n        ")}`);
  }
}

const children = [];
function start(command, args, options) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (child.text += piece));
  children.push(child);
  child.saw = async (pattern) => {
    for (let wait = 0; wait < 300; wait += 1) {
      const found = child.text.replace(/\x1b\[[0-9;]*m/g, "").match(pattern);
      if (found) return found;
      if (child.exitCode !== null) break;
      await new Promise((next) => setTimeout(next, 100));
    }
    throw new Error(`${command} never said ${pattern}:\n${child.text}`);
  };
  return child;
}

async function listen(handler, host = "127.0.0.1") {
  const server = createServer(handler);
  await new Promise((ready) => server.listen(0, host, ready));
  server.unref();
  return [server, server.address().port];
}

// The API behind the proxy, and its twin without a proxy, which shows that the attacks do arrive elsewhere.
function recorder() {
  const requests = [];
  const handler = (request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      requests.push({ method: request.method, url: request.url, headers: request.headers, body });
      response.setHeader("content-type", "application/json");
      response.setHeader("retry-after", "7");
      response.end(JSON.stringify({ ...requests.at(-1), identity: request.headers["x-countersign-identity-id"] }));
    });
  };
  return { requests, handler };
}

const page = (_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>page</title><body>");
const api = recorder();
const twin = recorder();
const [, apiPort] = await listen(api.handler);
const [twinServer, twinPort] = await listen(twin.handler);
twinServer.on("upgrade", (request, socket) => {
  twin.requests.push({ method: request.method, url: request.url, headers: request.headers });
  socket.destroy();
});
const [, pagePort] = await listen(page);
const allowed = `http://127.0.0.1:${pagePort}`;

const sandboxes = [];
async function sandbox(...flags) {
  const backend = ["--backend", `http://127.0.0.1:${apiPort}`];
  const ports = ["--listen", "localhost:0", "--admin-listen", "localhost:0"];
  const child = start(process.env.COUNTERSIGN, ["sandbox", ...ports, ...backend, ...flags]);
  const [, port] = await child.saw(/proxy\s+http:\/\/localhost:(\d+)/);
  sandboxes.push(child);
  api.requests.length = 0;
  return Number(port);
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=LocalNetworkAccessChecks",
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP api-proxy.test 127.0.0.1",
  ],
});

async function open(url) {
  const context = await browser.newContext();
  const opened = await context.newPage();
  const response = await opened.goto(url, { timeout: 10_000 });
  return { page: opened, response, close: () => context.close() };
}

async function attack(from, base) {
  const opened = await open(from);
  const names = await opened.page.evaluate(`(${attacks})(${JSON.stringify(base)})`);
  // Navigations replace the page: each in a page of its own.
  for (const [name, script] of [
    ["navigation", `location.href = "${base}/attack/navigation"`],
    ["navigation-post", `document.body.innerHTML = '<form method=post enctype=text/plain action="${base}/attack/navigation-post"><input name=a value=b></form>'; document.forms[0].submit()`],
    ["window", `window.open("${base}/attack/window")`],
  ]) {
    const other = await open(from);
    await other.page.evaluate(script).catch(() => {});
    await other.page.waitForTimeout(700);
    await other.close();
    names.push(name);
  }
  await opened.close();
  return names;
}

const urls = (requests) => requests.map((request) => request.url);
const attacked = (requests) => requests.filter((request) => request.url.startsWith("/attack/"));
const arrivals = (requests) => [...new Set(attacked(requests).map((request) => request.url.split(/[/?]/)[2]))];

try {
  const port = await sandbox();

  await check("the attacks arrive at a server that does not defend itself", async () => {
    const names = await attack(`http://evil.test:${pagePort}/`, `http://127.0.0.1:${twinPort}`);
    const missing = names.filter((name) => !arrivals(twin.requests).includes(name));
    assert.deepEqual(missing, [], "these attacks are none");
    console.log(`        ${names.length} ways: ${names.join(" ")}`);
  });

  for (const [from, base] of [
    [`http://evil.test:${pagePort}/`, `http://localhost:${port}`],
    [`http://evil.test:${pagePort}/`, `http://127.0.0.1:${port}`],
    [`${allowed}/`, `http://127.0.0.1:${port}`],
    [`http://app.localhost:${pagePort}/`, `http://localhost:${port}`],
    [`http://evil.test:${pagePort}/`, `http://[::1]:${port}`],
  ]) {
    await check(`pages of ${from} reach nothing behind ${base}`, async () => {
      await attack(from, base);
      assert.deepEqual(urls(api.requests), []);
    });
  }

  await check("a name that leads to loopback reaches nothing", async () => {
    const opened = await open(`http://evil.test:${port}/rebound`);
    assert.equal(opened.response.status(), 403);
    assert.match(await opened.response.text(), /host-not-allowed/);
    await opened.close();
    assert.deepEqual(urls(api.requests), []);
  });

  await check("the address bar passes, and what it shows may run nothing", async () => {
    const opened = await open(`http://localhost:${port}/typed`);
    assert.equal(opened.response.status(), 200);
    assert.equal(opened.response.headers()["content-security-policy"], "sandbox");
    await opened.close();
    assert.deepEqual(api.requests.filter(({ url }) => url === "/typed").length, 1);
  });

  const open_to_page = await sandbox("--allow-origin", allowed);
  await check("pages of an allowed origin call with JSON, PUT, DELETE and headers of their own, and read the answers", async () => {
    const opened = await open(allowed);
    for (const base of [`http://localhost:${open_to_page}`, `http://127.0.0.1:${open_to_page}`]) {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
        api.requests.length = 0;
        const answer = await opened.page.evaluate(
          async ([url, method]) => {
            const body = method === "GET" ? undefined : JSON.stringify({ a: 1 });
            const headers = { "content-type": "application/json", "x-custom": "1", authorization: "Bearer page" };
            const response = await fetch(url, { method, headers, body });
            const read = (name) => response.headers.get(name);
            return { status: response.status, body: await response.json(), id: read("x-amzn-requestid"), retry: read("retry-after") };
          },
          [`${base}/items?a=1`, method],
        );
        assert.equal(answer.status, 200);
        assert.deepEqual([answer.body.method, answer.body.url], [method, "/items?a=1"]);
        assert.equal(answer.body.headers["x-custom"], "1");
        assert.equal(answer.body.body, method === "GET" ? "" : '{"a":1}');
        assert.match(answer.body.identity, /^[a-z0-9-]+:/);
        assert.equal(answer.retry, "7", "retry-after is exposed");
        assert.deepEqual(api.requests.map(({ method }) => method), [method], "preflights do not go up");
      }
    }
    await opened.close();
  });

  await check("pages of an allowed origin read the proxy's own refusals", async () => {
    const opened = await open(allowed);
    const answer = await opened.page.evaluate(async (url) => {
      const response = await fetch(url);
      return [response.status, response.headers.get("proxy-status"), (await response.json()).code];
    }, `http://localhost:${open_to_page}/x?X-Amz-Signature=1`);
    assert.deepEqual(answer, [400, "countersign; error=http_request_error", "bad-request"]);
    await opened.close();
  });

  await check("images of an allowed origin load, and other origins stay out", async () => {
    api.requests.length = 0;
    const opened = await open(allowed);
    await opened.page.evaluate(
      (src) => new Promise((end) => (Object.assign(new Image(), { src }).onerror = end)),
      `http://localhost:${open_to_page}/image`,
    );
    await opened.close();
    assert.equal(api.requests.length, 1);
    await attack(`http://evil.test:${pagePort}/`, `http://localhost:${open_to_page}`);
    assert.deepEqual(urls(attacked(api.requests)), []);
  });

  const app = new URL("app/", tools);
  mkdirSync(app, { recursive: true });
  writeFileSync(new URL("index.html", app), "<!doctype html><title>app</title><body><script type=module src=/main.js></script>");
  writeFileSync(new URL("main.js", app), "document.title = (await (await fetch('/api/orders')).json()).identity");
  writeFileSync(
    new URL("vite.config.mjs", app),
    `export default { server: { proxy: {
      "/api": "http://localhost:${port}",
      "/changed": { target: "http://localhost:${port}", changeOrigin: true } } } }`,
  );
  await check("a Vite dev server in front of the proxy works with no settings", async () => {
    const vite = start(process.execPath, ["../node_modules/vite/bin/vite.js", "--port", String(20_000 + (port % 10_000))], { cwd: app });
    const [, url] = await vite.saw(/Local:\s+(http:\/\/localhost:\d+)/);
    api.requests.length = 0;
    const opened = await open(url);
    await opened.page.waitForFunction(() => document.title !== "app" && document.title !== "", null, { timeout: 20_000 });
    assert.match(await opened.page.title(), /^[a-z0-9-]+:/);
    for (const path of ["/api/items", "/changed/items"]) {
      for (const method of ["GET", "POST", "PUT", "DELETE"]) {
        const answer = await opened.page.evaluate(
          async ([path, method]) => {
            const body = method === "GET" ? undefined : "{}";
            const response = await fetch(path, { method, headers: { "content-type": "application/json" }, body });
            return [response.status, (await response.json()).identity];
          },
          [path, method],
        );
        assert.equal(answer[0], 200, `${method} ${path}`);
        assert.match(answer[1], /^[a-z0-9-]+:/);
      }
    }
    await opened.close();
    assert.equal(api.requests.length, 9);
  });

  await check("the sandbox has outlived it all", async () => {
    for (const child of sandboxes) assert.equal(child.exitCode, null);
  });
} finally {
  await browser.close();
  for (const child of children) child.kill("SIGTERM");
}
console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exit(results.failed === 0 && results.passed > 0 ? 0 : 1);
