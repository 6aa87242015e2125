// Drives a headless browser, "chrome" or "firefox", against a sandbox whose API is a server of this script, which
// records what it gets. A twin of that API without a proxy shows that the attacks do arrive where nothing keeps them out.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { check, launch, listen, pause, recorder, results, start, stopChildren, tools } from "./harness.mjs";
import { documents } from "./hostile.mjs";

const kind = process.argv[2];
const attacks = readFileSync(new URL("attacks.js", import.meta.url), "utf8");

const page = (_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>page</title><body>");
const api = recorder(documents);
const twin = recorder(documents);
const [, apiPort] = await listen(api.handler);
const [twinServer, twinPort] = await listen(twin.handler);
twinServer.on("upgrade", (request, socket) => {
  twin.requests.push({ method: request.method, url: request.url, headers: request.headers });
  socket.destroy();
});
const [, pagePort] = await listen(page);
const [, securePort] = await listen(page, { secure: true });
const allowed = `http://127.0.0.1:${pagePort}`;
const evil = `http://evil.test:${pagePort}/`;
const secure = `https://evil.test:${securePort}/`;

const VITE = ["../node_modules/vite/bin/vite.js", "--port", "0"];

const sandboxes = [];
async function sandbox(...flags) {
  const backend = ["--backend", `http://127.0.0.1:${apiPort}`];
  const ports = ["--listen", "localhost:0", "--admin-listen", "localhost:0", "--port-base", "0"];
  const child = start(process.env.COUNTERSIGN, ["sandbox", ...ports, ...backend, ...flags]);
  const [, port] = await child.saw(/Proxy\s+http:\/\/localhost:(\d+)/);
  sandboxes.push(child);
  api.requests.length = 0;
  return Number(port);
}

const urls = (requests) => requests.map((request) => request.url);
const attacked = (requests) => requests.filter((request) => request.url.startsWith("/attack/"));
// How long anything that comes may take, in milliseconds: far more than it does.
const MAX_WAIT = 30_000;
// How long nothing may come before a page is closed; longer where the same attacks on the twin needed more.
let quiet = 1000;

// Waits for `probe`, which reads what has arrived, and fails nothing: the check says what is missing.
async function arrived(probe) {
  for (const deadline = Date.now() + MAX_WAIT; !probe() && Date.now() < deadline; ) await pause(50);
}

const arrivals = (requests) => [...new Set(attacked(requests).map((request) => request.url.split(/[/?]/)[2]))];

let browser;

// Firefox now and then replaces a new tab's first window just while the driver asks for it.
async function newPage(context) {
  for (let tries = 3; ; tries -= 1) {
    try {
      return await context.newPage();
    } catch (error) {
      if (tries === 1 || !String(error).includes("no such frame")) throw error;
    }
  }
}

async function open(url) {
  const context = await browser.createBrowserContext();
  const opened = await newPage(context);
  const response = await opened.goto(url, { timeout: MAX_WAIT });
  return { page: opened, response, close: () => context.close().catch(() => {}) };
}

// Shows each document of a hostile API, which records `requests`, below each base; they may never come to an end of
// loading. They stay until all were asked for and `attack` holds, if it is given.
async function visitAll(requests, bases, attack = () => true) {
  for (const base of bases) {
    const context = await browser.createBrowserContext();
    const before = requests.length;
    await Promise.all(
      Object.keys(documents).map(async (path) => {
        const opened = await newPage(context);
        await opened.goto(base + path, { timeout: 4000, waitUntil: "domcontentloaded" }).catch(() => {});
      }),
    );
    const asked = () => urls(requests.slice(before));
    await arrived(() => Object.keys(documents).every((path) => asked().includes(path)) && attack());
    await pause(Math.max(1500, quiet));
    await context.close();
  }
}

// Carries out every attack from one page against each base; gives the names of the attacks.
async function attack(from, ...bases) {
  let names;
  // More at once than two, and the browsers are too slow for the time that an attack is given.
  for (let first = 0; first < bases.length; first += 2) {
    [names] = await Promise.all(bases.slice(first, first + 2).map((base) => attackOne(from, base)));
  }
  return names;
}

// Where they are to arrive, at the twin, they are waited for.
async function attackOne(from, base, { arrive = false } = {}) {
  const opened = await open(from);
  const names = await opened.page.evaluate(`(${attacks})(${JSON.stringify(base)})`);
  // Navigations replace the page: each in a page of its own.
  const navigations = Object.entries({
    navigation: `location.href = "${base}/attack/navigation"`,
    "navigation-no-referrer": `document.body.innerHTML = '<a rel=noreferrer href="${base}/attack/navigation-no-referrer">x</a>'; document.links[0].click()`,
    "navigation-post": `document.body.innerHTML = '<form method=post enctype=text/plain action="${base}/attack/navigation-post"><input name=a value=b></form>'; document.forms[0].submit()`,
    window: `window.open("${base}/attack/window")`,
  });
  await Promise.all(
    navigations.map(async ([name, script]) => {
      const other = await newPage(opened.page.browserContext());
      await other.goto(from);
      await Promise.race([other.evaluate(script).catch(() => {}), pause(1000)]);
      names.push(name);
    }),
  );
  if (arrive) {
    const began = Date.now();
    await arrived(() => names.every((name) => rare.includes(name) || arrivals(twin.requests).includes(name)));
    quiet = Math.max(quiet, 2 * (Date.now() - began));
  }
  await pause(quiet);
  await opened.close();
  return names;
}

const port = await sandbox();
const openToPage = await sandbox("--allow-origin", allowed);
const named = await sandbox("--allow-host", "api-proxy.test");
const local = ["localhost", "127.0.0.1", "[::1]", "app.localhost"];
const otherwise = ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost.", "0.0.0.0"];

// Firefox prefetches once a page has been quiet for a while, which this one hardly ever is.
const rare = kind === "firefox" ? ["prefetch"] : [];

async function pagesReachNothing() {
  for (const from of [evil, secure]) {
    await check(`the attacks of ${from} arrive at a server that does not defend itself`, async () => {
      twin.requests.length = 0;
      const names = await attackOne(from, `http://127.0.0.1:${twinPort}`, { arrive: true });
      const missing = names.filter((name) => !arrivals(twin.requests).includes(name) && !rare.includes(name));
      assert.deepEqual(missing, [], "these attacks are none");
      console.log(`        ${names.length} ways: ${names.join(" ")}`);
    });
  }
  for (const from of [evil, secure]) {
    for (const names of [local, otherwise]) {
      await check(`pages of ${from} reach nothing behind ${names.join(", ")}`, async () => {
        api.requests.length = 0;
        await attack(from, ...names.map((name) => `http://${name}:${port}`));
        assert.deepEqual(urls(api.requests), []);
      });
    }
  }
  await check("pages of the same host or site reach nothing", async () => {
    api.requests.length = 0;
    const [sameHost, sameSite] = [`${allowed}/`, `http://app.localhost:${pagePort}/`];
    await attack(sameHost, `http://127.0.0.1:${port}`);
    await attack(sameSite, `http://localhost:${port}`);
    assert.deepEqual(urls(api.requests), []);
  });
}

async function otherNamesReachNothing() {
  for (const name of ["evil.test", ...otherwise]) {
    await check(`nothing is answered under the name ${name}`, async () => {
      api.requests.length = 0;
      const opened = await open(`http://${name}:${port}/rebound`).catch((error) => ({ error }));
      if (opened.error) return assert.match(String(opened.error), /ERR_|NS_ERROR|net::/);
      const text = await opened.response.text();
      await opened.close();
      assert.equal(opened.response.status(), 403);
      assert.match(text, /host-not-allowed/);
      assert.deepEqual(urls(api.requests), []);
    });
  }
}

async function hostileApisReachNothing() {
  await check("documents of a hostile API attack where nothing keeps them from it", async () => {
    twin.requests.length = 0;
    await visitAll(twin.requests, [`http://localhost:${twinPort}`], () => arrivals(twin.requests).length >= 10);
    console.log(`        ${arrivals(twin.requests).join(" ")}`);
    assert.ok(arrivals(twin.requests).length >= 10);
  });
  await check(`documents of a hostile API reach nothing under ${local.join(", ")}`, async () => {
    api.requests.length = 0;
    await visitAll(api.requests, local.map((name) => `http://${name}:${port}`));
    assert.deepEqual(urls(attacked(api.requests)), []);
    for (const path of Object.keys(documents)) {
      assert.equal(urls(api.requests).filter((url) => url === path).length, local.length, `${path} is shown`);
    }
  });
  await check("no script of a hostile API runs under a name that the browser does not trust", async () => {
    api.requests.length = 0;
    await visitAll(api.requests, [`http://api-proxy.test:${named}`]);
    const shown = Object.keys(documents).filter((path) => urls(api.requests).includes(path));
    assert.deepEqual(shown, Object.keys(documents), "all are shown");
    const ran = ["read", "post", "beacon", "image", "markup-form"];
    assert.deepEqual(arrivals(api.requests).filter((name) => ran.includes(name)), []);
  });
}

async function allowedOriginsMayAsk() {
  await check("pages of an allowed origin call with JSON, PUT, DELETE and headers of their own, and read the answers", async () => {
    const opened = await open(allowed);
    for (const base of [`http://localhost:${openToPage}`, `http://127.0.0.1:${openToPage}`]) {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
        for (const credentials of ["omit", "include"]) {
          api.requests.length = 0;
          const answer = await opened.page.evaluate(
            async (url, method, credentials) => {
              const body = method === "GET" ? undefined : JSON.stringify({ a: 1 });
              const headers = { "content-type": "application/json", "x-custom": "1", authorization: "Bearer page" };
              const response = await fetch(url, { method, headers, body, credentials });
              const read = (name) => response.headers.get(name);
              return { status: response.status, body: await response.json(), retry: read("retry-after"), total: read("x-total") };
            },
            `${base}/items?a=1`,
            method,
            credentials,
          );
          assert.equal(answer.status, 200);
          assert.deepEqual([answer.body.method, answer.body.url], [method, "/items?a=1"]);
          assert.equal(answer.body.headers["x-custom"], "1");
          assert.equal(answer.body.body, method === "GET" ? "" : '{"a":1}');
          assert.match(answer.body.identity, /^[a-z0-9-]+:/);
          assert.deepEqual([answer.retry, answer.total], ["7", "1"], "the proxy's names and the API's are exposed");
          assert.deepEqual(api.requests.map(({ method }) => method), [method], "preflights do not go up");
        }
      }
    }
    await opened.close();
  });

  await check("pages of an allowed origin read the proxy's own refusals", async () => {
    const opened = await open(allowed);
    const answer = await opened.page.evaluate(async (url) => {
      const response = await fetch(url, { credentials: "include" });
      return [response.status, response.headers.get("proxy-status"), (await response.json()).code];
    }, `http://localhost:${openToPage}/x?X-Amz-Signature=1`);
    assert.deepEqual(answer, [400, "countersign; error=http_request_error", "bad-request"]);
    await opened.close();
  });

  await check("images of an allowed origin load, and other origins stay out", async () => {
    api.requests.length = 0;
    const opened = await open(allowed);
    await opened.page.evaluate(
      (src) => new Promise((end) => void (Object.assign(new Image(), { src }).onerror = () => end())),
      `http://localhost:${openToPage}/image`,
    );
    await opened.close();
    assert.equal(api.requests.length, 1);
    await attack(evil, `http://localhost:${openToPage}`);
    assert.deepEqual(urls(attacked(api.requests)), []);
  });
}

// Sends each text and gives what comes back, in the page.
const exchange = (url, texts) =>
  new Promise((end, fail) => {
    const socket = new WebSocket(url);
    const answers = [];
    socket.onopen = () => texts.forEach((text) => socket.send(text));
    socket.onmessage = ({ data }) => {
      answers.push(data);
      if (answers.length === texts.length) socket.close(1000);
    };
    socket.onclose = ({ code }) => end({ code, answers });
    setTimeout(() => fail(new Error(`${answers.length} of ${texts.length} answers`)), 60_000);
  });

async function webSocketsOfAllowedPagesPass() {
  const ports = ["--listen", "localhost:0", "--admin-listen", "localhost:0", "--port-base", "0"];
  const child = start(process.env.COUNTERSIGN, ["sandbox", ...ports, "--allow-origin", allowed]);
  const [, echoPort] = await child.saw(/Proxy\s+http:\/\/localhost:(\d+)/);
  sandboxes.push(child);
  const texts = [1, 125, 126, 32_000].map((length) => "x".repeat(length)).concat(Array.from({ length: 500 }, (_, i) => `message ${i}`));

  await check("pages of an allowed origin exchange messages over a WebSocket", async () => {
    const opened = await open(allowed);
    for (const host of ["localhost", "127.0.0.1"]) {
      const { code, answers } = await opened.page.evaluate(exchange, `ws://${host}:${echoPort}/`, texts);
      assert.equal(code, 1000);
      assert.deepEqual(answers, texts);
    }
    await opened.close();
  });
  if (kind !== "chrome") return;

  await check("a page behind a Vite dev server exchanges messages with no settings", async () => {
    const app = new URL("socket/", tools);
    mkdirSync(app, { recursive: true });
    writeFileSync(new URL("index.html", app), "<!doctype html><title>app</title>");
    const target = `{ target: "http://localhost:${echoPort}", ws: true }`;
    writeFileSync(new URL("vite.config.mjs", app), `export default { server: { proxy: { "/socket": ${target} } } }`);
    const vite = start(process.execPath, VITE, { cwd: app });
    const [, url] = await vite.saw(/Local:\s+(http:\/\/localhost:\d+)/);
    const opened = await open(url);
    const { code, answers } = await opened.page.evaluate(exchange, `${url.replace("http", "ws")}/socket`, texts);
    assert.equal(code, 1000);
    assert.deepEqual(answers, texts);
    await opened.close();
  });
}

async function theAddressBarPasses() {
  await check("the address bar passes, and what it shows may run nothing", async () => {
    api.requests.length = 0;
    const opened = await open(`http://localhost:${port}/typed`);
    assert.equal(opened.response.status(), 200);
    assert.equal(opened.response.headers()["content-security-policy"], "sandbox");
    await opened.close();
    assert.equal(api.requests.filter(({ url }) => url === "/typed").length, 1);
  });
}

async function aDevServerInFrontWorks() {
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
    const vite = start(process.execPath, VITE, { cwd: app });
    const [, url] = await vite.saw(/Local:\s+(http:\/\/localhost:\d+)/);
    api.requests.length = 0;
    const opened = await open(url);
    await opened.page.waitForFunction(() => document.title !== "app" && document.title !== "", { timeout: MAX_WAIT });
    assert.match(await opened.page.title(), /^[a-z0-9-]+:/);
    for (const path of ["/api/items", "/changed/items"]) {
      for (const method of ["GET", "POST", "PUT", "DELETE"]) {
        const answer = await opened.page.evaluate(
          async (path, method) => {
            const body = method === "GET" ? undefined : "{}";
            const response = await fetch(path, { method, headers: { "content-type": "application/json" }, body });
            return [response.status, (await response.json()).identity];
          },
          path,
          method,
        );
        assert.equal(answer[0], 200, `${method} ${path}`);
        assert.match(answer[1], /^[a-z0-9-]+:/);
      }
    }
    await opened.close();
    assert.equal(api.requests.length, 9);
  });
}

// Browsers ask before a page of the internet reaches this machine, but not for every kind of request.
async function publicPagesReachNothing() {
  const names = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"];
  await check(`pages that the browser holds to be public reach nothing behind ${names.join(", ")}`, async () => {
    twin.requests.length = 0;
    api.requests.length = 0;
    await attack(evil, `http://127.0.0.1:${twinPort}`);
    console.log(`        arrive elsewhere: ${arrivals(twin.requests).join(" ")}`);
    assert.ok(arrivals(twin.requests).length > 0);
    await attack(evil, ...names.map((name) => `http://${name}:${port}`));
    assert.deepEqual(urls(api.requests), []);
  });
}

try {
  browser = await launch(kind);
  console.log(await browser.version());
  await pagesReachNothing();
  await otherNamesReachNothing();
  await hostileApisReachNothing();
  await allowedOriginsMayAsk();
  await webSocketsOfAllowedPagesPass();
  await theAddressBarPasses();
  if (kind === "chrome") await aDevServerInFrontWorks();
  await browser.close();
  browser = await launch(kind, { publicPort: pagePort });
  await publicPagesReachNothing();
  await check("the sandbox has outlived it all", async () => {
    for (const child of sandboxes) assert.equal(child.exitCode, null);
  });
} finally {
  await browser?.close().catch(() => {});
  stopChildren();
}
console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exit(results.failed === 0 && results.passed > 0 ? 0 : 1);
