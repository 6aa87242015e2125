// A registry on this machine that has our packages and passes everything else on, and folders to install in.

import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const tools = process.env.NPM_TOOLS;
const root = new URL('../..', import.meta.url).pathname;

/** How long anything here may take, in milliseconds: far more than it does. */
export const MAX_WAIT = 300_000;

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

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

export class Registry {
  #verdaccio;

  static async start() {
    const registry = new Registry();
    registry.scratch = mkdtempSync(join(tmpdir(), 'countersign-npm-test-'));
    const upstream = (await run('npm', ['config', 'get', 'registry'])).stdout.trim();
    const config = join(registry.scratch, 'verdaccio.yaml');
    writeFileSync(
      config,
      `storage: ${join(registry.scratch, 'storage')}
max_body_size: 100mb
uplinks: { upstream: { url: "${upstream}" } }
packages:
  'countersign': { access: $all, publish: $all }
  '@countersign/*': { access: $all, publish: $all }
  '**': { access: $all, proxy: upstream }
log: { type: stdout, level: warn }
`,
    );
    const port = await until('the registry', () => registry.#listen(config));
    await registry.#publish(port);
    return registry;
  }

  /** Starts Verdaccio and gives its port, or nothing where another program has taken the port meanwhile. */
  async #listen(config) {
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}/`;
    const verdaccio = spawn(
      process.execPath,
      [join(tools, 'node_modules/verdaccio/bin/verdaccio'), '--config', config, '--listen', `127.0.0.1:${port}`],
      { stdio: 'ignore' },
    );
    this.#verdaccio = verdaccio;
    const answers = await until('the registry', async () => {
      if (verdaccio.exitCode !== null) return 'none';
      return (await fetch(`${this.url}-/ping`).catch(() => null))?.ok;
    });
    return answers === true ? port : undefined;
  }

  async #publish(port) {
    const packed = makeFolder(this.scratch, 'packed');
    const { stdout } = await run(process.execPath, [
      join(root, 'npm/pack.js'),
      packed,
      `${process.platform}-${process.arch}=${process.env.COUNTERSIGN}`,
    ]);
    for (const file of stdout.trim().split('\n')) {
      await run('npm', ['publish', file, '--registry', this.url, `--//127.0.0.1:${port}/:_authToken=none`], {
        cwd: this.scratch,
      });
    }
  }

  /** A new folder in which every package manager uses this registry, and nothing that was downloaded before. */
  folder(name) {
    const folder = makeFolder(this.scratch, name);
    writeFileSync(join(folder, '.npmrc'), `registry=${this.url}\naudit=false\nfund=false\n`);
    writeFileSync(
      join(folder, '.yarnrc.yml'),
      `npmRegistryServer: "${this.url}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nnodeLinker: node-modules\nenableTelemetry: false\nnpmMinimalAgeGate: 0\n`,
    );
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
    // Without one, Yarn looks for a project in the folders above.
    writeFileSync(join(folder, 'yarn.lock'), '');
    return folder;
  }

  /** The environment for a package manager in a folder of this registry. */
  environment() {
    return {
      PATH: process.env.PATH,
      HOME: makeFolder(this.scratch, 'home'),
      npm_config_registry: this.url,
      npm_config_cache: join(this.scratch, 'npm-cache'),
      // Yarn refuses to change its lockfile where it believes to be in CI.
      YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
    };
  }

  stop() {
    this.#verdaccio.kill();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

function makeFolder(scratch, name) {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Package managers: how each adds packages, and runs a program of one. */
export const MANAGERS = {
  npm: { add: ['npm', 'install'], exec: ['npx'] },
  pnpm: {
    add: [process.execPath, join(tools, 'node_modules/pnpm/bin/pnpm.cjs'), 'add'],
    exec: [process.execPath, join(tools, 'node_modules/pnpm/bin/pnpm.cjs'), 'exec'],
  },
  yarn: {
    add: [process.execPath, join(tools, 'node_modules/@yarnpkg/cli-dist/bin/yarn.js'), 'add'],
    exec: [process.execPath, join(tools, 'node_modules/@yarnpkg/cli-dist/bin/yarn.js'), 'exec'],
  },
};

/** A process whose output is kept. */
export class Running {
  text = '';

  constructor([command, ...args], options) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (piece) => (this.text += piece));
    }
    this.ended = new Promise((done) => this.child.once('exit', (code, signal) => done({ code, signal })));
  }

  /** Waits for a line of the output. */
  async saw(pattern) {
    return until(`${pattern} in ${this.child.spawnargs.join(' ')}`, () => {
      const found = this.text.replace(/\x1b\[[0-9;]*m/g, '').match(pattern);
      if (!found && this.child.exitCode !== null) throw new Error(`it ended without ${pattern}:\n${this.text}`);
      return found;
    });
  }
}
