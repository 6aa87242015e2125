// The inspector's page as a person drives it.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { pause } from "../harness.mjs";

// How long anything here may take, in milliseconds: far more than it does, also on a machine with other work.
const MAX_WAIT = 30_000;

// Evaluates `probe` in the page until it gives something true.
export async function until(page, probe, ...args) {
  const deadline = Date.now() + MAX_WAIT;
  do {
    const found = await page.evaluate(probe, ...args);
    if (found) return found;
    await pause(50);
  } while (Date.now() < deadline);
  const shown = await page.evaluate(() => document.body.innerText.slice(0, 300));
  throw new Error(`never true: ${probe} ${JSON.stringify(args)}\n${shown}`);
}

// Calls `attempt`, which asserts or reads, until it no longer throws: for what follows a click, a key or an answer. What
// must not happen is asserted by itself, after something that comes later.
export async function eventually(attempt) {
  const deadline = Date.now() + MAX_WAIT;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await pause(50);
    }
  }
}

// Waits for a message of the page with `words` that comes after the one that was waited for last.
export const toast = (seen, words) =>
  until(
    seen.page,
    (text) => {
      const at = window.toasts.findIndex((said) => said.includes(text));
      return window.toasts.splice(0, at + 1).length > 0;
    },
    words,
  );

// The `count` exports of `folder`, parsed. A browser makes a file before it has its content.
export const exported = (folder, count) =>
  eventually(() => {
    const names = readdirSync(folder).filter((name) => name.endsWith(".har"));
    assert.equal(names.length, count, "exported files");
    return names.map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
  });

// Opens `url` in a context of its own; `end` closes it and fails for whatever ran or was blocked that should not have.
export async function openInspector(browser, url, { downloads, width = 1280, height = 800 } = {}) {
  const context = await browser.createBrowserContext({ downloadBehavior: { policy: "allow", downloadPath: downloads } });
  const page = await context.newPage();
  await page.setViewport({ width, height });
  const dialogs = [];
  const errors = [];
  page.on("dialog", (dialog) => dialogs.push(dialog.message()) && dialog.dismiss());
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    window.copied = [];
    window.toasts = [];
    addEventListener("DOMContentLoaded", () => {
      const shown = document.getElementById("toast");
      new MutationObserver(() => shown.textContent && window.toasts.push(shown.textContent)).observe(shown, { childList: true });
    });
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.sample} ${event.blockedURI}`));
    const write = navigator.clipboard?.writeText.bind(navigator.clipboard);
    if (write) navigator.clipboard.writeText = (text) => window.copied.push(text) && write(text);
  });
  await page.goto(url);
  return {
    page,
    text: (selector) => page.$eval(selector, (element) => element.innerText),
    ids: () => page.$$eval("#rows .row:not([hidden])", (rows) => rows.map((row) => row.dataset.id)),
    selected: () => page.evaluate(() => document.querySelector('#rows [aria-selected="true"]')?.dataset.id),
    async open({ id, canonical_request: signed = true }) {
      await page.evaluate((row) => document.querySelector(`[data-id="${row}"]`).scrollIntoView({ block: "center" }), id);
      await page.click(`[data-id="${id}"] .c-path`);
      // Until then, the pane may show another exchange.
      await until(page, (row) => detail.current()?.id === row && document.querySelector(".s-request") !== null, id);
      if (signed) await until(page, () => document.querySelector(".s-bodies, .s-messages") !== null);
    },
    async press(...keys) {
      for (const key of keys) await page.keyboard.press(key);
    },
    async filter(words) {
      await page.$eval("#filter", (box, value) => {
        box.value = value;
        box.dispatchEvent(new Event("input", { bubbles: true }));
      }, words);
    },
    async end() {
      const violations = await page.evaluate(() => window.violations);
      await context.close();
      assert.deepEqual(violations, [], "violations of the content security policy");
      assert.deepEqual(errors, [], "errors of scripts");
      assert.deepEqual(dialogs, [], "dialogs that a script opened");
    },
  };
}
