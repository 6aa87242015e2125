#!/usr/bin/env node
// Makes the packages for npm from built programs, as files that `npm publish` and every package manager take:
//
//   npm/pack.js OUT linux-x64=target/x86_64-unknown-linux-musl/release/countersign darwin-arm64=...
//
// The version is Cargo.toml's. Packages for platforms without a program are not made, and the main package names only
// the others, so that one with all platforms needs all programs.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLATFORMS, SCOPE } from './platforms.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);

function fail(message) {
  console.error(`npm/pack.js: ${message}`);
  process.exit(2);
}

function programs(words) {
  return words.map((word) => {
    const [name, ...path] = word.split('=');
    if (path.length === 0) fail(`${word} is not PLATFORM=PROGRAM`);
    if (!(name in PLATFORMS)) fail(`${name} is not one of ${Object.keys(PLATFORMS).join(', ')}`);
    return { name, program: resolve(path.join('=')) };
  });
}

/** What Cargo.toml says once for all packages. */
function cargo(key) {
  const found = readFileSync(join(root, 'Cargo.toml'), 'utf8').match(new RegExp(`^${key} = "([^"]+)"$`, 'm'));
  if (!found) fail(`Cargo.toml has no ${key}`);
  return found[1];
}

function pack(folder, out) {
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  const printed = execFileSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: folder });
  console.log(join(out, printed.toString().trim()));
}

const [out, ...words] = process.argv.slice(2);
if (!out || words.length === 0) fail('write npm/pack.js OUT PLATFORM=PROGRAM...');
const found = programs(words);
const shared = {
  version: cargo('version'),
  license: cargo('license'),
  repository: { type: 'git', url: `git+${cargo('repository')}.git` },
};
mkdirSync(out, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'countersign-npm-'));
try {
  for (const { name, program } of found) {
    const { os, cpu } = PLATFORMS[name];
    const folder = join(scratch, name);
    const file = join(folder, 'bin', os === 'win32' ? 'countersign.exe' : 'countersign');
    mkdirSync(dirname(file), { recursive: true });
    copyFileSync(program, file);
    chmodSync(file, 0o755);
    const described = {
      name: `${SCOPE}/${name}`,
      description: `The program of the package countersign for ${name}`,
      ...shared,
      os: [os],
      cpu: [cpu],
      files: ['bin'],
      preferUnplugged: true,
    };
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(described, null, 2)}\n`);
    pack(folder, resolve(out));
  }
  const folder = join(scratch, 'countersign');
  cpSync(join(here, 'countersign'), folder, { recursive: true });
  const file = join(folder, 'package.json');
  const described = {
    ...JSON.parse(readFileSync(file, 'utf8')),
    ...shared,
    optionalDependencies: Object.fromEntries(found.map(({ name }) => [`${SCOPE}/${name}`, shared.version])),
  };
  writeFileSync(file, `${JSON.stringify(described, null, 2)}\n`);
  pack(folder, resolve(out));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
