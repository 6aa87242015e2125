// One running proxy or sandbox: started on free ports, read by its log, ended with the process that started it.

import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ATTENDED = fileURLToPath(new URL('attended.js', import.meta.url));

/** How many lines of the log are kept for the error of a program that ends too early. */
const MAX_KEPT_LINES = 20;

/**
 * Starts the program and waits until it is ready.
 *
 * `command` is `serve` or `sandbox`. `onLine` gets each line of the log, parsed. Resolves to `{ url, inspector, stop }`; `inspector` is absent while it is off.
 * Rejects with what the program said when it ends before it is ready, or is not ready after `timeout` milliseconds.
 */
export async function start({ program, command, args, cwd, onLine, timeout }) {
  const child = spawn(
    process.execPath,
    [
      ATTENDED,
      program,
      command,
      ...['--listen', 'localhost:0', '--admin-listen', 'localhost:0', '--log-format', 'json'],
      ...args,
    ],
    { cwd, stdio: ['pipe', 'ignore', 'pipe'], windowsHide: true },
  );
  // The pipe breaks when the program ends first.
  child.stdin.on('error', () => {});
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.stdin.end();
    await ended;
  };

  const lines = [];
  let timer;
  const ready = new Promise((resolve, reject) => {
    timer = setTimeout(() => {
      child.stdin.end();
      reject(new Error(`"countersign ${command}" was not ready after ${timeout / 1000} s${said(lines)}`));
    }, timeout);
    child.once('error', reject);
    child.once('exit', (code) => {
      reject(new Error(`"countersign ${command}" ended with exit code ${code}${said(lines)}`));
    });
    createInterface({ input: child.stderr }).on('line', (text) => {
      const line = parse(text);
      lines.push(line.detail ?? line.message);
      if (lines.length > MAX_KEPT_LINES) lines.shift();
      if (line.message === 'ready' && line.url) resolve(line);
      onLine(line);
    });
  });
  try {
    const service = await ready;
    return { url: service.url, inspector: await inspector(service.admin), stop };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The URL of the inspector, with its token; undefined if it is off.
 *
 * Not by fetch, which marks its requests as a browser's: the token is for programs of this user, and for no page.
 */
function inspector(admin) {
  if (!admin) return undefined;
  return new Promise((resolve) => {
    const asked = request(`${admin}/inspect/token`, { method: 'POST', timeout: 5_000 }, (response) => {
      let text = '';
      response.on('data', (piece) => (text += piece));
      response.on('end', () => {
        const token = response.statusCode === 200 ? parse(text).token : undefined;
        resolve(token && `${admin}/inspect#${token}`);
      });
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}

function said(lines) {
  return lines.length === 0 ? '' : `:\n${lines.join('\n')}`;
}

// An error before the log starts is plain text.
function parse(text) {
  try {
    const line = JSON.parse(text);
    if (line !== null && typeof line === 'object') return line;
  } catch {
    // Below.
  }
  return { level: 'ERROR', message: text };
}
