// The inspector of the real program in a headless browser, "chrome" or "firefox": a sandbox whose API is a server of this
// script, which records what it gets.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { check, launch, listen, pause, recorder, results, start, stopChildren } from "./harness.mjs";
import { eventually, exported, openInspector, toast, until } from "./inspector/driver.mjs";

const kind = process.argv[2];
const downloads = mkdtempSync(join(tmpdir(), "countersign-har-"));
const hostile = `{"a":"\\u202e\\ud800<script>document.title='ran'</script>","b":"javascript:alert(1)","c":"${"x".repeat(10_000_000)}"}`;
// A denial in the words of API Gateway.
const denial = {
  Message: "User: arn:aws:sts::123456789012:assumed-role/app-authenticated/CognitoIdentityCredentials is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:a1b2c3d4e5/prod/GET/denied",
};
const api = recorder({
  "/hostile": { headers: { "content-type": "application/json" }, body: hostile },
  "/denied": { status: 403, headers: { "content-type": "application/json", "x-amzn-errortype": "AccessDeniedException" }, body: JSON.stringify(denial) },
});
const [, apiPort] = await listen(api.handler);
const [, evilPort] = await listen((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>evil</title><body>"));

const ports = ["--listen", "localhost:0", "--admin-listen", "localhost:0", "--port-base", "0"];
const sandbox = start(process.env.COUNTERSIGN, ["sandbox", ...ports, "--backend", `http://127.0.0.1:${apiPort}`]);
const [, proxy] = await sandbox.saw(/Proxy\s+(http:\/\/localhost:\d+)/);
const [, url, token] = await sandbox.saw(/(http:\/\/localhost:\d+\/inspect)#(\S+)/);
const { origin: admin } = new URL(url);
await sandbox.saw(/Ctrl-C/);

const browser = await launch(kind);
console.log(await browser.version());

const rowOf = (page, path) =>
  until(page, (wanted) => [...document.querySelectorAll("#rows .row")].reverse().find((row) => row.querySelector(".c-path").innerText.endsWith(wanted))?.dataset.id, path);
const done = (page, path) =>
  until(page, (wanted) => [...document.querySelectorAll("#rows .row")].some((row) => row.querySelector(".c-path").innerText.endsWith(wanted) && row.querySelector(".figure").innerText !== ""), path);
const paths = () => api.requests.map(({ method, url: path }) => `${method} ${path}`);

try {
  // Waits for the row of a replay, `count` in all, and for its end. The page selects it once the replay is answered.
  const replayed = (count) =>
    until(
      seen.page,
      (tags) => document.querySelectorAll("#rows .tag").length === tags && document.querySelector('#rows [aria-selected="true"] .tag') !== null && document.querySelector('#rows [aria-selected="true"] .figure').innerText !== "",
      count,
    );
  const seen = await openInspector(browser, `${url}#${token}`, { downloads });
  await until(seen.page, () => document.getElementById("state").innerText === "live");

  await check("rows appear as requests go through the proxy, and a refusal says what it means", async () => {
    await fetch(`${proxy}/hello?name=world`);
    await fetch(`${proxy}/orders`, { method: "POST", headers: { "content-type": "application/json", "x-mark": "m" }, body: '{"item":"tea"}' });
    assert.equal((await fetch(`${proxy}/denied`)).status, 403);
    assert.equal((await fetch(`${proxy}/cross`, { headers: { origin: "https://evil.example" } })).status, 403);
    for (const path of ["/hello?name=world", "/orders", "/denied", "/cross"]) await done(seen.page, path);
    const shown = () => seen.page.$$eval("#rows .row:not([hidden]) .c-path", (cells) => cells.map((cell) => cell.innerText));
    await seen.page.click("#only-refusals");
    await eventually(async () => assert.deepEqual(await shown(), ["/denied", "/cross"]));
    await seen.page.click("#only-refusals");
    await eventually(async () => assert.ok((await shown()).length > 2, "all are shown again"));
    for (const path of ["/denied", "/cross"]) {
      await seen.open({ id: await rowOf(seen.page, path), canonical_request: false });
      assert.ok((await seen.text(".meaning .cause")).length > 20);
      assert.ok((await seen.text(".meaning .cure")).length > 10);
    }
  });

  await check("the detail has both directions, the timing and what was signed, and no secret", async () => {
    await seen.open({ id: await rowOf(seen.page, "/orders") });
    await seen.page.$$eval("details", (sections) => sections.forEach((section) => (section.open = true)));
    const shown = await seen.text("#detail");
    for (const part of ["x-mark: m", "wait", "POST\n/prod/orders", "AWS4-HMAC-SHA256", '"item": "tea"', "execute-api"]) assert.ok(shown.includes(part), part);
    const { "x-amz-security-token": sessionToken, authorization } = api.requests.find(({ url: path }) => path === "/orders").headers;
    for (const secret of [sessionToken, authorization, token]) assert.ok(!secret || !shown.includes(secret), "a secret");
  });

  await check("a hostile answer of 10 MB stays text and is cut", async () => {
    await (await fetch(`${proxy}/hostile`)).arrayBuffer();
    await done(seen.page, "/hostile");
    await seen.open({ id: await rowOf(seen.page, "/hostile") });
    const shown = await seen.text("#detail");
    for (const part of ["<script>document.title='ran'</script>", "\\u202e", "The text ends here"]) assert.ok(shown.includes(part), part);
    assert.equal(await seen.page.title(), "Countersign inspector");
    assert.equal(await seen.page.evaluate(() => document.querySelectorAll("#detail script, #grid script").length), 0);
  });

  await check("a request is replayed, signed anew, and marked", async () => {
    await seen.open({ id: await rowOf(seen.page, "/hello?name=world") });
    api.requests.length = 0;
    await seen.press("r");
    await toast(seen, "Sent again: 200.");
    await replayed(1);
    assert.deepEqual(paths(), ["GET /hello?name=world"]);
    assert.deepEqual(Object.keys(api.requests[0].headers).filter((name) => name.includes("replay")), [], "the mark stays here");
  });

  await check("a request is edited, asked about, and sent", async () => {
    await seen.open({ id: await rowOf(seen.page, "/orders") });
    api.requests.length = 0;
    await seen.press("e");
    await until(seen.page, () => document.getElementById("edit-dialog").open);
    await seen.page.$eval("#edit-body", (box) => (box.value = '{"item":"coffee"}'));
    await seen.page.click("#edit-send");
    await until(seen.page, () => document.getElementById("confirm-dialog").open);
    assert.deepEqual(paths(), [], "it asks first");
    await seen.page.click('#confirm-dialog [value="yes"]');
    await replayed(2);
    await until(seen.page, () => !document.getElementById("edit-dialog").open);
    assert.deepEqual(api.requests.map(({ method, body, headers }) => [method, body, headers["x-mark"]]), [["POST", '{"item":"coffee"}', "m"]]);
  });

  await check("curl lines work as they are, and HAR holds the requests", async () => {
    await seen.open({ id: await rowOf(seen.page, "/orders") });
    await seen.press("c");
    await toast(seen, "Copied the curl command.");
    api.requests.length = 0;
    const curl = start("bash", ["-c", (await seen.page.evaluate(() => window.copied)).at(-1)]);
    await curl.saw(/coffee/);
    assert.deepEqual(paths(), ["POST /orders"]);
    // The original, the edited one and that of curl.
    await until(seen.page, () => [...document.querySelectorAll("#rows .row")].filter((row) => row.querySelector(".c-path").innerText.endsWith("/orders") && row.querySelector(".figure").innerText !== "").length === 3);
    await seen.page.click("#har-all");
    await toast(seen, "Exported countersign-");
    const [{ log }] = await exported(downloads, 1);
    assert.ok(log.entries.some(({ request }) => request.method === "POST" && request.url.endsWith("/orders")));
  });

  await check("a page of another origin reads nothing and sends nothing, even with the token", async () => {
    const id = await rowOf(seen.page, "/hello?name=world");
    const rows = (await seen.ids()).length;
    api.requests.length = 0;
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    await page.goto(`http://evil.test:${evilPort}/`);
    const read = await page.evaluate(
      async (base, bearer, replayed) => {
        const got = [];
        const attempt = async (name, path, options) => {
          try {
            const response = await fetch(base + path, options);
            if (response.type !== "opaque") got.push(`${name}: ${response.status}`);
          } catch {
            // Nothing to read.
          }
        };
        const body = JSON.stringify({ id: replayed });
        for (const headers of [{}, { authorization: `Bearer ${bearer}` }]) {
          for (const path of ["/inspect", "/inspect/feed", `/inspect/exchanges/${replayed}`, "/inspect/har"]) await attempt(path, path, { headers });
          await attempt("replay", "/inspect/replay", { method: "POST", headers: { ...headers, "content-type": "application/json" }, body });
          await attempt("clear", "/inspect/clear", { method: "POST", headers });
        }
        for (const path of ["/inspect/replay", "/inspect/clear"]) await attempt(path, path, { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body });
        navigator.sendBeacon(`${base}/inspect/replay`, body);
        const frame = document.createElement("iframe");
        frame.src = `${base}/inspect#${bearer}`;
        await new Promise((loaded) => {
          frame.onload = frame.onerror = loaded;
          document.body.append(frame);
          setTimeout(loaded, 2000);
        });
        try {
          if (frame.contentDocument?.getElementById("grid")) got.push("frame");
        } catch {
          // Another origin.
        }
        return got;
      },
      admin,
      token,
      id,
    );
    await context.close();
    assert.deepEqual(read, []);
    assert.deepEqual(paths(), [], "nothing was replayed");
    assert.equal((await seen.ids()).length, rows, "nothing was cleared");
    await done(seen.page, "/hello?name=world");
    assert.equal((await fetch(`${admin}/inspect/feed`)).status, 401, "the token is needed without a page as well");
  });

  await check("no form, image, frame or other name of a page of another origin gets through to the admin listener", async () => {
    const rows = (await seen.ids()).length;
    api.requests.length = 0;
    const { port } = new URL(admin);
    const context = await browser.createBrowserContext();
    const visit = async (act, ...args) => {
      const page = await context.newPage();
      await page.goto(`http://evil.test:${evilPort}/`);
      await page.evaluate(act, ...args).catch(() => {});
      return page;
    };
    const opened = [];
    for (const name of ["localhost", "127.0.0.1", "[::1]", "localhost.", "[::ffff:127.0.0.1]"]) {
      const base = `http://${name}:${port}`;
      for (const path of ["/quitquitquit", "/inspect/clear", "/inspect/replay"]) {
        const submit = (action) => {
          const form = Object.assign(document.createElement("form"), { method: "post", enctype: "text/plain", action });
          form.append(Object.assign(document.createElement("input"), { name: '{"id":"', value: 'x"}' }));
          document.body.append(form);
          form.submit();
        };
        opened.push(visit(submit, base + path));
      }
      const embed = (at, bearer) => {
        for (const path of ["/inspect/feed", "/inspect/har", "/status", `/inspect#${bearer}`]) {
          for (const tag of ["img", "script", "iframe"]) document.body.append(Object.assign(document.createElement(tag), { src: at + path }));
        }
        new WebSocket(`${at.replace("http", "ws")}/inspect/feed`);
        return fetch(`${at}/quitquitquit`, { method: "POST", mode: "no-cors" });
      };
      opened.push(visit(embed, base, token));
    }
    const pages = await Promise.all(opened);
    await pause(1000);
    for (const page of pages) {
      // A document that is still loading has no text yet.
      await eventually(async () => {
        const at = page.url();
        if (at.includes(`:${port}/`)) assert.match(await page.evaluate(() => document.body.innerText), /cross-site|host-not-allowed/, at);
      });
    }
    const rebound = await context.newPage();
    // Firefox has no document for such an answer.
    const answer = await rebound.goto(`http://evil.test:${port}/inspect#${token}`).catch((error) => ({ error }));
    if (answer.error) assert.match(String(answer.error), /NS_ERROR_NET_ERROR_RESPONSE/);
    else assert.deepEqual([answer.status(), (await answer.json()).code], [403, "host-not-allowed"]);
    await context.close();
    assert.deepEqual(paths(), []);
    assert.equal((await seen.ids()).length, rows, "nothing was cleared");
    assert.equal(sandbox.exitCode, null, "nothing ended the program");
    assert.equal((await fetch(`${admin}/readyz`)).status, 200, "nor drains it");
  });

  await check("all is cleared, and nothing was blocked or ran that should not have", async () => {
    await seen.page.click("#clear");
    await until(seen.page, () => document.querySelectorAll("#rows .row").length === 0);
    await seen.page.reload();
    await until(seen.page, () => document.getElementById("state").innerText === "live");
    // The feed begins with what the program still has: with this row, the list is complete.
    await fetch(`${proxy}/after`);
    await done(seen.page, "/after");
    assert.equal(await seen.text("#count"), "1 request");
    await seen.end();
    assert.equal(sandbox.exitCode, null);
  });
} finally {
  await browser.close().catch(() => {});
  stopChildren();
}
console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exit(results.failed === 0 && results.passed > 0 ? 0 : 1);
