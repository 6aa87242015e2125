// The packages, as each package manager installs them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { MANAGERS, MAX_WAIT, Registry, Running, until } from './registry.mjs';

const run = promisify(execFile);
let registry;
before(async () => (registry = await Registry.start()));
after(() => registry.stop());

const SANDBOX = ['sandbox', '--listen', 'localhost:0', '--admin-listen', 'localhost:0', '--port-base', '0'];

/** Sends the request that the sandbox's screen shows, and returns who signed it. */
async function signedCall(running) {
  const [, url] = await running.saw(/curl '(http:[^']+)'/);
  const event = await (await fetch(url)).json();
  return { url, identity: event.requestContext.identity.cognitoIdentityId };
}

test('npx alone starts the sandbox in an empty folder, and Ctrl-C ends it', async () => {
  const options = { cwd: registry.folder('empty'), env: registry.environment(), detached: true };
  const running = new Running(['npx', '--yes', 'countersign', ...SANDBOX], options);
  const { url, identity } = await signedCall(running);
  assert.match(identity, /^eu-west-1:/);
  // A terminal sends it to every process in the foreground.
  process.kill(-running.child.pid, 'SIGINT');
  await running.ended;
  await until('the sandbox to end', () =>
    fetch(url).then(
      () => false,
      () => true,
    ),
  );
});

for (const [name, { add, exec }] of Object.entries(MANAGERS)) {
  test(`${name} installs the program without a script or a download, and runs it`, async () => {
    const options = { cwd: registry.folder(name), env: registry.environment(), timeout: MAX_WAIT };
    await run(add[0], [...add.slice(1), 'countersign'], options);
    const { stdout } = await run(exec[0], [...exec.slice(1), 'countersign', '--version'], options);
    assert.match(stdout, /^countersign \d+\.\d+\.\d+/);
    const failed = await run(exec[0], [...exec.slice(1), 'countersign', 'serve', '--no-such-flag'], options).catch(
      (error) => error,
    );
    assert.match(failed.stderr, /--no-such-flag/);
  });
}

test('the launcher ends as the program does', async () => {
  const folder = registry.folder('launcher');
  const options = { cwd: folder, env: registry.environment(), timeout: MAX_WAIT };
  await run('npm', ['install', 'countersign'], options);
  const launcher = join(folder, 'node_modules/countersign/bin/countersign.js');
  const usage = await run(process.execPath, [launcher, '--no-such-flag'], options).catch((error) => error);
  assert.equal(usage.code, 2);
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    const running = new Running([process.execPath, launcher, ...SANDBOX], options);
    await signedCall(running);
    running.child.kill(signal);
    if (signal === 'SIGHUP') {
      // The program reads its configuration again on SIGHUP, or ends: the launcher follows it in either case.
      running.child.kill('SIGTERM');
      assert.ok([code, 143].includes((await running.ended).code));
    } else {
      assert.deepEqual(await running.ended, { code, signal: null });
    }
  }
});

test('without the package of the platform, the launcher says what to install', async () => {
  const folder = registry.folder('without');
  const options = { cwd: folder, env: registry.environment(), timeout: MAX_WAIT };
  await run('npm', ['install', 'countersign'], options);
  rmSync(join(folder, 'node_modules/@countersign'), { recursive: true });
  const launcher = join(folder, 'node_modules/countersign/bin/countersign.js');
  const failed = await run(process.execPath, [launcher, '--version'], options).catch((error) => error);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /^countersign: @countersign\/\S+, which has the program for this platform, is not/);
});
