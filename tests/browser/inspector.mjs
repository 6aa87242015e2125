// The inspector's page in a headless browser, "chrome" or "firefox", against an admin listener with staged exchanges.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { check, launch, results, tools } from "./harness.mjs";
import { stagedAdmin } from "./inspector/admin.mjs";
import { eventually, exported, openInspector, toast, until } from "./inspector/driver.mjs";
import * as staged from "./inspector/staged.mjs";

const kind = process.argv[2];
const axe = readFileSync(createRequire(new URL("package.json", tools)).resolve("axe-core/axe.min.js"), "utf8");
const downloads = mkdtempSync(join(tmpdir(), "countersign-har-"));
const browser = await launch(kind);
console.log(await browser.version());

// A page of a new admin listener that has `exchanges`; `hash` replaces its token.
async function inspector(exchanges = [], { hash, width } = {}) {
  const admin = await stagedAdmin();
  admin.stage(...exchanges);
  const seen = await openInspector(browser, `${admin.url}${hash ?? `#${admin.token}`}`, { downloads, width });
  if (hash === undefined) {
    // The feed's first line empties the list: before it came, an empty list says nothing.
    await until(seen.page, () => document.getElementById("state").innerText === "live");
    await until(seen.page, (count) => document.querySelectorAll("#rows .row").length === count, Math.min(exchanges.length, 500));
  }
  const end = async () => {
    await seen.end();
    admin.close();
  };
  return { ...seen, admin, end };
}

await check("without a token the page says what to type, and asks for nothing", async () => {
  const seen = await inspector([], { hash: "" });
  assert.match(await seen.text("#notice"), /In a terminal, run countersign inspect\./);
  assert.equal(await seen.text("#state"), "not connected");
  await seen.end();
});

await check("a wrong token is refused in words, and the right one in the address bar connects", async () => {
  const seen = await inspector([staged.exchange()], { hash: "#not-the-token" });
  await until(seen.page, () => document.getElementById("notice").innerText.includes("countersign inspect"));
  await seen.page.evaluate((token) => (location.hash = token), seen.admin.token);
  await until(seen.page, () => document.getElementById("state").innerText === "live");
  assert.equal(await seen.page.evaluate(() => location.href), seen.admin.url, "the token has left the address bar");
  await seen.page.reload();
  await until(seen.page, () => document.getElementById("state").innerText === "live");
  await seen.end();
});

await check("rows appear and change as exchanges do, and the newest stays in view", async () => {
  const seen = await inspector(staged.ordinary(60));
  const running = staged.active();
  seen.admin.stage(running);
  const last = () => document.querySelector("#rows .row:last-child").innerText.split("\n").map((part) => part.trim()).filter(Boolean);
  await until(seen.page, () => document.querySelector("#rows .row:last-child .c-status").innerText === "…");
  seen.admin.stage({ ...running, revision: 2, state: "complete", status: 429, origin: "upstream", duration_ms: 12.34, meaning: { name: "throttled", cause: "c", cure: "d" } });
  await until(seen.page, () => document.querySelector("#rows .row:last-child .c-status").innerText === "429");
  seen.admin.stage({ ...running, revision: 1 });
  const done = staged.exchange({ path: "/after" });
  seen.admin.stage(done);
  await until(seen.page, () => document.querySelector("#rows .row:last-child .c-path").innerText.startsWith("/after"));
  assert.equal(await seen.page.$eval(`[data-id="${running.id}"] .c-status`, (cell) => cell.innerText), "429", "an older revision changes nothing");
  assert.deepEqual((await seen.page.evaluate(last)).slice(1), ["GET", "/after?limit=20", "200", "API", "48 ms"]);
  assert.equal(await seen.text("#count"), "62 requests");
  const hiddenBelow = () => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById("scroll");
    return Math.round(scrollHeight - scrollTop - clientHeight);
  };
  await until(seen.page, `(${hiddenBelow})() <= 1`);
  // The page handles the event in a later frame.
  await seen.page.$eval("#scroll", (scroll) => {
    const scrolled = new Promise((done) => scroll.addEventListener("scroll", done, { once: true }));
    scroll.scrollTop = 0;
    return scrolled.then(() => undefined);
  });
  seen.admin.stage(staged.exchange());
  await until(seen.page, () => document.getElementById("newest").innerText === "1 new ↓");
  assert.equal(await seen.page.$eval("#scroll", (scroll) => scroll.scrollTop), 0);
  await seen.page.click("#newest");
  await until(seen.page, `(${hiddenBelow})() <= 1`);
  await seen.end();
});

await check("the filter takes words and tokens", async () => {
  const [denied, cross, retried, ended, active] = [staged.denied(), staged.crossSite(), staged.retried(), staged.ended(), staged.active()];
  const plain = staged.exchange({ method: "POST", path: "/orders", query: "", status: 201 });
  const replay = staged.exchange({ path: "/again", replay_of: plain.id });
  const all = [denied, cross, retried, ended, active, plain, replay];
  const seen = await inspector(all);
  const table = [
    ["", all],
    ["method:post", [cross, plain]],
    ["method:POST,delete -status:201", [denied, cross]],
    ["status:4xx", [denied, cross]],
    ["status:200-299 method:POST", [plain]],
    ["status:none", [active]],
    ["origin:proxy", [cross]],
    ["origin:api is:refused", [denied]],
    ["is:replay", [replay]],
    ["is:active", [active]],
    ["is:aborted", [ended]],
    ["is:retried", [retried]],
    ["ACCESS-denied", [denied]],
    ["/orders", [denied, cross, plain]],
    ['"post /orders"', [cross, plain]],
    ["method:", all],
    ["no such thing", []],
    ["<b>:x", []],
    ["constructor:x", []],
  ];
  for (const [words, expected] of table) {
    await seen.filter(words);
    assert.deepEqual(await seen.ids(), expected.map(({ id }) => id), words);
  }
  assert.equal(await seen.text("#empty"), "No request matches the filter.");
  await seen.filter("is:refuse");
  assert.equal(await seen.text("#filter-problem"), "is: takes one of refused, replay, active, aborted, retried.");
  await seen.filter("");
  await seen.page.click("#only-refusals");
  await eventually(async () => assert.deepEqual(await seen.ids(), [denied.id, cross.id]));
  assert.equal(await seen.text("#count"), "2 of 7 requests");
  await seen.end();
});

await check("keys move, open, close, filter and help", async () => {
  const all = [staged.exchange(), staged.denied(), staged.crossSite()];
  const seen = await inspector(all);
  const selects = ({ id }) => eventually(async () => assert.equal(await seen.selected(), id));
  await seen.press("j", "j");
  await selects(all[1]);
  await seen.press("ArrowDown", "k", "ArrowUp");
  await selects(all[0]);
  await seen.press("End", "Enter");
  await until(seen.page, () => document.querySelector(".meaning .name")?.innerText === "cross-site");
  await seen.press("k");
  await until(seen.page, () => document.querySelector(".meaning .name")?.innerText === "access-denied");
  await seen.press("Escape");
  await until(seen.page, () => document.getElementById("detail").hidden);
  assert.equal(await seen.page.evaluate(() => document.activeElement.dataset.id), all[1].id, "the focus is back in the list");
  const filterReads = (words, why) => eventually(async () => assert.equal(await seen.page.$eval("#filter", (box) => box.value), words, why));
  await seen.press("/");
  await seen.page.keyboard.type("jk?");
  await filterReads("jk?", "letters in the filter are text");
  await seen.press("Escape");
  await filterReads("");
  await seen.press("Escape", "?");
  await until(seen.page, () => document.getElementById("help-dialog").open);
  await seen.page.click("#shortcuts");
  await until(seen.page, () => !document.getElementById("shortcuts").checked);
  await seen.press("Escape");
  await until(seen.page, () => !document.getElementById("help-dialog").open);
  // What a loaded detail copies is known by the time of the next key.
  await seen.open(all[0]);
  await seen.press("c", "ArrowDown");
  await selects(all[1]);
  assert.deepEqual(await seen.page.evaluate(() => window.copied), [], "single letters can be turned off");
  await seen.end();
});

await check("a refusal shows its cause, its cure and the policy; a difference is marked", async () => {
  const [denied, differs, retried] = [staged.denied(), staged.differs(), staged.retried()];
  const unknown = { ...staged.differs(), canonical_request: undefined };
  const seen = await inspector([denied, differs, unknown, retried]);
  await seen.open(denied);
  assert.equal(await seen.text(".meaning .cause"), "The role app-authenticated may not call DELETE /orders/o-17: no policy of the role allows it.");
  assert.equal(await seen.text(".meaning .cure"), "Add the statement to a policy of the role, or sign in as a user with another role.");
  await seen.page.click('[aria-label="Copy policy statement"]');
  await toast(seen, "Copied the policy statement.");
  const [copied] = await seen.page.evaluate(() => window.copied);
  assert.deepEqual(JSON.parse(copied), JSON.parse(denied.meaning.policy));
  await seen.open(differs);
  const sides = (lines) => seen.page.$$eval(".pair pre", (all, which) => all.map((pre) => [...pre.querySelectorAll(which)].map((line) => line.textContent)), lines);
  assert.deepEqual(await sides("mark"), [["%20", "nothing"], ["+", ", text/html", "x-trace:1-5e1b4f"]]);
  const [ours, theirs] = await sides(".line");
  assert.deepEqual(ours, ["GET", "/prod/search", "q=tea%20pot", "accept:*/*nothing", "host:a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "x-amz-date:20261128T140307Z", "x-amz-security-token:[redacted]", "not there", "", "accept;host;x-amz-date;x-amz-security-token", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]);
  assert.deepEqual([theirs[2], theirs[3], theirs[7]], ["q=tea+pot", "accept:*/*, text/html", "x-trace:1-5e1b4f"]);
  await seen.open({ id: unknown.id });
  await until(seen.page, () => document.querySelectorAll(".line.part").length === 6);
  await seen.open(retried);
  assert.match(await seen.text(".attempts"), /Attempt 1: 403[^]*Attempt 2: 200\s+Repeated because: the gateway said that the credentials had expired/);
  assert.match((await seen.text(".phase-figures")).replaceAll(/\s+/g, " "), /^queue 0\.1 ms credentials 0\.3 ms connect 12 ms send 0\.2 ms wait 34 ms receive 1\.1 ms other 364 ms$/);
  const headers = (await seen.page.$$eval(".s-request .headers li", (lines) => lines.map((line) => line.textContent))).slice(0, 4);
  assert.deepEqual(headers, [
    "−before: host: localhost:8181",
    "+changed to: host: a1b2c3d4e5.execute-api.eu-central-1.amazonaws.comsigned",
    " accept: */*signed",
    " user-agent: curl/8.14.1",
  ]);
  await seen.end();
});

await check("a request is copied as curl, as a call and as fetch", async () => {
  const one = staged.exchange();
  const seen = await inspector([one]);
  await seen.open(one);
  for (const [key, name] of [["curl", "curl command"], ["call", "countersign call"], ["fetch", "fetch call"]]) {
    await seen.page.click(`[data-key="${key}"]`);
    await toast(seen, `Copied the ${name}.`);
  }
  await seen.press("c");
  await toast(seen, "Copied the curl command.");
  assert.deepEqual(await seen.page.evaluate(() => window.copied), [one.curl, one.call, one.fetch, one.curl]);
  await seen.page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await seen.press("c");
  await until(seen.page, () => document.getElementById("copy-dialog").open);
  assert.equal(await seen.page.evaluate(() => getSelection().toString() || document.getElementById("copy-text").value), one.curl);
  await seen.end();
});

await check("a replay of a safe method goes at once, and of another asks first", async () => {
  const [read, denied] = [staged.exchange(), staged.denied()];
  const seen = await inspector([read, denied]);
  await seen.open(read);
  await seen.press("r");
  await toast(seen, "Sent again: 200. Left out, because their values are not kept: authorization.");
  await until(seen.page, () => document.querySelector('#rows [aria-selected="true"]').dataset.id === "replay-1");
  assert.match(await seen.text('[data-id="replay-1"] .c-path'), /^replay/);
  await seen.open(denied);
  for (const answer of ["cancel", "yes"]) {
    await seen.page.click('[data-key="replay"]');
    await until(seen.page, () => document.getElementById("confirm-dialog").open);
    assert.equal(await seen.text("#confirm-title"), "Send DELETE again?");
    await seen.page.click(`#confirm-dialog [value="${answer}"]`);
    await until(seen.page, () => !document.getElementById("confirm-dialog").open);
  }
  await until(seen.page, () => document.querySelector('[data-id="replay-2"]') !== null);
  assert.deepEqual(seen.admin.replays, [{ id: read.id }, { id: denied.id }]);
  await seen.end();
});

await check("a request is edited and sent, with what was left out named", async () => {
  const post = staged.exchange({ method: "POST", path: "/orders", query: "", more_headers: [["content-type", "application/json"]], request_body: { text: '{"a":1}', size: 7, truncated: false, media_type: "application/json" } });
  const cut = { ...post, id: "cut", request_body: { ...post.request_body, truncated: true } };
  const seen = await inspector([post, cut]);
  await seen.open(post);
  await seen.press("e");
  await until(seen.page, () => document.getElementById("edit-dialog").open);
  const values = () => ["method", "path", "headers", "body"].map((name) => document.getElementById(`edit-${name}`).value);
  assert.deepEqual(await seen.page.evaluate(values), ["POST", "/orders", "accept: */*\nuser-agent: curl/8.14.1\ncontent-type: application/json", '{"a":1}']);
  assert.equal(await seen.text("#edit-left-out"), "Left out, because their values are not kept: authorization.");
  const set = (name, value) => seen.page.$eval(`#edit-${name}`, (field, given) => (field.value = given), value);
  await set("headers", "accept: */*\nno colon");
  await seen.page.click("#edit-send");
  await eventually(async () => assert.equal(await seen.text("#edit-problem"), "Line 2 of the headers is not “name: value”."));
  await set("method", "PUT");
  await set("path", "/orders/1?a=b");
  await set("headers", "x-a: b: c\n\n");
  await set("body", '{"a":2}\n');
  await seen.page.click("#edit-send");
  await until(seen.page, () => document.getElementById("confirm-dialog").open);
  await seen.page.click('#confirm-dialog [value="yes"]');
  await until(seen.page, () => document.querySelector('[data-id="replay-1"]') !== null);
  assert.deepEqual(seen.admin.replays, [{ id: post.id, method: "PUT", path: "/orders/1?a=b", headers: [["x-a", "b: c"]], body: '{"a":2}\n' }]);
  // The row comes with the feed, and may do so before the answer, which closes the form and selects the row.
  await until(seen.page, () => !document.getElementById("edit-dialog").open);
  await eventually(async () => assert.equal(await seen.selected(), "replay-1"));
  await seen.open(cut);
  await seen.press("r");
  await until(seen.page, () => document.getElementById("edit-dialog").open);
  assert.equal(await seen.text("#edit-body-note"), "Only the first 64 KiB of the body were kept.", "what cannot be repeated is edited");
  await seen.end();
});

await check("one request or all are exported as HAR", async () => {
  const one = staged.exchange();
  const seen = await inspector([one]);
  await seen.page.click("#har-all");
  await toast(seen, "Exported countersign-");
  await seen.open(one);
  await seen.page.click('[data-key="har"]');
  await toast(seen, `Exported countersign-${one.id}.har`);
  for (const { log } of await exported(downloads, 2)) assert.equal(log.version, "1.2");
  await seen.end();
});

await check("the feed pauses, is cleared, and comes back after it has broken off", async () => {
  const seen = await inspector([staged.exchange()]);
  await seen.page.click("#pause");
  seen.admin.stage(staged.exchange(), staged.exchange());
  await until(seen.page, () => document.getElementById("count").innerText === "1 request, 2 more when resumed");
  assert.equal(await seen.text("#state"), "paused");
  await seen.page.click("#pause");
  await until(seen.page, () => document.getElementById("count").innerText === "3 requests");
  await seen.page.click("#clear");
  await until(seen.page, () => document.getElementById("count").innerText === "0 requests");
  assert.equal(await seen.page.evaluate(() => document.getElementById("empty").checkVisibility()), true, "the empty list says so");
  const kept = staged.exchange();
  seen.admin.afterClear = [kept];
  await seen.page.click("#clear");
  await until(seen.page, (id) => document.querySelector(`[data-id="${id}"]`) !== null, kept.id);
  await seen.open(kept);
  seen.admin.disconnect();
  await until(seen.page, () => /^disconnected since \d\d:\d\d:\d\d$/.test(document.getElementById("state").innerText));
  const missed = staged.exchange();
  seen.admin.stage(missed);
  await until(seen.page, () => document.getElementById("state").innerText === "live");
  await until(seen.page, (id) => document.querySelector(`[data-id="${id}"]`) !== null, missed.id);
  assert.equal(await seen.selected(), kept.id, "what was selected stays so");
  seen.admin.token = "the program has started again";
  seen.admin.disconnect();
  await until(seen.page, () => document.getElementById("notice").innerText.includes("countersign inspect"));
  await seen.end();
});

await check("hostile requests, answers and explanations stay text", async () => {
  const hostile = staged.hostile();
  const seen = await inspector([hostile]);
  await seen.open(hostile);
  const made = await seen.page.evaluate(() => document.querySelectorAll("#grid :is(script, img, b, a, iframe), #detail :is(script, img, b, a, iframe), [onerror]").length);
  assert.equal(made, 0, "elements that markup made");
  const shown = await seen.text("#detail");
  for (const escape of ["\\u202e", "\\u2066", "\\ud800"]) assert.ok(shown.includes(escape), `${escape} is visible`);
  for (let number = 1; number <= 8; number += 1) assert.ok(shown.includes(`alert(${number})`), `alert(${number})`);
  assert.ok(!/[\u202a-\u202e\u2066-\u2069\ud800-\udfff]/.test(shown), "no character reorders the page");
  const list = await seen.text(`[data-id="${hostile.id}"]`);
  assert.ok(list.includes("<img src=x onerror=alert(1)>\\u202e/gpj"), list);
  assert.equal(await seen.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "a long line does not widen the page");
  await seen.page.click(".s-bodies [aria-pressed]");
  await eventually(async () => assert.match(await seen.text('[aria-label="response body"]'), /^\{"a":"/));
  await seen.end();
});

await check("the messages of a WebSocket are listed while it is open and after its end", async () => {
  const open = staged.websocket();
  const seen = await inspector([open]);
  await seen.open(open);
  const lines = () => [...document.querySelectorAll(".messages > li")].map((line) => line.innerText.replace(/\s+/g, " ").trim().slice(13));
  await until(seen.page, () => document.querySelectorAll(".messages > li").length === 5);
  const listed = await seen.page.evaluate(lines);
  assert.equal(listed[0], '↑ sent: text 17 B {"action":"list"}');
  assert.match(listed[1], /^↓ received: text 200 B \{"items":\[1,1.*…$/);
  assert.equal(listed[2], "↑ sent: binary 4.0 KiB not text");
  assert.equal(listed[3], "↓ received: text 30 B compressed, and the proxy does not decompress");
  assert.equal(listed[4], "↓ received: ping 0 B");
  assert.match(await seen.text("#detail"), /1200 older messages are no longer kept\./);
  assert.match(await seen.text(".facts"), /open, 2 sent, 3 received/);
  await seen.page.click(".messages summary");
  await eventually(async () => assert.match(await seen.text('.messages [aria-label="message"]'), /"items": \[\n/));

  const close = { time: open.started, direction: "up", opcode: 8, size: 5, code: 1000, text: "bye", truncated: false };
  seen.admin.stage({
    ...open, revision: 2, state: "complete",
    websocket: { ...open.websocket, state: "closed", messages_up: 3, closed_by: "client", code: 1000, meaning: "normal" },
    messages: { forgotten: 1200, kept: [...open.messages.kept, close] },
  });
  await until(seen.page, () => document.querySelectorAll(".messages > li").length === 6);
  assert.equal((await seen.page.evaluate(lines)).at(-1), "↑ sent: close 1000 5 B bye");
  assert.match(await seen.text(".facts"), /closed by the client with 1000, 3 sent, 3 received/);
  assert.equal(await seen.page.$eval(".messages details", (message) => message.open), true, "an opened message stays open");
  assert.ok(!(await seen.text(".doing")).includes("Replay"), "what has passed cannot be sent again");
  await seen.press("r");
  await toast(seen, "cannot be replayed");
  assert.deepEqual(seen.admin.replays, []);
  await seen.end();
});

await check("hostile messages stay text", async () => {
  const hostile = staged.websocket(["<img src=x onerror=alert(1)>\u202e", `<script>alert(2)</script>\n${"x".repeat(65_000)}`, "\ud800"]);
  const seen = await inspector([hostile]);
  await seen.open(hostile);
  await until(seen.page, () => document.querySelectorAll(".messages > li").length === 8);
  await seen.page.$$eval(".messages details", (messages) => messages.forEach((message) => (message.open = true)));
  assert.equal(await seen.page.evaluate(() => document.querySelectorAll(".messages :is(script, img)").length), 0);
  const shown = await seen.text(".messages");
  for (const text of ["alert(1)>\\u202e", "alert(2)", "\\ud800", "keeps the first 64 KiB of a message"]) assert.ok(shown.includes(text), text);
  assert.equal(await seen.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "a long message does not widen the page");
  await seen.end();
});

await check("an exchange that lacks parts is shown as far as it goes", async () => {
  const bare = { id: "bare", revision: 1 };
  const odd = [
    bare,
    { ...bare, id: "refused-head", method: "", path: "", query: null, origin: "proxy", status: 400, state: "complete", code: "bad-request", attempts: [], request_headers: [], timing: null },
    { ...staged.exchange(), id: "empty-meaning", meaning: { name: "x" }, identity: { username: null, identity_id: "i" }, request_body: null, response_body: {} },
    { ...staged.exchange(), id: "empty-difference", meaning: { name: "x", cause: "a", cure: "b", difference: [], policy: "no JSON" }, canonical_request: "" },
    { ...staged.exchange(), id: "odd-difference", meaning: { name: "x", cause: "a", cure: "b", difference: [{ part: "query" }, { part: "else", ours: "1" }] }, canonical_request: "GET\n/" },
    { ...staged.exchange(), id: "no-time", started: "never", duration_ms: null, timing: {}, attempts: [{ number: 1, error: "refused" }] },
  ];
  const seen = await inspector(odd);
  for (const exchange of odd) {
    await seen.page.click(`[data-id="${exchange.id}"]`);
    // What the list knows is shown first, and in its place what was loaded.
    await until(seen.page, (id) => detail.current()?.id === id && detail.current() !== list.get(id) && document.querySelector(".detail-head") !== null, exchange.id);
    assert.equal(await seen.text(".detail-note"), "", exchange.id);
  }
  assert.equal(await seen.text("#state"), "live");
  await seen.end();
});

await check("the list holds the newest 500 requests and stays quick", async () => {
  const seen = await inspector();
  const many = staged.ordinary(620);
  const bare = many.map(({ request_body, response_body, ...rest }) => rest);
  const times = await seen.page.evaluate(async (exchanges) => {
    const nextFrame = requestAnimationFrame;
    // What the page does in the next frame counts as well; the time with layout and paint comes second.
    const timed = async (act) => {
      let scripting = 0;
      const timing = (work) => (...given) => {
        const began = performance.now();
        work(...given);
        scripting += performance.now() - began;
      };
      window.requestAnimationFrame = (work) => nextFrame(timing(work));
      const began = performance.now();
      timing(act)();
      await new Promise((resolve) => nextFrame(() => setTimeout(resolve)));
      window.requestAnimationFrame = nextFrame;
      return `${Math.round(scripting)} (${Math.round(performance.now() - began)})`;
    };
    const set = (words) => timed(() => list.setFilter(filter.parse(words), false));
    return [await timed(() => exchanges.slice(0, 500).forEach(list.add)), await set("status:4xx method:DELETE order"), await set(""), await timed(() => exchanges.slice(500).forEach(list.add))];
  }, bare);
  console.log(`        ms to add 500, filter, show all, add 120, in parentheses with layout and paint: ${times.join(", ")}`);
  assert.deepEqual(await seen.ids(), many.slice(-500).map(({ id }) => id));
  await seen.end();
});

for (const scheme of ["light", "dark"]) {
  await check(`axe finds nothing on the list, the detail and the dialogs (${scheme})`, async () => {
    const all = [...staged.ordinary(30), staged.retried(), staged.differs(), staged.websocket(["x".repeat(300)]), staged.hostile()];
    const seen = await inspector(all);
    if (kind === "chrome") await seen.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    else await seen.page.evaluate((name) => void (document.documentElement.style.colorScheme = name), scheme);
    const back = await seen.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(back, scheme === "dark" ? "rgb(20, 22, 26)" : "rgb(255, 255, 255)");
    await seen.page.evaluate(axe);
    const run = async (where) => {
      const { violations } = await seen.page.evaluate(() => window.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).slice(0, 3).join("; ")}`);
      assert.deepEqual(found, [], where);
    };
    await run("the list");
    for (const exchange of all.slice(-4)) {
      await seen.open(exchange);
      await seen.page.$$eval("details", (sections) => sections.forEach((section) => (section.open = true)));
      await run(`the detail of ${exchange.path.slice(0, 20)}`);
    }
    for (const dialog of ["help", "confirm", "copy", "edit"]) {
      await seen.page.evaluate((name) => {
        document.getElementById("confirm-title").textContent ||= "Send POST again?";
        document.getElementById("confirm-yes").textContent ||= "Send POST";
        document.getElementById(`${name}-dialog`).showModal();
      }, dialog);
      await run(`the dialog ${dialog}`);
      await seen.press("Escape");
      await until(seen.page, () => document.querySelector("dialog[open]") === null);
    }
    await seen.page.setViewport({ width: 400, height: 800 });
    await run("the detail, 400 pixels wide");
    await seen.press("Escape");
    await until(seen.page, () => document.getElementById("detail").hidden);
    await run("the list, 400 pixels wide");
    await seen.end();
  });
}

await check("nothing is wider than a window of 400 or 2,000 pixels, and a narrow one shows list or detail", async () => {
  for (const width of [400, 2000]) {
    const denied = staged.denied();
    const seen = await inspector([...staged.ordinary(30), denied], { width });
    const wide = () => document.documentElement.scrollWidth;
    assert.ok((await seen.page.evaluate(wide)) <= width);
    await seen.open(denied);
    assert.ok((await seen.page.evaluate(wide)) <= width);
    assert.equal(await seen.page.evaluate(() => document.getElementById("requests").offsetParent === null), width === 400);
    await seen.press("Escape");
    await until(seen.page, () => document.getElementById("requests").offsetParent !== null);
    await seen.end();
  }
});

await browser.close().catch(() => {});
console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exit(results.failed === 0 && results.passed > 0 ? 0 : 1);
