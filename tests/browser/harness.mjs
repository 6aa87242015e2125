// What every check needs: results, child processes, servers that record what they get, and the two browsers.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

export const tools = new URL("../../target/browser/", import.meta.url);
const { default: puppeteer } = await import(createRequire(new URL("package.json", tools)).resolve("puppeteer-core"));

export const results = { passed: 0, failed: 0 };
export async function check(name, test) {
  const began = Date.now();
  try {
    await test();
    results.passed += 1;
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    results.failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error.message ?? error).replaceAll("\n", "\n        ")}`);
  }
}

const children = [];
export function start(command, args, options) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (child.text += piece));
  children.push(child);
  child.saw = async (pattern) => {
    for (let wait = 0; wait < 900; wait += 1) {
      const found = child.text.replace(/\x1b\[[0-9;]*m/g, "").match(pattern);
      if (found) return found;
      if (child.exitCode !== null) break;
      await pause(100);
    }
    throw new Error(`${command} never said ${pattern}:\n${child.text}`);
  };
  return child;
}

export const pause = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));

export async function listen(handler, { secure = false } = {}) {
  const pem = (name) => readFileSync(new URL(name, tools));
  const server = secure
    ? createSecureServer({ key: pem("key.pem"), cert: pem("certificate.pem") }, handler)
    : createServer(handler);
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  server.unref();
  return [server, server.address().port];
}

// An API that records each request, echoes it, and serves `documents` by path.
export function recorder(documents = {}) {
  const requests = [];
  const handler = (request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      requests.push({ method: request.method, url: request.url, headers: request.headers, body });
      const document = documents[request.url];
      if (document) {
        response.statusCode = document.status ?? 200;
        for (const [name, value] of Object.entries(document.headers)) response.setHeader(name, value);
        response.end(document.body);
        return;
      }
      response.setHeader("content-type", "application/json");
      response.setHeader("retry-after", "7");
      response.setHeader("x-total", "1");
      response.setHeader("access-control-expose-headers", "x-total");
      response.end(JSON.stringify({ ...requests.at(-1), identity: request.headers["x-countersign-identity-id"] }));
    });
  };
  return { requests, handler };
}

const names = ["evil.test", "api-proxy.test"];

// Starts a browser; pages of the port `publicPort`, if there is one, are held to be on the public internet.
export function launch(browser, { publicPort } = {}) {
  if (browser === "firefox") {
    return puppeteer.launch({
      browser,
      executablePath: "/usr/bin/firefox-esr",
      acceptInsecureCerts: true,
      protocolTimeout: 120_000,
      timeout: 120_000,
      extraPrefsFirefox: {
        "browser.send_pings": true,
        "security.warn_submit_secure_to_insecure": false,
        "network.dns.localDomains": names.join(","),
        "network.lna.enabled": publicPort !== undefined,
        "network.lna.blocking": publicPort !== undefined,
        "network.lna.address_space.public.override": publicPort === undefined ? "" : `127.0.0.1:${publicPort}`,
        "dom.disable_open_during_load": false,
        "dom.security.https_first": false,
      },
    });
  }
  const features = publicPort === undefined ? ["--disable-features=LocalNetworkAccessChecks"] : [];
  return puppeteer.launch({
    browser,
    executablePath: "/usr/bin/chromium",
    acceptInsecureCerts: true,
    protocolTimeout: 120_000,
    timeout: 120_000,
    args: [
      ...features,
      ...(publicPort === undefined ? [] : [`--ip-address-space-overrides=127.0.0.1:${publicPort}=public`]),
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-component-update",
      "--disable-popup-blocking",
      `--host-resolver-rules=${names.map((name) => `MAP ${name} 127.0.0.1`).join(", ")}`,
    ],
  });
}

export function stopChildren() {
  for (const child of children) child.kill("SIGTERM");
}
