// A Vite app with Amplify's Authenticator: its configuration is the amplify_outputs.json that the sandbox wrote, read by
// the code that docs/sandbox.md has for it.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Page, Running, Sandbox, copyOf, launch, remove, require, stopAll, totp } from './harness.mjs';

const USER = 'ann';
const EMAIL = 'ann@example.org';
const PASSWORDS = ['First-password-1', 'Second-password-2', 'Third-password-3'];

const DOCUMENT = new URL('../../docs/sandbox.md', import.meta.url);
const [, CONFIGURATION] = readFileSync(DOCUMENT, 'utf8').match(/```js\n(import \{ Amplify \}.*?)```/s);

let folder;
let sandbox;
let browser;
let page;

before(async () => {
  folder = copyOf('amplify');
  writeFileSync(join(folder, 'src/amplify.js'), CONFIGURATION);
  sandbox = await Sandbox.start(folder);
  const program = join(require.resolve('vite/package.json'), '../bin/vite.js');
  const vite = new Running([process.execPath, program, '--port', '0', '--host', '127.0.0.1'], { cwd: folder });
  const [, url] = await vite.saw(/Local: +(http:\S+)/);
  browser = await launch();
  page = await Page.open(browser, url);
});
after(async () => {
  await browser?.close();
  await stopAll();
  if (folder) remove(folder);
});

async function signIn(password) {
  await page.fill('input[name=username]', USER);
  await page.fill('input[name=password]', password);
  await page.press('Sign in', 'form button[type=submit]');
}

test('a user signs up in the Authenticator and confirms with the code of the outbox', async () => {
  await page.press('Create Account', 'button[role=tab]:not([aria-selected=true])');
  await page.fill('input[name=username]', USER);
  await page.fill('input[name=password]', PASSWORDS[0]);
  await page.fill('input[name=confirm_password]', PASSWORDS[0]);
  await page.fill('input[name=email]', EMAIL);
  await page.press('Create Account', 'form button[type=submit]');
  await page.shows(/Your code is on the way/);
  await page.fill('input[name=confirmation_code]', await sandbox.code(EMAIL, 'sign-up'));
  await page.press('Confirm');
  await page.shows(/^ann$/, 'h1');
  await page.press('Attributes');
  await page.shows(/"email":"ann@example.org".*"email_verified":"true"/, '#said');
});

let secret;
let verifiedAt;

test('a user sets up an authenticator with the secret on the page', async () => {
  await page.press('Authenticator');
  [secret] = await page.shows(/^[A-Z2-7]{32,}$/, '#secret');
  verifiedAt = Date.now();
  await page.fill('#code', totp(secret, verifiedAt));
  await page.press('Verify');
  await page.shows(/authenticator: set up/, '#said');
});

test('a user changes the password', async () => {
  await page.fill('#password input[name=currentPassword]', PASSWORDS[0]);
  await page.fill('#password input[name=newPassword]', PASSWORDS[1]);
  await page.fill('#password input[name=confirmPassword]', PASSWORDS[1]);
  await page.press('Update password');
  await page.shows(/password: changed/, '#said');
});

test('the API is called with a signature of the browser, and without one through the proxy', async () => {
  await page.press('Signed call');
  const [, own] = await page.shows(/^signed: 200 (eu-west-1:\S+) {"text":"grüße"}$/, '#said');
  await page.press('Unsigned call');
  const [, proxys] = await page.shows(/^unsigned: 200 (eu-west-1:\S+)$/, '#said');
  assert.notEqual(own, proxys, 'the proxy signs as its own user');
});

test('a user resets a forgotten password by a code, and signs in with it and the authenticator', async () => {
  await page.press('Sign out');
  await page.press('Forgot your password?');
  await page.fill('input[name=username]', USER);
  await page.press('Send code');
  await page.shows(/Resend Code/);
  await page.fill('input[name=confirmation_code]', await sandbox.code(EMAIL, 'forgot-password'));
  await page.fill('input[name=password]', PASSWORDS[2]);
  await page.fill('input[name=confirm_password]', PASSWORDS[2]);
  await page.press('Submit');
  await page.shows(/Forgot your password\?/);
  await signIn(PASSWORDS[2]);
  await page.shows(/Confirm TOTP Code/);
  // The pool takes each code once, and those of the half minutes before and after the present one as well.
  await page.fill('input[name=confirmation_code]', totp(secret, Math.max(Date.now(), verifiedAt + 30_000)));
  await page.press('Confirm');
  await page.shows(/^ann$/, 'h1');
});

test('a user deletes the account', async () => {
  await page.press('Delete Account');
  await page.press('Delete');
  await page.shows(/Create Account/);
  await signIn(PASSWORDS[2]);
  await page.shows(/Incorrect username or password/);
});

test('no script failed, and the browser refused no answer', () => {
  assert.deepEqual(page.problems, []);
});
