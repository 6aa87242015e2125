// The Vite plugin in a new app, with the current and the previous major version of Vite, in Chromium.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { MAX_WAIT, Registry, Running, until } from './registry.mjs';

const run = promisify(execFile);
const require = createRequire(join(process.env.NPM_TOOLS, 'package.json'));
const { default: puppeteer } = await import(require.resolve('puppeteer-core'));

const VITES = ['8', '7'];

let registry;
let browser;
before(async () => {
  registry = await Registry.start();
  browser = await puppeteer.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    protocolTimeout: MAX_WAIT,
    timeout: MAX_WAIT,
  });
});
after(async () => {
  await browser?.close();
  registry?.stop();
});

const MAIN = `const show = async (path) => {
  const response = await fetch(path);
  document.body.dataset.status = response.status;
  document.body.dataset.identity = (await response.json()).requestContext?.identity.cognitoIdentityId ?? '';
};
window.show = show;
document.querySelector('h1').textContent = 'first';
await show('/api/hello');
`;

async function app(name, vite, plugin) {
  const folder = registry.folder(name);
  const options = { cwd: folder, env: registry.environment(), timeout: MAX_WAIT };
  await run('npm', ['install', 'countersign', `vite@${vite}`], options);
  writeFileSync(
    join(folder, 'vite.config.js'),
    `import countersign from 'countersign/vite';\nexport default { plugins: [countersign(${plugin})] };\n`,
  );
  writeFileSync(join(folder, 'index.html'), '<h1></h1><script type="module" src="/main.js"></script>');
  writeFileSync(join(folder, 'main.js'), MAIN);
  return folder;
}

function start(folder) {
  const vite = join(folder, 'node_modules/vite/bin/vite.js');
  return new Running([process.execPath, vite, '--port', '0', '--host', '127.0.0.1'], {
    cwd: folder,
    env: registry.environment(),
  });
}

/** Whether anything listens at the address that the plugin printed. */
async function listens(url) {
  return fetch(url).then(
    () => true,
    () => false,
  );
}

for (const vite of VITES) {
  test(`with Vite ${vite}, the plugin is all that an app needs`, async (context) => {
    const folder = await app(`vite-${vite}`, vite, '{ sandbox: true }');
    let running = start(folder);
    const [, pageUrl] = await running.saw(/Local: +(http:\S+)/);
    const [, proxy] = await running.saw(/\/api → (http:\S+)/);
    const [, inspector] = await running.saw(/Inspector: (http:\S+)/);
    const page = await browser.newPage();
    page.setDefaultTimeout(MAX_WAIT);
    const dataset = () => page.evaluate(() => ({ ...document.body.dataset }));

    await context.test('a call is signed', async () => {
      await page.goto(pageUrl);
      await page.waitForFunction(() => document.body.dataset.status === '200', { timeout: MAX_WAIT });
      assert.match((await dataset()).identity, /^eu-west-1:/);
    });

    await context.test('only the path itself leads to the API', async () => {
      const status = (path) => page.evaluate(async (path) => (await fetch(path)).headers.get('x-amzn-requestid'), path);
      assert.equal(await status('/apiary'), null);
      assert.notEqual(await status('/api'), null);
      assert.notEqual(await status('/api?a=1'), null);
    });

    await context.test('a refusal of the gateway is explained on the page and in the terminal', async () => {
      await page.evaluate(() => window.show('/api/denied'));
      const overlay = await page.waitForSelector('vite-error-overlay', { timeout: MAX_WAIT });
      const text = await overlay.evaluate((element) => element.shadowRoot.textContent);
      assert.match(text, /the role sandbox-authenticated is not allowed execute-api:Invoke/);
      await running.saw(/\[countersign\].*gateway refused the request/);
    });

    await context.test('the inspector in the banner shows the refusal', async () => {
      const inspection = await browser.newPage();
      inspection.setDefaultTimeout(MAX_WAIT);
      await inspection.goto(inspector);
      await inspection.waitForFunction(() => document.body.textContent.includes('/denied'), { timeout: MAX_WAIT });
      await inspection.close();
    });

    await context.test('a changed module is replaced on the page', async () => {
      writeFileSync(join(folder, 'main.js'), MAIN.replace("'first'", "'second'"));
      await page.waitForFunction(() => document.querySelector('h1').textContent === 'second', { timeout: MAX_WAIT });
    });

    await context.test('a changed configuration starts another proxy and ends the first', async () => {
      const config = join(folder, 'vite.config.js');
      writeFileSync(config, readFileSync(config, 'utf8').replace('sandbox: true', "sandbox: true, path: '/backend'"));
      await running.saw(/\/backend → (http:\S+)/);
      await until('the first proxy to end', async () => !(await listens(proxy)));
    });

    for (const signal of ['SIGTERM', 'SIGKILL']) {
      await context.test(`the proxy ends with Vite after ${signal}`, async () => {
        const [, second] = await running.saw(/\/backend → (http:\S+)/);
        assert.ok(await listens(second));
        running.child.kill(signal);
        await running.ended;
        await until('the proxy to end', async () => !(await listens(second)));
        if (signal === 'SIGTERM') running = start(folder);
      });
    }
    await page.close();
  });
}

test('without a configuration, the plugin says how to get one', async () => {
  const folder = await app('unconfigured', VITES[0], '');
  const running = start(folder);
  assert.notEqual((await running.ended).code, 0);
  assert.match(running.text, /there is neither countersign\.toml nor amplify_outputs\.json in/);
  assert.match(running.text, /npx countersign init/);
});

test('a configuration with a mistake ends Vite with what the program says', async () => {
  const folder = await app('mistaken', VITES[0], '');
  writeFileSync(join(folder, 'countersign.toml'), 'upstreem = "https://example.com"\n');
  const running = start(folder);
  assert.notEqual((await running.ended).code, 0);
  assert.match(running.text, /upstreem/);
});
