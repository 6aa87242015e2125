// Draws docs/picture/inspector-{list,detail}-{light,dark}.webp: the inspector of `countersign sandbox` in Chromium.
//
// COUNTERSIGN names the program; without it, `cargo build` makes one. tests/browser/install installs the browser.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = (command, ...args) => {
  if (spawnSync(command, args, { cwd: root, stdio: "inherit" }).status !== 0) process.exit(1);
};
run("tests/browser/install");
if (!process.env.COUNTERSIGN) run("cargo", "build", "--quiet", "--bin", "countersign");
const binary = process.env.COUNTERSIGN ?? `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/debug/countersign`;
const { launch, start, stopChildren } = await import("../../tests/browser/harness.mjs");
const { until } = await import("../../tests/browser/inspector/driver.mjs");

const json = (body) => ({ headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
// What clients send meanwhile: method, path, and the rest of it.
const REQUESTS = [
  ["GET", "/hello?name=world"],
  ["GET", "/orders"],
  ["POST", "/orders", json({ item: "tea", quantity: 2 })],
  ["GET", "/orders/o-17"],
  ["PUT", "/orders/o-17", json({ quantity: 3 })],
  ["GET", "/orders", { headers: { origin: "http://localhost:5173" } }],
  ["GET", "/reports/2026/11?format=csv"],
  ["DELETE", "/orders/o-16"],
  ["GET", "/profile"],
  ["PATCH", "/profile", json({ language: "en" })],
  ["GET", "/hello?X-Amz-Signature=1"],
  ["GET", "/search?q=tea%20pot&limit=20"],
  ["POST", "/denied", json({ item: "coffee" })],
  ["GET", "/orders?page=2"],
];

const sandbox = start(binary, ["sandbox"], { env: { PATH: process.env.PATH, HOME: "/nonexistent" } });
try {
  const [, proxy] = await sandbox.saw(/Proxy\s+(http:\/\/localhost:\d+)/);
  const [url] = await sandbox.saw(/http:\/\/localhost:\d+\/inspect#\S+/);
  await sandbox.saw(/Ctrl-C/);
  const browser = await launch("chrome");
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 640, deviceScaleFactor: 1.5 });
  await page.goto(url);
  await until(page, () => document.getElementById("state").innerText === "live");
  for (const [method, path, rest] of REQUESTS) await (await fetch(proxy + path, { method, ...rest })).arrayBuffer();
  // The sandbox has sent a request of its own.
  await until(page, (count) => [...document.querySelectorAll("#rows .figure")].filter((figure) => figure.innerText !== "").length === count, REQUESTS.length + 1);
  const draw = async (name) => {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      const path = `${root}docs/picture/inspector-${name}-${scheme}.webp`;
      await page.screenshot({ path, type: "webp", quality: 80 });
      console.log(path.slice(root.length));
    }
  };
  await draw("list");
  const denied = await page.$$eval("#rows .row", (rows) => rows.find((row) => row.innerText.includes("/denied")).dataset.id);
  await page.click(`[data-id="${denied}"] .c-path`);
  await until(page, () => document.querySelector(".meaning .cause") !== null && document.querySelector(".s-bodies") !== null);
  await draw("detail");
  await browser.close();
} finally {
  stopChildren();
}
process.exit(0);
