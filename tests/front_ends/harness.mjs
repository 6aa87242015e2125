// What each of the front ends needs: a sandbox, a browser, codes, and a copy of the application to run.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const here = new URL('.', import.meta.url).pathname;
/** The folder with `node_modules`. */
export const tools = process.env.FRONT_ENDS;
export const require = createRequire(join(tools, 'package.json'));
const { default: puppeteer } = await import(require.resolve('puppeteer-core'));

/** How long one step may take, in milliseconds: far more than it does. Vite bundles Amplify for the first page. */
const MAX_WAIT = 180_000;

/** Calls `probe` until it returns something, and fails with `what` when it does not. */
export async function until(what, probe) {
  const deadline = Date.now() + MAX_WAIT;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found) return found;
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new Error(`waited in vain for ${what}`);
}

const processes = [];

/** Ends the processes that are still running, the latest first. */
export async function stopAll() {
  while (processes.length > 0) await processes.pop().stop();
}

/** A process whose output is kept. */
export class Running {
  text = '';

  constructor([command, ...args], options) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (piece) => (this.text += piece));
    }
    this.ended = new Promise((done) => this.child.once('exit', done));
    processes.push(this);
  }

  /** Waits for a line of the output. */
  saw(pattern) {
    return until(`${pattern} in ${this.child.spawnargs.join(' ')}`, () => {
      const found = this.text.replace(/\x1b\[[0-9;]*m/g, '').match(pattern);
      if (!found && this.child.exitCode !== null) throw new Error(`it ended without ${pattern}:\n${this.text}`);
      return found;
    });
  }

  async stop() {
    this.child.kill();
    await this.ended;
  }
}

/** A copy of the application `name`, beside the installed packages. */
export function copyOf(name) {
  const folder = mkdtempSync(join(tools, `${name}-`));
  cpSync(join(here, name), folder, { recursive: true });
  return folder;
}

export function remove(folder) {
  rmSync(folder, { recursive: true, force: true });
}

/** `countersign sandbox` on free ports, with its files in `folder`. */
export class Sandbox extends Running {
  static async start(folder, ...args) {
    const free = ['--port-base', '0', '--listen', 'localhost:0', '--admin-listen', 'off'];
    const sandbox = new Sandbox([process.env.COUNTERSIGN, 'sandbox', '--write', '.', ...free, ...args], {
      cwd: folder,
    });
    await sandbox.saw(/Press Ctrl-C/);
    [, sandbox.proxy] = await sandbox.saw(/Proxy +(http:\S+)/);
    [, sandbox.userPool] = await sandbox.saw(/User pool +(http:\S+)/);
    return sandbox;
  }

  /** The latest code that was sent to `address` for `purpose`. */
  code(address, purpose) {
    return until(`a code for ${purpose} to ${address}`, async () => {
      const { messages } = await (await fetch(`${this.userPool}/_sandbox/outbox`)).json();
      return messages.find((message) => message.address === address && message.purpose === purpose)?.code;
    });
  }
}

/** A server on a free port of localhost; its `url` is the origin of its pages. */
export async function listen(handler) {
  const server = createServer(handler);
  await new Promise((ready) => server.listen(0, 'localhost', ready));
  server.url = `http://localhost:${server.address().port}`;
  return server;
}

export function launch() {
  return puppeteer.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--lang=en'],
    protocolTimeout: MAX_WAIT,
    timeout: MAX_WAIT,
  });
}

/** A page, and what it reports: errors of scripts, and requests that the browser has refused. */
export class Page {
  problems = [];

  static async open(browser, url) {
    const page = new Page();
    page.tab = await browser.newPage();
    page.tab.setDefaultTimeout(MAX_WAIT);
    page.tab.on('pageerror', (error) => page.problems.push(String(error)));
    page.tab.on('console', (message) => {
      if (/CORS|Access-Control/.test(message.text())) page.problems.push(message.text());
    });
    await page.tab.goto(url);
    return page;
  }

  fill(selector, text) {
    return this.#act(selector, (locator) => locator.fill(text));
  }

  /** Presses the button that reads `text`, or the element that `selector` names. */
  press(text, selector = `::-p-xpath(//button[normalize-space()='${text}'])`) {
    return this.#act(selector, (locator) => locator.click());
  }

  async #act(selector, action) {
    try {
      await action(this.tab.locator(selector));
    } catch (error) {
      throw this.#explained(`${selector}: ${error.message}`, await this.#text('body'));
    }
  }

  #text(selector) {
    return this.tab.$eval(selector, (element) => element.innerText).catch(() => '');
  }

  #explained(message, text) {
    return new Error(`${message}; the page shows: ${text}\n${this.problems.join('\n')}`);
  }

  /** Waits until `selector` shows text that matches; gives the match. */
  async shows(pattern, selector = 'body') {
    let text;
    try {
      return await until(`${pattern}`, async () => {
        text = await this.#text(selector);
        return text.match(pattern);
      });
    } catch (error) {
      throw this.#explained(error.message, text);
    }
  }
}

/** The code of an authenticator (RFC 6238) at `time`, in milliseconds. */
export function totp(secret, time = Date.now()) {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'));
  const key = Buffer.from(bits.join('').match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(time / 30_000)));
  const hash = createHmac('sha1', key).update(counter).digest();
  return String((hash.readUInt32BE(hash.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
