// A page with amazon-cognito-identity-js: its configuration is the aws-exports.js that the sandbox wrote.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Page, Sandbox, copyOf, launch, listen, remove, require, stopAll, totp } from './harness.mjs';

const { build } = require('esbuild');

const USER = 'bert';
const EMAIL = 'bert@example.org';
const PASSWORDS = ['First-password-1', 'Second-password-2', 'Third-password-3'];

let folder;
let server;
let sandbox;
let browser;
let page;

before(async () => {
  folder = copyOf('identity_js');
  const files = { '/': ['index.html', 'text/html'], '/main.js': ['main.js', 'text/javascript'] };
  server = await listen((request, response) => {
    const [file, type] = files[request.url] ?? [];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type }).end(readFileSync(join(folder, file)));
  });
  sandbox = await Sandbox.start(folder, '--allow-origin', server.url, '--api-route', '/me=user-pool');
  await build({
    entryPoints: [join(folder, 'src.js')],
    outfile: join(folder, 'main.js'),
    bundle: true,
    format: 'esm',
    define: { global: 'globalThis' },
    logLevel: 'error',
  });
  browser = await launch();
  page = await Page.open(browser, server.url);
});
after(async () => {
  await browser?.close();
  await stopAll();
  server?.close();
  if (folder) remove(folder);
});

/** Calls a function of the page; a failure has the name that Cognito gave it. */
async function account(name, ...given) {
  const { value, failure } = await page.tab.evaluate(
    (name, given) =>
      window.account[name](...given).then(
        (value) => ({ value }),
        (error) => ({ failure: `${error.name ?? error.code}: ${error.message ?? error}` }),
      ),
    name,
    given,
  );
  if (failure) throw new Error(failure);
  return value;
}

test('a user signs up, confirms with the code of the outbox and signs in', async () => {
  assert.match(await account('signUp', USER, PASSWORDS[0], EMAIL), /^b\*\*\*@e\*\*\*$/);
  await assert.rejects(account('signIn', USER, PASSWORDS[0]), /UserNotConfirmedException: User is not confirmed\./);
  assert.equal(await account('confirm', await sandbox.code(EMAIL, 'sign-up')), 'SUCCESS');
  assert.equal(await account('signIn', USER, PASSWORDS[0]), EMAIL);
});

let secret;
let verifiedAt;

test('a user sets up an authenticator', async () => {
  secret = await account('secret');
  verifiedAt = Date.now();
  assert.equal(await account('verify', totp(secret, verifiedAt)), 'SOFTWARE_TOKEN_MFA');
});

test('a user changes the password and refreshes the session', async () => {
  await assert.rejects(account('changePassword', 'Wrong-password-1', PASSWORDS[1]), /NotAuthorizedException/);
  assert.equal(await account('changePassword', PASSWORDS[0], PASSWORDS[1]), 'SUCCESS');
  assert.equal(await account('refresh'), true);
});

test('the API takes the token of the user, and the proxy a call without a signature', async () => {
  assert.equal(await account('ownClaims'), EMAIL);
  assert.equal(await account('unsigned', sandbox.proxy), '200 {"text":"grüße"}');
});

test('a user resets a forgotten password by a code, and signs in with it and the authenticator', async () => {
  await account('signOut');
  assert.match(await account('forgotPassword', USER), /^b\*\*\*@e\*\*\*$/);
  assert.equal(await account('resetPassword', await sandbox.code(EMAIL, 'forgot-password'), PASSWORDS[2]), 'SUCCESS');
  assert.equal(await account('signIn', USER, PASSWORDS[2]), 'SOFTWARE_TOKEN_MFA');
  // The pool takes each code once, and those of the half minutes before and after the present one as well.
  assert.equal(await account('sendCode', totp(secret, Math.max(Date.now(), verifiedAt + 30_000))), USER);
});

test('a user deletes the account', async () => {
  assert.equal(await account('delete'), 'SUCCESS');
  await assert.rejects(account('signIn', USER, PASSWORDS[2]), /NotAuthorizedException: Incorrect username or password\./);
});

test('no script failed, and the browser refused no answer', () => {
  assert.deepEqual(page.problems, []);
});
