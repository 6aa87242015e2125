// A Next app with oidc-client-ts against the hosted pages: its configuration is the .env.local that the sandbox wrote.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Page, Running, Sandbox, copyOf, launch, listen, remove, require, stopAll } from './harness.mjs';

const EMAIL = 'demo@example.com';
const NEXT = require.resolve('next/dist/bin/next');

let folder;
let server;
let credentials;
let browser;
let page;

before(async () => {
  folder = copyOf('oidc');
  let handle;
  server = await listen((request, response) => handle(request, response));
  const urls = ['/callback', '/'].flatMap((path) => ['--callback-url', `${server.url}${path}`]);
  const sandbox = await Sandbox.start(folder, '--issuer', 'local', ...urls);
  credentials = await sandbox.saw(/Signed in as +(?<username>\S+), password (?<password>\S+)/);
  const building = new Running([process.execPath, NEXT, 'build'], { cwd: folder });
  assert.equal(await building.ended, 0, building.text);
  const application = require('next')({ dev: false, dir: folder, hostname: 'localhost', port: server.address().port });
  await application.prepare();
  handle = application.getRequestHandler();
  browser = await launch();
  page = await Page.open(browser, server.url);
});
after(async () => {
  await browser?.close();
  await stopAll();
  server?.close();
  if (folder) remove(folder);
});

async function logIn() {
  await page.press('Sign in');
  const { username, password } = credentials.groups;
  await page.fill('input[name=username]', username);
  await page.fill('input[name=password]', password);
  await page.press('Sign in');
  await page.shows(new RegExp(`^${EMAIL}$`), 'h1');
}

test('a user logs in on the hosted page and comes back with tokens', logIn);

test('a refresh token gives new tokens', async () => {
  await page.press('Renew');
  await page.shows(new RegExp(`^renewed: true ${EMAIL}$`), '#said');
});

test('userInfo answers this origin', async () => {
  await page.press('User info');
  await page.shows(/^userInfo: 200 demo$/, '#said');
});

test('the browser is known to the hosted pages until it logs out', async () => {
  await page.tab.evaluate(() => sessionStorage.clear());
  await page.tab.reload();
  await page.press('Sign in');
  await page.shows(new RegExp(`^${EMAIL}$`), 'h1');
  await page.press('Sign out');
  await page.shows(/^Sign in$/);
  assert.equal(new URL(page.tab.url()).pathname, '/');
  await logIn();
});

test('a revoked refresh token gives no tokens', async () => {
  await page.press('Revoke');
  await page.shows(/^revoked: 400 invalid_grant$/, '#said');
});

test('no script failed, and the browser refused no answer', () => {
  assert.deepEqual(page.problems, []);
});
