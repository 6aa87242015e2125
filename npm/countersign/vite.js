// The Vite plugin: the dev server's requests under /api go to the API, signed.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { programPath } from './lib/program.js';
import { start } from './lib/service.js';

/** Whether this process has shown its banner; Vite shows none after a restart with the same port. */
let hasBanner = false;

/** See vite.d.ts. */
export default function countersign(options = {}) {
  const { path = '/api', stripPath = true, sandbox = false, args = [], startTimeout = 30_000 } = options;
  const inspect = options.inspect ?? (sandbox ? 'bodies' : 'heads');
  if (typeof path !== 'string' || !/^\/[^\s?#]*[^/\s?#]$/.test(path)) {
    throw new Error(`countersign: path is ${JSON.stringify(path)}; write a path such as "/api"`);
  }
  let service;
  let server;
  let logger = console;

  /** Shows a line of the program's log where a developer looks: the terminal, and the page for a refusal. */
  function show(line) {
    if (line.level !== 'WARN' && line.level !== 'ERROR') return;
    const text = explain(line);
    (line.level === 'ERROR' ? logger.error : logger.warn)(`[countersign] ${text}`, { timestamp: true });
    if (isAboutRequest(line)) {
      const err = { message: text, stack: '', plugin: 'countersign' };
      (server?.hot ?? server?.ws)?.send({ type: 'error', err });
    }
  }

  function announce() {
    const name = sandbox ? 'Sandbox:   ' : 'API:       ';
    logger.info(`  ➜  ${name}${path} → ${service.url}`);
    if (service.inspector) logger.info(`  ➜  Inspector: ${service.inspector}`);
  }

  return {
    name: 'countersign',
    apply: 'serve',

    async config(user) {
      const root = resolve(user.root ?? '.');
      const command = sandbox ? 'sandbox' : 'serve';
      service = await start({
        program: programPath(),
        command,
        args: ['--inspect', inspect, ...(sandbox ? ports(args) : configuration(root, options.config)), ...args],
        cwd: root,
        onLine: show,
        timeout: startTimeout,
      });
      const rewrite = (target) => (stripPath ? target.slice(path.length).replace(/^(?!\/)/, '/') : target);
      // By a pattern, since a prefix would take /apitest as well.
      const pattern = `^${path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?=[/?]|$)`;
      return { server: { proxy: { [pattern]: { target: service.url, ws: true, rewrite } } } };
    },

    configResolved(config) {
      logger = config.logger;
    },

    configureServer(created) {
      server = created;
      if (hasBanner) {
        announce();
        return;
      }
      const printUrls = server.printUrls.bind(server);
      server.printUrls = () => {
        printUrls();
        announce();
        hasBanner = true;
      };
    },

    // Vite calls it when the dev server closes, also before a restart.
    async closeBundle() {
      await service?.stop();
    },
  };
}

/** The ports of the sandbox's services: free ones, so that two apps can run at a time, unless `args` names them. */
function ports(args) {
  return args.some((word) => word.startsWith('--port-base')) ? [] : ['--port-base', '0'];
}

/** The flags that name the configuration. */
function configuration(root, chosen) {
  if (chosen !== undefined) {
    const file = resolve(root, chosen);
    if (!existsSync(file)) throw new Error(`countersign: config names ${file}, which does not exist`);
    return file.endsWith('.json') ? ['--amplify-outputs', file] : ['--config', file];
  }
  const own = join(root, 'countersign.toml');
  if (existsSync(own)) return ['--config', own];
  const outputs = join(root, 'amplify_outputs.json');
  if (existsSync(outputs)) return ['--amplify-outputs', outputs];
  throw new Error(
    `countersign: there is neither countersign.toml nor amplify_outputs.json in ${root}. Write one with ` +
      '"npx countersign init", or try the plugin without an AWS account: countersign({ sandbox: true })',
  );
}

/** Whether a line says why a request was refused, by the gateway or by the proxy. */
function isAboutRequest(line) {
  return line['request.id'] !== undefined && (line.cause ?? line.meaning ?? line.detail ?? line.error) !== undefined;
}

function explain(line) {
  const parts = [line.message];
  const more = line.cause ?? line.detail ?? line.error;
  if (more && !line.message.includes(more)) parts.push(more);
  if (line.cure) parts.push(line.cure);
  return parts.join('\n');
}
