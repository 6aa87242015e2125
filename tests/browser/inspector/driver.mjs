// The inspector's page as a person drives it.
import assert from "node:assert/strict";

import { pause } from "../harness.mjs";

// Evaluates `probe` in the page until it gives something true.
export async function until(page, probe, ...args) {
  for (let tries = 0; tries < 100; tries += 1) {
    const found = await page.evaluate(probe, ...args);
    if (found) return found;
    await pause(50);
  }
  const shown = await page.evaluate(() => document.body.innerText.slice(0, 300));
  throw new Error(`never true: ${probe} ${JSON.stringify(args)}\n${shown}`);
}

export const toast = (seen, words) => until(seen.page, (text) => document.getElementById("toast").innerText.includes(text), words);

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
      await until(page, () => document.querySelector(".s-request") !== null);
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
